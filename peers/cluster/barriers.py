"""Who waits on this node to hear as of when one may read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from peers.core.output import Barrier


class Barriers:
    """Questions to the core that were not answered yet, by number."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Barrier]] = {}
        self._number = 0

    def new(self) -> tuple[int, asyncio.Future[Barrier]]:
        """The number of a question, and its answer to come."""
        self._number += 1
        answer: asyncio.Future[Barrier] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = answer
        return self._number, answer

    def answer(self, barriers: Iterable[Barrier]) -> None:
        """The core has said these."""
        for barrier in barriers:
            waiting = self._waiting.pop(barrier.number, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(barrier)

    def refuse(self) -> None:
        """Nobody will say: this life of the core is over."""
        self.answer([Barrier(number, None, 0) for number in self._waiting])
