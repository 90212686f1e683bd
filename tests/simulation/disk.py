"""The disk of one simulated node: what is synced survives a crash, what is not may or may not.

It keeps the promise, and the log as its batches. Writes are synced some time later; a crash keeps
a part of what was not (none, some or all of it, never with a gap).
"""

from __future__ import annotations

from random import Random

from peers.core.entry import Batch
from peers.core.log import Log
from peers.core.output import Promise


class Disk:
    """What a node has written."""

    def __init__(self, promise: Promise) -> None:
        self.promise = promise
        self.batches: list[Batch] = []
        self.clock_pair = (0, 0)  # (cluster time, wall clock), as of now and then
        self.synced = 0  # of the batches
        self.slow_ms = 0  # what a sync takes beyond the usual
        self.lost_at: int | None = None
        self.damaged = False  # something that was promised to be kept is gone

    def cut(self, index: int) -> None:
        """Take away what is behind `index`. That is a write like others, but it is in order: what
        is appended later is synced later."""
        kept = [batch for batch in self.batches if batch.last.index <= index]
        self.synced = min(self.synced, len(kept))
        self.batches = kept

    def append(self, batch: Batch) -> None:
        """Write a batch; it is safe when it is synced."""
        self.batches.append(batch)

    def sync(self, count: int) -> None:
        """The first `count` batches are safe."""
        self.synced = max(self.synced, min(count, len(self.batches)))

    def synced_index(self) -> int:
        """The index up to which the log would survive a crash."""
        return self.batches[self.synced - 1].last.index if self.synced else 0

    def crash(self, random: Random) -> None:
        """Of what was not synced, a part may have got there."""
        kept = random.randint(self.synced, len(self.batches))
        del self.batches[kept:]
        self.synced = len(self.batches)

    def lose_log(self, now: int) -> None:
        """Only the promise is left."""
        self.batches.clear()
        self.synced = 0
        self.damaged = True
        self.lost_at = now

    def log(self) -> Log:
        """The log as it stands here."""
        log = Log()
        for batch in self.batches:
            log.append(batch)
        return log
