"""How much of one turn of the event loop each rank may take, all together: sessions and requests of
HTTP alike.

A turn that is long makes everybody wait, the most important clients above all: a dozen connections
that each have a little to do add up to one. So a rank that has had its part of a turn goes on in
the next; what its clients send meanwhile stays where it is, and TCP makes them wait. While more
important clients are connected it takes its part in slices, and gives the rest of it up as soon as
one of them has sent something (`knocking.py`).

What cannot be sliced, one large message above all, may take longer than a part: the more important
would notice each. So while any of them is active it is taken so seldom that fewer than one in a
hundred of their requests wait for it, and what its rank sends in smaller messages goes on.

This module decides whether a session may go on now, and notes how long those wait who may not. It
knows turns by a callback that the loop runs once what was ready has been done. Nothing is lost:
whoever has to wait comes first among its equals in the next turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter as clock
from typing import Any, Final, Generic, TypeVar

from tlru.engine.client_limits import RANKS
from tlru.node.knocking import Knocking

# Seconds of a turn, by rank. Whoever has begun ends what it has begun, so it can be a little more.
# The most important rank is never told to wait: it is what the others wait for.
PART_S: Final = (float("inf"), 0.008, 0.003)
LEAST_RANK: Final = RANKS - 1
REQUESTS: Final = (512, 512, 128)  # of one session in a turn, so that its equals come to theirs

# Requests of HTTP that have waited and go on in a turn whatever is left of it: sessions come first
# in it, and would leave them nothing. Each takes a fifth of a millisecond.
LET_ON: Final = (64, 16, 4)

SLICE_S: Final = 0.000_25  # between two looks whether somebody more important waits
LARGE_BYTES: Final = 32 << 10  # a smaller message is read in less than a slice
REST_FACTOR: Final = 200  # times what was too long, before the next large message
REST_S_MAX: Final = 5.0
ACTIVE_S: Final = 1.0  # after it has asked something, a rank is not active any more

T = TypeVar("T")


class Turns:
    """The parts of the ranks in the turn that is under way."""

    def __init__(self, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        """`later` calls back when this turn is over; the running loop's, where it is not given."""
        self._later = later
        self._left = list(PART_S)
        self._counted = False
        self._gave_way = False  # the turn ends once what was sent meanwhile has been read
        self.waited_s = [0.0] * RANKS  # the longest since this was last taken up
        self._waiting = [deque[asyncio.Future[None]]() for _ in range(RANKS)]  # requests of HTTP
        self.knocking = Knocking()
        self._active = [float("-inf")] * RANKS  # when a rank has asked something last
        self._rests_until = [0.0] * RANKS  # from large messages

    def open(self, rank: int) -> bool:
        """Whether a session of a rank may take what its client has sent."""
        return self._left[rank] > 0.0

    def slice_s(self, rank: int) -> float | None:
        """After how long one is to be told of it (`took`); None where nobody would be let go first.
        Slices cost a little, since what they say is carried out together."""
        return SLICE_S if self.knocking.anybody(rank) or self._above(rank, clock()) else None

    def _above(self, rank: int, now: float) -> bool:
        """Whether anybody more important is active."""
        return rank > 0 and max(self._active[:rank]) > now - ACTIVE_S

    def took(self, rank: int, seconds: float) -> None:
        """A session has taken so much of the turn, without a chance for others in between."""
        now = self._active[rank] = clock()
        if not rank:
            return
        if seconds > PART_S[LEAST_RANK] and rank == LEAST_RANK:
            self._rests_until[rank] = now + min(REST_FACTOR * seconds, REST_S_MAX)
        self._left[rank] -= seconds
        if self._left[rank] > 0.0 and self.knocking.heard(rank):
            self._left[rank] = 0.0
            self._gave_way = True
        self._count()

    def rest_s(self, rank: int, size: int) -> float:
        """How long a message of so many bytes has to wait, since another like it took too long and
        more important clients are active."""
        if size < LARGE_BYTES or rank != LEAST_RANK:
            return 0.0
        now = clock()
        left = self._rests_until[rank] - now
        return left if left > 0.0 and self._above(rank, now) else 0.0

    async def turn(self, rank: int) -> None:
        """Wait until those of a rank may go on; who has waited longest goes first."""
        waiting = self._waiting[rank]
        if not waiting and self.open(rank):
            return
        began = clock()
        waiting.append(mine := asyncio.get_running_loop().create_future())
        self._count()
        await mine
        self.waited(rank, began)

    def _count(self) -> None:
        if not self._counted:
            self._counted = True
            later = self._later or asyncio.get_running_loop().call_soon
            later(self._over)

    def _over(self) -> None:
        self._counted = False
        if self._gave_way:  # the loop has not looked at its sockets since
            self._gave_way = False
            self._count()
            return
        self._left[:] = PART_S
        for rank, waiting in enumerate(self._waiting):
            for _ in range(min(LET_ON[rank], len(waiting))):
                if not (first := waiting.popleft()).done():  # else it was given up
                    first.set_result(None)
            if waiting:
                self._count()

    def waited(self, rank: int, since: float) -> None:
        """A session of a rank waits, since then, for its turn."""
        self.waited_s[rank] = max(self.waited_s[rank], clock() - since)

    def take_waits(self) -> list[float]:
        """How long those of each rank have waited, since this was last asked."""
        waited, self.waited_s = self.waited_s, [0.0] * RANKS
        return waited


class Timed(Generic[T]):
    """Carries something out that has to wait in between, and notes how much of the turns it takes:
    what it waits for is nobody's time."""

    def __init__(self, work: Coroutine[Any, Any, T], turns: Turns, rank: int) -> None:
        self._work, self._turns, self._rank = work, turns, rank

    def __await__(self) -> Generator[Any, Any, T]:
        work, step = self._work, self._work.send
        given: Any = None
        while True:
            began = clock()
            try:
                wanted = step(given)
            except StopIteration as done:
                found: T = done.value
                return found
            finally:
                self._turns.took(self._rank, clock() - began)
            try:
                given, step = (yield wanted), work.send
            except BaseException as exc:  # a cancellation, mostly: it is the work's to hear
                given, step = exc, work.throw
