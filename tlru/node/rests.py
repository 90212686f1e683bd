"""When the next large message of the least important clients may be read.

A large message cannot be sliced: while it is read, everybody waits. Whatever more important client
is active would notice each. So what took longer than it should is followed by a rest, in which no
other like it is begun; of a hundred requests of the others fewer than one then meets one. Whoever
waits is served in the order in which it came, one in a turn of the loop.

Nothing rests where nobody more important is active, or where the node stops and everybody is to be
answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter as clock
from typing import Final

LARGE_BYTES: Final = 32 << 10  # a smaller message is read in less than a slice of a turn
FACTOR: Final = 200  # times what was too long, before the next
REST_S_MAX: Final = 3.0
LOOK_S: Final = 0.5  # those who would notice may have gone meanwhile

GoOn = Callable[[], None]


class Rests:
    """Who waits with a large message, and until when."""

    def __init__(self, noticed: Callable[[], bool]) -> None:
        """`noticed`: whether anybody more important is active."""
        self._noticed = noticed
        self._until = 0.0
        self._waiting: deque[GoOn] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def took(self, seconds: float) -> None:
        """A large message has taken so long, which was too long."""
        self._until = max(self._until, clock() + min(FACTOR * seconds, REST_S_MAX))

    def left_s(self) -> float:
        """How long the next one has to wait, were it alone."""
        if self._over or not self._noticed():
            return 0.0
        return max(0.0, self._until - clock())

    def open(self) -> bool:
        """Whether one may be begun by whoever has not waited."""
        return not self._waiting and self.left_s() <= 0.0

    def wait(self, go_on: GoOn) -> None:
        """Be called when it is one's turn: then one may begin."""
        self._waiting.append(go_on)
        self._arm()

    async def turn(self) -> None:
        """Wait for one's turn, if there is anything to wait for."""
        if self.open():
            return
        mine = asyncio.get_running_loop().create_future()
        self.wait(lambda: None if mine.done() else mine.set_result(None))
        await mine

    def end(self) -> None:
        """Let everybody go on, one after the other: the node stops."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    def _arm(self) -> None:
        if self._waiting and self._timer is None:
            after_s = min(self.left_s(), LOOK_S)
            self._timer = asyncio.get_running_loop().call_later(after_s, self._look)

    def _look(self) -> None:
        self._timer = None
        try:
            if self.left_s() <= 0.0:
                self._waiting.popleft()()
        finally:
            # Not at once: how long a request of HTTP takes is known when it has gone on.
            asyncio.get_running_loop().call_soon(self._arm)
