"""One task for each thing that several want at once.

Whoever asks first starts the task, whoever asks meanwhile waits for the same one. It goes on while
anybody waits: a caller that is cancelled takes the result from nobody else, and when the last one
has gone the task is cancelled too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger("tlru.client")


class Flight:
    """A task, how many wait for it, and whether it goes on without anybody."""

    __slots__ = ("task", "unattended", "waiting")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.waiting = 0
        self.unattended = False


class Flights:
    """The tasks under way on one event loop, by what they are for."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    async def join(self, key: str, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The result of the task for this key, which is started if there is none."""
        flight = self._flights.get(key) or self._start(key, make)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.unattended and not flight.task.done():
                self._drop(key, flight)
                flight.task.cancel()

    def launch(self, key: str, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Start the task for this key, unless there is one, and wait for nothing."""
        if key not in self._flights:
            self._start(key, make).unattended = True

    def cancel_unattended(self) -> None:
        """Cancel those that nobody waits for."""
        for flight in list(self._flights.values()):
            if flight.waiting == 0:
                flight.task.cancel()

    def _start(self, key: str, make: Callable[[], Coroutine[Any, Any, Any]]) -> Flight:
        task = asyncio.get_running_loop().create_task(make(), name=f"tlru load {key}")
        flight = self._flights[key] = Flight(task)

        def done(task: asyncio.Task[Any]) -> None:
            self._drop(key, flight)
            if not task.cancelled():
                task.exception()  # those who wait have it; it may be that nobody does any more

        task.add_done_callback(done)
        return flight

    def _drop(self, key: str, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
