"""What stands in the log: entries, and the names of the operations in them.

Pure data. An operation is opaque bytes here; what it means is the application's business. The one
kind of entry that is the log's own says who belongs to the cluster from then on.

A `Dot` names one operation for ever: no two operations share one, in whatever order they arrive.
"""

from __future__ import annotations

from typing import NamedTuple

from peers.core.membership import Membership
from peers.core.origin import Origin as Origin

_new = tuple.__new__  # a third of the time that a named tuple takes, for each batch


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


class Batch:
    """Entries that travel, are stored, acknowledged and cut together. Never changed.

    `vector` is that of the log before the first of them, so a log that is cut knows its vector
    again. `packed` is what the leader made of it, once: the same bytes go to every peer and disk.
    `first` is the index of the first entry, `last` the position of the last; `membership` says who
    belongs from here on, where that changes, and stands alone in its batch.
    """

    __slots__ = ("entries", "first", "last", "membership", "packed", "vector")

    def __init__(self, entries: tuple[Entry, ...], vector: Places, packed: bytes) -> None:
        self.entries, self.vector, self.packed = entries, vector, packed
        head, tail = entries[0], entries[-1]
        self.first = head.index
        self.last = _new(Position, (tail.term, tail.index))
        self.membership = head.membership

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Batch) and (
            (self.packed, self.entries, self.vector) == (other.packed, other.entries, other.vector)
        )

    __hash__ = None  # type: ignore[assignment]  # equal by content, which may be large

    def __repr__(self) -> str:
        return f"Batch({self.entries!r}, {self.vector!r}, {self.packed!r})"
