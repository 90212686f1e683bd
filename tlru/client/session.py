"""How far this client has seen: the epoch, the highest position and time, and names for writes.

Pure: local time is handed in.

Reads never go backwards: the highest position and cluster time seen within the epoch are kept, and
go along as `min` to a node that is not known to have got so far. A node that has itself answered
with a position is there, and its positions only grow as long as the connection lives; so towards
the node that told them the `min` is left out. Another epoch makes all of it meaningless and is
forgotten.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Any

SESSION_BYTES = 16  # random bytes in a session's name: 22 characters


class Session:
    """The furthest point that this client has seen, and cluster time as far as it can tell."""

    __slots__ = ("_heard_at", "epoch", "pos", "time")

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.pos = 0
        self.time = 0
        self._heard_at = 0.0

    def enter(self, epoch: str) -> bool:
        """Take up an epoch; True where it is another than before, and all is forgotten."""
        if epoch == self.epoch:
            return False
        was, self.epoch = self.epoch, epoch
        self.pos, self.time = 0, 0
        return was is not None

    def has_left(self, epoch: str) -> bool:
        """Whether this epoch is known to be over: it was counted before the present one."""
        known, asked = _counted(self.epoch), _counted(epoch)
        return known is not None and asked is not None and asked < known

    def saw(self, epoch: str, pos: int, time: int, now: float) -> None:
        """A node of `epoch`, heard at the local `now`, has answered as of `pos` and `time`."""
        if epoch != self.epoch:
            return  # the last words of a connection from another life
        if pos > self.pos:
            self.pos = pos
        if time > self.time:
            self.time, self._heard_at = time, now

    def ahead_of(self, pos: int, time: int) -> bool:
        """Whether a node that is known to have got to `pos` and `time` may lack what was seen."""
        return self.pos > pos or self.time > time

    def minimum(self) -> dict[str, Any]:
        """The `min` of a request."""
        return {"epoch": self.epoch, "pos": self.pos, "time": self.time}

    def cluster_ms(self, now: float) -> int:
        """Cluster time at the local `now`: never ahead, and behind by a message's way at most."""
        return self.time + max(0, int((now - self._heard_at) * 1000))


class OnceNames:
    """Names under which writes are applied at most once, however often they are sent."""

    def __init__(self, session: str | None = None) -> None:
        self.session = session or secrets.token_urlsafe(SESSION_BYTES)
        self._given = 0
        # Numbers given and not yet done with, in order; those done out of turn wait in a set.
        self._open: deque[int] = deque()
        self._early: set[int] = set()

    def give(self, cluster_ms: int) -> tuple[int, dict[str, Any]]:
        """A new number, and the `once` of the request that bears it.

        `done` is the highest number below which nothing can be sent again: the node need not
        remember those results. So a busy client leaves few records behind.
        """
        done = (self._open[0] if self._open else self._given + 1) - 1
        self._given += 1
        self._open.append(self._given)
        name = {"session": self.session, "n": self._given, "at": cluster_ms, "done": done}
        return self._given, name

    def finish(self, number: int) -> None:
        """The request of that number will not be sent again."""
        if self._open and self._open[0] == number:
            self._open.popleft()
            while self._open and self._open[0] in self._early:
                self._early.discard(self._open.popleft())
        else:
            self._early.add(number)


def _counted(epoch: str | None) -> int | None:
    """The number of an epoch, `number-random`; None where it has none."""
    number = (epoch or "").partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else None
