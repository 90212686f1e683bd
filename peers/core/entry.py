"""What stands in the log: entries, and the names of the operations in them.

Pure data. An operation is opaque bytes here; what it means is the application's business. The one
kind of entry that is the log's own says who belongs to the cluster from then on.

A `Dot` names one operation for ever: no two operations share one, in whatever order they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from peers.core.membership import Membership
from peers.core.origin import Origin as Origin


class Dot(NamedTuple):
    """The name of one operation: its origin, that origin's start number, and a running number."""

    origin: Origin
    incarnation: int
    sequence: int


class Epoch(NamedTuple):
    """One life of a log. Indexes compare only within one."""

    number: int
    random: str
    parent: str | None = None

    @property
    def is_none(self) -> bool:
        """Whether this is no epoch at all: that of a node which belongs to no cluster yet."""
        return self.number == 0

    def __str__(self) -> str:
        """As clients see it: `number-random`."""
        return f"{self.number}-{self.random}"


NO_EPOCH = Epoch(0, "")


class Entry(NamedTuple):
    """One place in the log.

    `at` is cluster time in milliseconds and never decreases with the index. An operation whose
    entry is stamped after `until` applies as nothing. What the leader itself enters has no dot: its
    empty first entry, and changes of the membership.
    """

    index: int  # type: ignore[assignment]  # our word for it; tuple.index is of no use here
    term: int
    at: int
    dot: Dot | None
    until: int | None
    operation: bytes
    membership: Membership | None = None  # who belongs from here on; there is no operation then


class Position(NamedTuple):
    """The end of a log: of two, the greater is the newer, whatever their lengths."""

    term: int
    index: int  # type: ignore[assignment]  # as above


NOWHERE = Position(0, 0)


class Proposal(NamedTuple):
    """An operation that waits for its place, under its dot. Without bytes it is a void: a dot that
    is used up, so that the origin's sequence has no gap, while its operation is not done."""

    dot: Dot
    operation: bytes
    until: int | None


Places = tuple[tuple[Origin, int, int], ...]
"""A vector as data: (origin, incarnation, sequence), in the order of the origins."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that travel, are stored, acknowledged and cut together.

    `vector` is that of the log before the first of them, so a log that is cut knows its vector
    again. `packed` is what the leader made of it, once: the same bytes go to every peer and disk.
    A membership stands alone in its batch.
    """

    entries: tuple[Entry, ...]
    vector: Places
    packed: bytes

    @property
    def first(self) -> int:
        """The index of the first entry."""
        return self.entries[0].index

    @property
    def membership(self) -> Membership | None:
        """Who belongs from here on, where that changes."""
        return self.entries[0].membership

    @property
    def last(self) -> Position:
        """The position of the last entry."""
        entry = self.entries[-1]
        return Position(entry.term, entry.index)
