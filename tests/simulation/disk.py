"""The disk of one simulated node: what is synced survives a crash, what is not may or may not.

It keeps the promise, the log as its batches, and a snapshot. Writes are synced some time later; a
crash keeps a part of what was not (none, some or all of it, never with a gap). The batch, snapshot
or note of the time that was being written is torn then: the checksum cuts it off at the next start,
so what was there before it counts. A bit may flip: then what follows in the log is not to be
trusted, and the checksums say so.

Where the log is synced only now and then (`fsync` is `interval`), what is written counts as kept at
once: the operating system has it, and a node that crashes loses none of it. A power cut takes what
was not synced, and the node cannot know how much that was.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from peers.core.base import Base
from peers.core.entry import Batch, Position
from peers.core.log import Log
from peers.core.membership import Membership
from peers.core.output import Promise

NOTE_AGE_MS = 1_100  # of the last note but one, whenever a node stops
TORN_NOTES = 0.2  # of crashes fall into the time until a note of the time is synced


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot on the disk."""

    base: Base
    chunks: tuple[bytes, ...]

    @property
    def index(self) -> int:
        """What it is exact at."""
        return self.base.position.index


class Disk:
    """What a node has written."""

    def __init__(self, promise: Promise, membership: Membership) -> None:
        self.promise = promise
        self.membership = membership  # the newest that is committed, kept as the promises are
        self.base = Base(membership=membership)  # the log begins behind it
        self.batches: list[Batch] = []
        self.snapshot: Kept | None = None
        self.clock_pair = (0, 0)  # (cluster time, wall clock), as of now and then
        self._pair_before = (0, 0)  # which a torn write leaves there
        self.synced = 0  # of the batches: they count as kept
        self._on_the_platter = 0  # of the batches: a power cut takes none of them
        self.power_took = False  # something that counted, when it failed last
        self.slow_ms = 0  # what a sync takes beyond the usual
        self.lost_at: int | None = None
        self.damaged = False  # something that was promised to be kept is gone

    # -- the log

    def begin(self, base: Base) -> None:
        """The log is another one from here on: a snapshot has taken its place."""
        self.base, self.batches = base, []
        self.synced = self._on_the_platter = 0

    def cut(self, index: int) -> None:
        """Take away what is behind `index`. That is a write like others, but it is in order: what
        is appended later is synced later."""
        kept = [batch for batch in self.batches if batch.last.index <= index]
        self.synced = min(self.synced, len(kept))
        self._on_the_platter = min(self._on_the_platter, len(kept))
        self.batches = kept

    def append(self, batch: Batch) -> None:
        """Write a batch; it is safe when it is synced."""
        self.batches.append(batch)

    def sync(self, last: Position) -> bool:
        """The log is safe up to the batch that ends there; False where it does not any more."""
        for count in range(len(self.batches), 0, -1):
            if self.batches[count - 1].last == last:
                self.synced = max(self.synced, count)
                return True
        return last.index <= self.snapshot_index

    def flush(self) -> None:
        """What was written reaches the platter, where that is not so with every write."""
        self._on_the_platter = self.synced

    def synced_index(self) -> int:
        """The index up to which the log would survive a crash."""
        log = self.batches[self.synced - 1].last.index if self.synced else 0
        return max(log, self.snapshot_index)

    # -- snapshots

    @property
    def snapshot_index(self) -> int:
        """What the snapshot is exact at; 0 where there is none."""
        return 0 if self.snapshot is None else self.snapshot.index

    def keep(self, snapshot: Kept) -> None:
        """A snapshot is complete and synced. Of the log before it nothing is needed any more; one
        that is older than what is here is of no use, since the log behind it is gone."""
        if snapshot.index <= self.snapshot_index:
            return
        self.snapshot = snapshot
        covered = [b.last for b in self.batches if b.last.index <= snapshot.index]
        if covered and covered[-1] == snapshot.base.position:
            self.base = snapshot.base
            del self.batches[: len(covered)]
            self.synced = max(0, self.synced - len(covered))
            self._on_the_platter = max(0, self._on_the_platter - len(covered))

    # -- the time

    def note_clock(self, cluster_ms: int, wall_ms: int) -> None:
        """Note what time it is. If the note before is too old to go on from it, this one is waited
        for: it is synced before anything else happens."""
        before, self.clock_pair = self.clock_pair, (cluster_ms, wall_ms)
        self._pair_before = before if cluster_ms - before[0] < NOTE_AGE_MS else self.clock_pair

    # -- faults

    def crash(self, random: Random) -> list[str]:
        """Of what was not synced, a part may have got there; what was torn."""
        kept = random.randint(self.synced, len(self.batches))
        torn = ["logs torn"] if kept < len(self.batches) else []
        del self.batches[kept:]
        self.synced = kept
        if random.random() < TORN_NOTES:
            self.clock_pair = self._pair_before
            torn.append("notes of the time torn")
        return torn

    def lose_power(self, random: Random, now: int, *, all_of_it: bool) -> None:
        """After a crash: of the writes since the last sync some or all are gone."""
        kept = self._on_the_platter
        if not all_of_it:
            kept = random.randint(kept, len(self.batches))
        self.power_took = kept < len(self.batches)
        del self.batches[kept:]
        self.synced = self._on_the_platter = kept
        self.damaged = True
        self.lost_at = now

    def could_be_left(self) -> list[Membership]:
        """The members by each log that the power could leave."""
        lists = [self.base.membership if self.snapshot is None else self.snapshot.base.membership]
        for number, batch in enumerate(self.batches):
            if batch.membership is not None:
                kept = number < self._on_the_platter
                lists = [batch.membership] if kept else [*lists, batch.membership]
        return lists

    def lose_log(self, now: int) -> None:
        """Only the promise is left."""
        self.begin(Base(membership=self.membership))
        self.snapshot = None
        self.damaged = True
        self.lost_at = now

    def flip_a_bit(self, random: Random, now: int) -> None:
        """A batch, or the snapshot, is not what was written: it shows at the next start."""
        if self.snapshot is not None and random.random() < 0.3:
            self.lose_log(now)  # the log behind it cannot be applied to nothing
        elif self.batches:
            self.cut(self.batches[random.randrange(len(self.batches))].first - 1)
            self.damaged = True
            self.lost_at = now

    # -- coming up

    def log(self) -> Log:
        """The log as it stands here. One that does not go through the snapshot is another's."""
        log = Log(self.base)
        for batch in self.batches:
            log.append(batch)
        if self.snapshot is None:
            return log
        position = self.snapshot.base.position
        if log.term_at(position.index) == position.term:
            return log
        self.begin(self.snapshot.base)
        return Log(self.snapshot.base)
