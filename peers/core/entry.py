"""What stands in the log: entries, and the names of the operations in them.

Pure data. An operation is opaque bytes here; what it means is the application's business.

A `Dot` names one operation for ever: no two operations share one, in whatever order they arrive.
"""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """Where operations come from: a member's id, and the birth of its state directory."""

    id: str
    birth: str


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

    def __str__(self) -> str:
        """As clients see it: `number-random`."""
        return f"{self.number}-{self.random}"


class Entry(NamedTuple):
    """One place in the log.

    `at` is cluster time in milliseconds and never decreases with the index. An operation whose
    entry is stamped after `until` applies as nothing. A leader's own first entry has no dot.
    """

    index: int  # type: ignore[assignment]  # our word for it; tuple.index is of no use here
    term: int
    at: int
    dot: Dot | None
    until: int | None
    operation: bytes
