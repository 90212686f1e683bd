"""What a subscriber asks to see: one key, the keys with a prefix, or channels likewise.

Pure. A `Pattern` says what it matches; `Watched` finds, for an event, those who asked for it. What
that costs does not grow with the number of patterns: a key is looked up, and its beginnings of the
lengths that some prefix has. Only a `clear` goes to as many as it concerns.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from sortedcontainers import SortedDict

from tlru.engine.events import Event, EventType
from tlru.engine.items import is_reserved

T = TypeVar("T")

ALL = "*"
CHANNEL = "#"


class Kind(enum.Enum):
    """What the text of a pattern is."""

    KEY = "key"
    PREFIX = "prefix"
    CHANNEL = "channel"
    CHANNEL_PREFIX = "channel_prefix"

    @property
    def of_channels(self) -> bool:
        """Whether it speaks of channels rather than keys."""
        return self in (Kind.CHANNEL, Kind.CHANNEL_PREFIX)

    @property
    def whole(self) -> bool:
        """Whether it names one key or channel, rather than a beginning."""
        return self in (Kind.KEY, Kind.CHANNEL)


class Pattern(NamedTuple):
    """One key or channel, or all with a prefix."""

    kind: Kind
    text: str

    @classmethod
    def parse(cls, short: str) -> Pattern:
        """From the shorthand: `price:EUR`, `price:*`, `*`, `#news`, `#news:*`, `#*`."""
        channels = short.startswith(CHANNEL)
        text = short[1:] if channels else short
        if text.endswith(ALL):
            return cls(Kind.CHANNEL_PREFIX if channels else Kind.PREFIX, text[:-1])
        return cls(Kind.CHANNEL if channels else Kind.KEY, text)

    def __str__(self) -> str:
        """The shorthand."""
        head = CHANNEL if self.kind.of_channels else ""
        return f"{head}{self.text}{'' if self.kind.whole else ALL}"

    def matches(self, event: Event) -> bool:
        """Whether an event is of its keys or channels. A clear is where any key of it may be."""
        kind, key = event.type, event.key
        if self.kind.of_channels is not (kind is EventType.MESSAGE) or _is_hidden(event):
            return False
        if kind is EventType.CLEAR:
            return self.text.startswith(key) or (not self.kind.whole and key.startswith(self.text))
        return key == self.text if self.kind.whole else key.startswith(self.text)


def _is_hidden(event: Event) -> bool:
    """What the cluster keeps for itself concerns no subscriber."""
    return event.type is not EventType.MESSAGE and is_reserved(event.key)


class Watched(Generic[T]):
    """Who asked for which pattern."""

    def __init__(self) -> None:
        self._keys: _Index[T] = _Index()
        self._channels: _Index[T] = _Index()

    def add(self, pattern: Pattern, who: T) -> None:
        """From now on `who` is found for what the pattern matches."""
        self._index(pattern).add(pattern, who)

    def remove(self, pattern: Pattern, who: T) -> None:
        """And from now on no more."""
        self._index(pattern).remove(pattern, who)

    def of(self, event: Event) -> Iterable[T]:
        """All who asked for this event."""
        if _is_hidden(event):
            return ()
        if event.type is EventType.MESSAGE:
            return self._channels.of(event.key)
        if event.type is EventType.CLEAR:
            return self._keys.near(event.key)
        return self._keys.of(event.key)

    def _index(self, pattern: Pattern) -> _Index[T]:
        return self._channels if pattern.kind.of_channels else self._keys


class _Index(Generic[T]):
    """Patterns of one name space."""

    def __init__(self) -> None:
        self._whole: SortedDict[str, list[T]] = SortedDict()
        self._prefixes: SortedDict[str, list[T]] = SortedDict()
        self._lengths: dict[int, int] = {}  # of the prefixes, and how many have each

    def add(self, pattern: Pattern, who: T) -> None:
        table, text = self._table(pattern), pattern.text
        if text in table:
            table[text].append(who)
            return
        table[text] = [who]
        if not pattern.kind.whole:
            self._lengths[len(text)] = self._lengths.get(len(text), 0) + 1

    def remove(self, pattern: Pattern, who: T) -> None:
        table, text = self._table(pattern), pattern.text
        table[text].remove(who)
        if table[text]:
            return
        del table[text]
        if not pattern.kind.whole:
            self._lengths[len(text)] -= 1
            if not self._lengths[len(text)]:
                del self._lengths[len(text)]

    def _table(self, pattern: Pattern) -> SortedDict[str, list[T]]:
        return self._whole if pattern.kind.whole else self._prefixes

    def of(self, text: str) -> list[T]:
        found: list[T] = []
        if (named := self._whole.get(text)) is not None:
            found += named
        size, prefixes = len(text), self._prefixes
        for length in self._lengths:
            if length <= size and (begun := prefixes.get(text[:length])) is not None:
                found += begun
        return found

    def near(self, prefix: str) -> Iterator[T]:
        """All who may have seen a key with this prefix."""
        for table in (self._whole, self._prefixes):
            for text in table.irange(prefix):
                if not text.startswith(prefix):
                    break
                yield from table[text]
        for length in self._lengths:
            if length < len(prefix):
                yield from self._prefixes.get(prefix[:length], ())
