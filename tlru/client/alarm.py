"""The one timer of all deadlines on an event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import monotonic

from tlru.client.deadlines import Deadlines


class Alarm:
    """Rings when something that is watched may be due, and sees then what else there is."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[float], None]) -> None:
        self.deadlines = Deadlines()
        self._loop = loop
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf

    def watch(self, deadline: float) -> None:
        """Ring no later than at this deadline (give or take the slack of `Deadlines`)."""
        due = self.deadlines.watch(deadline)
        if due == math.inf or (self._timer is not None and self._due <= due):
            return
        self.stop()
        self._due = due
        self._timer = self._loop.call_later(max(0.0, due - monotonic()), self._on_time)

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        now = monotonic()
        self.deadlines.look(now)
        self._ring(now)
        self.watch(self.deadlines.due)
