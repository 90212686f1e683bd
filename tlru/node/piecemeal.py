"""Long work of the node's own, a piece in a turn of the event loop, so that nobody waits for all.

What is to be done for every connection or every feed takes a moment when there are few, and a
tenth of a second when there are many, of which a client may have thousands. The first piece is done
at once; between two of them there is a pause, so that the work takes a sixth of the time at most.
Where the turns of the loop are long and it is not done within a second, its pieces grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import perf_counter as clock
from typing import Final

PIECE_S: Final = 0.000_2
PAUSE: Final = 5  # times as long as the piece before it
DUE_S: Final = 1.0
GROWTH: Final = 0.004  # seconds of a piece, for each second after that


class Piecemeal:
    """One work that is done again and again, each time from its beginning to its end."""

    def __init__(
        self, work: Callable[[], Iterator[object]], over: Callable[[], object] | None = None
    ) -> None:
        """`work` can be left after each step and gone on with; `over` is called after its end."""
        self._work = work
        self._over = over
        self._steps: Iterator[object] | None = None
        self._next: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._stopped = False

    @property
    def under_way(self) -> bool:
        """Whether it has begun and is not over."""
        return self._steps is not None

    def begin(self) -> None:
        """Do it, if it is not under way already."""
        if self._steps is None and not self._stopped:
            self._steps, self._began = self._work(), clock()
            self._go_on()

    def _go_on(self) -> None:
        self._next = None
        steps, began = self._steps, clock()
        assert steps is not None
        piece_s = max(PIECE_S, GROWTH * (began - self._began - DUE_S))
        more = False
        try:
            for _ in steps:
                if (took := clock() - began) >= piece_s:
                    more = True
                    break
        finally:
            if more:
                loop = asyncio.get_running_loop()
                self._next = loop.call_later(PAUSE * took, self._go_on)
            else:
                self._end()

    def _end(self) -> None:
        self._steps = None
        if self._over is not None:
            self._over()

    def stop(self) -> None:
        """Leave what is left undone, and begin nothing more."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._steps = None
