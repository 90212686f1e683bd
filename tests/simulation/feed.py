"""What one simulated node can tell subscribers: the events that it computed itself.

It keeps them from the entry behind `start` on, as long as there is room; who asks for what was
before is told so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from tlru.engine.events import Event


@dataclass(frozen=True, slots=True)
class Delivery:
    """All events up to `upto` that the subscriber has not been told."""

    events: tuple[Event, ...]
    upto: int


class Feed:
    """The events behind `start`, up to `upto`."""

    def __init__(self, start: int, room: int | None = None) -> None:
        self.start = self.upto = start
        self.room = room
        self.events: list[Event] = []

    def add(self, index: int, events: Iterable[Event]) -> None:
        """What the next entry led to."""
        self.events += events
        self.upto = index
        if self.room is not None and len(self.events) > self.room:
            # What one entry led to goes together.
            self.start = self.events[len(self.events) // 2].version
            del self.events[: self._place(self.start)]

    def behind(self, pos: int, most: int) -> Delivery | None:
        """What follows `pos`, about `most` events of it; None where that is not there any more."""
        if pos < self.start:
            return None
        first = self._place(pos)
        if first + most >= len(self.events):
            return Delivery(tuple(self.events[first:]), max(pos, self.upto))
        upto = self.events[first + most].version
        return Delivery(tuple(self.events[first : self._place(upto)]), upto)

    def _place(self, pos: int) -> int:
        """How many of the events are of entries up to `pos`."""
        return bisect_right(self.events, pos, key=lambda event: event.version)
