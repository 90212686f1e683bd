"""What has piled up for a slow reader, folded: of several events of a key only the last is told.

Pure. Who applies the folded events in their order comes to the same state as who applied all.
A touch brings a new life and no value, so it takes the place of touches only; a clear stays where
it is, and takes in what it has removed; messages are never folded, since each says something else.
"""

from __future__ import annotations

from collections.abc import Iterable

from tlru.engine.events import Event, EventType

Folded = tuple[Event, int]
"""An event, and how many it stands for: itself, and earlier ones of its key."""


def fold(events: Iterable[Event]) -> list[Folded]:
    """The events that are left, in order."""
    left: dict[int, Folded] = {}  # by the place of the event
    content: dict[str, int] = {}  # of each key, where the event stands that says what it holds
    touched: dict[str, int] = {}  # and where one that has given that a new life
    for place, event in enumerate(events):
        kind, key = event.type, event.key
        count = 1
        if kind is EventType.CLEAR:
            for table in (content, touched):
                for gone in [each for each in table if each.startswith(key)]:
                    count += left.pop(table.pop(gone))[1]
        elif kind is not EventType.MESSAGE:
            if key in touched:
                count += left.pop(touched.pop(key))[1]
            if kind is EventType.TOUCH:
                touched[key] = place
            else:
                if key in content:
                    count += left.pop(content[key])[1]
                content[key] = place
        left[place] = (event, count)
    return list(left.values())
