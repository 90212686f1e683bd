"""The events of the last while, for whoever resumes or reads slowly: one window, no queue for each.

Pure. Effects cannot be derived again once the state has gone on, so a node keeps the events that it
made itself, and every reader has a place among them. The oldest go where there are too many; who
had not come so far begins anew.

An event has a number, its place among all events of this window's life. `base` is a position:
everything after it is here. Invariant: the events stand in the order of their versions, `base` is
at most the first one's, and `first` is its number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

from tlru.engine.events import Event

# Of the tuple, its numbers, and the text and bytes objects' own heads.
EVENT_OVERHEAD_BYTES: Final = 280
CUT_MIN = 256  # a list is not cut for less: each time, all that stays is moved


class Retained:
    """A window of events."""

    def __init__(self, bytes_max: int, base: int = 0) -> None:
        self.bytes_max = bytes_max
        self.events: list[Event] = []
        self.first = 0
        self.base = base
        self.bytes = 0

    @property
    def end(self) -> int:
        """The number that the next event will have."""
        return self.first + len(self.events)

    def extend(self, events: Sequence[Event]) -> None:
        """More has happened."""
        self.events += events
        size = self.bytes
        for event in events:
            size += _size_of(event)
        self.bytes = size
        if self.bytes > self.bytes_max:
            self._cut()

    def _cut(self) -> None:
        """Let go of the oldest, and of a little more than must be, so that it is not done each
        time; never of a part of a version, nor of the last one."""
        events, bytes_wanted = self.events, self.bytes_max - self.bytes_max // 16
        over, cut = self.bytes, 0
        last = _version_of(events[-1])
        for event in events:
            if over <= bytes_wanted or _version_of(event) == last:
                break
            over -= _size_of(event)
            cut += 1
        while 0 < cut < len(events) and _version_of(events[cut]) == _version_of(events[cut - 1]):
            over -= _size_of(events[cut])
            cut += 1
        if cut < CUT_MIN and self.bytes <= 2 * self.bytes_max:
            return
        if cut:
            self.base = events[cut - 1].version
            self.first += cut
            self.bytes = over
            del events[:cut]

    def begin_anew(self, base: int) -> None:
        """What was between is not known: everything after this position will be here. Numbers go
        on, so that no reader takes its place for one of the new window."""
        self.first = self.end + 1
        self.events = []
        self.base, self.bytes = base, 0

    def after(self, pos: int) -> int | None:
        """The number of the first event after a position; None where that one is gone."""
        if pos < self.base:
            return None
        return self.first + bisect_right(self.events, pos, key=_version_of)

    def has(self, number: int) -> bool:
        """Whether all from this number on are here."""
        return number >= self.first

    def some(self, number: int, end: int, limit: int) -> Sequence[Event]:
        """The events from a number on and before `end`, so many or a few more: the last version is
        whole."""
        events, first = self.events, self.first
        start, stop = number - first, min(number + limit, end) - first
        last = end - first
        while 0 < stop < last and events[stop].version == events[stop - 1].version:
            stop += 1
        return events[start:stop]


# By their places: compiled, a name is looked up each time.
def _version_of(event: tuple[Any, ...]) -> int:
    version: int = event[2]
    return version


def _size_of(event: tuple[Any, ...]) -> int:
    key: str = event[1]
    value: bytes | None = event[4]
    size = EVENT_OVERHEAD_BYTES + len(key)
    return size if value is None else size + len(value)
