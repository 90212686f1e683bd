"""How much of one turn of the event loop each rank may take, all together: sessions and requests of
HTTP alike.

A turn that is long makes everybody wait, the most important clients above all: a dozen connections
that each have a little to do add up to one. So a rank that has had its part of a turn goes on in
the next; what its clients send meanwhile stays where it is, and TCP makes them wait. While more
important clients are connected it takes its part in slices, and gives the rest of it up as soon as
one of them has sent something (`knocking.py`). Who uses up a part of its own is given no other: so
a flood of a middle rank leaves the least its part. What cannot be sliced is in `rests.py`.

This module decides whether a session may go on now, and notes how long those wait who may not. It
knows turns by a callback that the loop runs once what was ready has been done. Nothing is lost:
whoever has waited longest comes first among its equals, and whoever has had its turn last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter as clock
from typing import Any, Final, Generic, TypeVar

from tlru.engine.client_limits import RANKS
from tlru.node.knocking import Knocking
from tlru.node.rests import Rests

# Seconds of a turn, by rank. Whoever has begun ends what it has begun, so it can be a little more.
# The most important rank is never told to wait: it is what the others wait for.
PART_S: Final[tuple[float, ...]] = (float("inf"), 0.008, 0.003)
LEAST_RANK: Final = RANKS - 1
# Requests of one session in a turn, so that its equals come to theirs.
REQUESTS: Final[tuple[int, ...]] = (512, 512, 128)

# Requests of HTTP that have waited and go on in a turn whatever is left of it: sessions come first
# in it, and would leave them nothing. Each takes a fifth of a millisecond.
LET_ON: Final = (64, 16, 4)

SLICE_S: Final = 0.000_25  # between two looks whether somebody more important waits
PUT_OFF_MAX: Final = 4  # so often the next turn is, one after the other, for those who knock
STARVED_S: Final = 0.01  # after so long a session goes on, whoever knocks
ACTIVE_S: Final = 1.0  # after it has asked something, a rank is not active any more

T = TypeVar("T")
GoOn = Callable[[], None]


class Turns:
    """The parts of the ranks in the turn that is under way."""

    def __init__(self, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        """`later` calls back when this turn is over; the running loop's, where it is not given."""
        self._later = later
        self._left = list(PART_S)
        self._counted = False
        self._heard: int | None = None  # whom the less important give way to in this turn
        self._put_off = 0  # so often the next turn was, so that they are read first
        self._used_up = [False] * RANKS  # who has used up its part of this turn
        self._floods = [False] * RANKS  # who did so in the turn before
        self.waited_s = [0.0] * RANKS  # the longest since this was last taken up
        # Sessions, and since when they wait; requests of HTTP.
        self._queues = [deque[tuple[float, GoOn]]() for _ in range(RANKS)]
        self._waiting = [deque[asyncio.Future[None]]() for _ in range(RANKS)]
        self.knocking = Knocking()
        self._active = [float("-inf")] * RANKS  # when a rank has asked something last
        self.rests = Rests(lambda: self._above(LEAST_RANK))

    def open(self, rank: int) -> bool:
        """Whether those of a rank have something left of this turn."""
        return self._left[rank] > 0.0

    def free(self, rank: int) -> bool:
        """Whether a session may take what its client has sent, without waiting for its equals."""
        return self.open(rank) and not self._queues[rank]

    def queue(self, rank: int, go_on: GoOn) -> None:
        """Be called when it is one's turn, after all of the same rank who wait now."""
        self._queues[rank].append((clock(), go_on))
        self._count()

    def slice_s(self, rank: int) -> float | None:
        """After how long one is to be told of it (`took`); None where nobody would be let go first.
        Slices cost a little, since what they say is carried out together."""
        return SLICE_S if self.knocking.anybody(rank) or self._above(rank) else None

    def _above(self, rank: int) -> bool:
        """Whether anybody more important is active."""
        return rank > 0 and max(self._active[:rank]) > clock() - ACTIVE_S

    def took(self, rank: int, seconds: float, *, large: bool = False) -> None:
        """One of a rank has taken so much of the turn, without a chance for others in between;
        whether for a large message."""
        self._active[rank] = clock()
        if not rank:
            return
        if large and rank == LEAST_RANK and seconds > PART_S[rank]:
            self.rests.took(seconds)
        before = self._left[rank]
        self._left[rank] = left = before - seconds
        if before > 0.0 >= left:
            self._used_up[rank] = True
        if left > 0.0:
            self._listen(rank)
        self._count()

    def gives_way(self, rank: int) -> bool:
        """Whether what is told to those of a rank, unasked, waits for what somebody more important
        has sent meanwhile."""
        if self._heard is None or self._heard >= rank:
            self._listen(rank)
        return self._heard is not None and self._heard < rank

    def _listen(self, rank: int) -> None:
        """Give way to whoever has knocked."""
        heard = self.knocking.heard([each for each in range(rank) if not self._floods[each]])
        if heard is not None:
            for less in range(heard + 1, RANKS):
                self._left[less] = min(self._left[less], 0.0)
            self._heard = heard
            self._count()

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
            if self._later is None:
                self._later = asyncio.get_running_loop().call_soon  # it asks the system who we are
            self._later(self._over)

    def _over(self) -> None:
        self._counted = False
        heard, self._heard = self._heard, None
        if heard is not None and self._put_off < PUT_OFF_MAX:
            self._put_off += 1  # the loop has not looked at its sockets since
            self._count()
            return
        self._put_off = 0
        self._floods, self._used_up = self._used_up, [False] * RANKS
        self._left[:] = PART_S
        try:
            for rank in range(RANKS):
                if self._waiting[rank]:
                    self._let_on(rank)
                if self._queues[rank]:
                    self._call(rank)
        finally:
            if any(self._queues) or any(self._waiting):
                self._count()

    def _let_on(self, rank: int) -> None:
        waiting = self._waiting[rank]
        for _ in range(min(LET_ON[rank], len(waiting))):
            if not (first := waiting.popleft()).done():  # else it was given up
                first.set_result(None)

    def _call(self, rank: int) -> None:
        queue = self._queues[rank]
        for number in range(len(queue)):
            since, go_on = queue[0]
            # One that has waited for long goes on: else none would while the more important knock.
            if not self.open(rank) and (number or clock() - since < STARVED_S):
                return
            queue.popleft()
            self.waited(rank, since)
            go_on()

    def waited(self, rank: int, since: float) -> None:
        """A session of a rank waits, since then, for its turn."""
        self.waited_s[rank] = max(self.waited_s[rank], clock() - since)

    def take_waits(self) -> list[float]:
        """How long those of each rank have waited, since this was last asked, and wait now."""
        for rank, queue in enumerate(self._queues):
            if queue:
                self.waited(rank, queue[0][0])
        waited, self.waited_s = self.waited_s, [0.0] * RANKS
        return waited


class Timed(Generic[T]):
    """Carries something out that has to wait in between, and notes how much of the turns it takes:
    what it waits for is nobody's time."""

    def __init__(
        self, work: Coroutine[Any, Any, T], turns: Turns, whose: Callable[[], tuple[int, bool]]
    ) -> None:
        """`whose`: of which rank it is, and whether it has come with a large message, by what is
        known after a step."""
        self._work, self._turns, self._whose = work, turns, whose

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
                rank, large = self._whose()
                self._turns.took(rank, clock() - began, large=large)
            try:
                given, step = (yield wanted), work.send
            except BaseException as exc:  # a cancellation, mostly: it is the work's to hear
                given, step = exc, work.throw
