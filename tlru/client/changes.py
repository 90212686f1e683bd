"""What a watcher sees: changes of keys, messages of channels, and the points between them.

Pure: what came over the wire and a serializer go in. A key is told as the watching part of the
cache calls it, without that part's prefix.

A change's `position` is a string to be kept: `since=` it, a watch goes on behind the change. Some
changes share a version (`set_many`); only behind the last of them is there a point to go on from,
so the others name the one before. Who resumes there is given them again, and never lacks one.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from tlru.client.results import MISSING, Reply, Revision, moment
from tlru.client.serializers import Serializer, load

T = TypeVar("T")

Why: TypeAlias = Literal["delete", "expire", "evict"]
REMOVALS: Final = ("delete", "expire", "evict")
WITHIN_SNAPSHOT: Final = "+"


@dataclass(frozen=True, slots=True)
class Set(Generic[T]):
    """A key has a value now."""

    key: str
    value: T
    """`tlru.MISSING` where only keys are watched (`send="keys"`)."""
    version: int
    at: datetime.datetime | None
    position: str
    ttl: float | None = None
    """The seconds it had to live when it was set, or, in a snapshot, that were left to it."""
    rev: Revision | None = None
    mime: str | None = None
    folded: int = 0
    """How many earlier changes of the key it stands for too, where one that folds was behind."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A key has a new life; its value is as it was."""

    key: str
    version: int
    at: datetime.datetime | None
    position: str
    ttl: float | None = None
    """The seconds that it has to live from `at` on; None where it has no expiry."""
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Removed:
    """Nothing is under a key any more."""

    key: str
    version: int
    at: datetime.datetime | None
    position: str
    why: Why = "delete"
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Cleared:
    """All keys that begin with `key` were removed at once."""

    key: str
    version: int
    at: datetime.datetime | None
    position: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Something happened to a key of which this release does not know what: read it again."""

    key: str
    version: int
    at: datetime.datetime | None
    position: str
    type: str


@dataclass(frozen=True, slots=True)
class Reset:
    """Changes were missed, and nobody can tell which: forget what was seen before.

    What follows goes on from here; first comes what there is, where a snapshot was asked for.
    """

    reason: str
    version: int
    position: str
    key: str = ""
    at: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class Message(Generic[T]):
    """Something was published; `key` is the channel."""

    key: str
    value: T
    version: int
    at: datetime.datetime | None
    position: str


Change: TypeAlias = Set[T] | Touched | Removed | Cleared | Changed | Reset | Message[T]


class Place(NamedTuple):
    """A point in the log of one epoch: everything up to it has been seen."""

    epoch: str
    pos: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.pos}"

    @property
    def within_snapshot(self) -> str:
        """The position of an item while a snapshot is being told: nothing to go on from."""
        return f"{self}{WITHIN_SNAPSHOT}"


def place(position: str) -> Place | None:
    """The point that a stored position means; None for one from the middle of a snapshot."""
    epoch, dash, digits = position.rpartition("-")
    cut = digits.endswith(WITHIN_SNAPSHOT)
    digits = digits.removesuffix(WITHIN_SNAPSHOT)
    if not (dash and epoch and digits.isascii() and digits.isdigit() and len(digits) < 17):
        raise ValueError(f"{position!r} is no position: it looks like {Place('3-8f2c', 1207)}")
    return None if cut else Place(epoch, int(digits))


class Topic(NamedTuple):
    """What is watched: one key or channel, or all with a prefix; names are in full."""

    kind: Literal["key", "prefix", "channel", "channel_prefix"]
    text: str

    @classmethod
    def parse(cls, pattern: str, prefix: str) -> Topic:
        """From `EUR`, `price:*`, `*`, `#news` or `#news:*`, in a part of the cache."""
        of_channels = pattern.startswith("#")
        text = prefix + pattern.removeprefix("#")
        if text.endswith("*") and pattern.endswith("*"):
            return cls("channel_prefix" if of_channels else "prefix", text[:-1])
        if not text:
            raise ValueError(f"{pattern!r} watches nothing: name a key, or `*` for all")
        return cls("channel" if of_channels else "key", text)

    def __str__(self) -> str:
        start = "#" if self.kind.startswith("channel") else ""
        return f"{start}{self.text}{'*' if self.kind.endswith('prefix') else ''}"

    @property
    def fields(self) -> dict[str, Any]:
        """How a request says it."""
        # A prefix of nothing is no prefix for some fields' rules; the shorthand is for all.
        return {self.kind: self.text} if self.text else {"pattern": str(self)}


def events_with_positions(
    start: Place, upto: int, events: Sequence[Reply]
) -> Iterator[tuple[Reply, str]]:
    """Some events, each with its position. `start` is the point before them, `upto` behind them."""
    position = str(start)
    last = len(events) - 1
    for number, event in enumerate(events):
        if number == last:
            position = str(Place(start.epoch, upto))
        elif events[number + 1]["version"] != event["version"]:
            position = str(Place(start.epoch, event["version"]))
        yield event, position


def items_with_positions(
    upto: Place, items: Sequence[Reply], *, last: bool
) -> Iterator[tuple[Reply, str]]:
    """The items of a part of a snapshot, as the events that would have made them."""
    final = len(items) - 1 if last else -1
    for number, item in enumerate(items):
        yield {"type": "set", **item}, str(upto) if number == final else upto.within_snapshot


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """Makes changes of events, for one part of a cache."""

    serializer: Serializer[T]
    prefix: str

    def change(self, event: Reply, position: str) -> Change[T]:
        """The change that an event tells of. A value that cannot be read back is a `BadValue`."""
        kind, full = event["type"], event["key"]
        version, at = event["version"], moment(event.get("at"))
        key = full[len(self.prefix) :]
        folded = event.get("folded", 0)
        if kind == "set":
            packed = event.get("value")
            value: Any = MISSING if packed is None else load(self.serializer, full, packed)
            ttl, rev, mime = event.get("ttl"), event.get("rev"), event.get("mime")
            return Set(key, value, version, at, position, ttl, rev, mime, folded)
        if kind == "message":
            value = load(self.serializer, full, event["value"])
            return Message(key, value, version, at, position)
        if kind == "touch":
            return Touched(key, version, at, position, event.get("ttl"), folded)
        if kind in REMOVALS:
            return Removed(key, version, at, position, kind, folded)
        if kind == "clear":
            return Cleared(key, version, at, position)
        return Changed(key, version, at, position, str(kind))
