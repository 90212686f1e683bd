"""Vector timestamps: how far the operations of each origin have got.

Pure. A vector keeps one place for each member's id. A place is (birth, incarnation, sequence): a
higher incarnation starts again at 1 and shuts the lower ones for ever, so an operation that is sent
twice, or that arrives late from a life that has ended, is recognised and counts as nothing.

Invariant: of one (origin, incarnation) the sequences let in are 1, 2, 3, ... without a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from peers.core.entry import Dot, Origin


class GapError(Exception):
    """An origin's operation arrived before the one that precedes it: a defect of the caller."""


class Vector:
    """For each origin, the incarnation and the highest sequence that was let in."""

    __slots__ = ("_order", "_places")

    def __init__(self, places: Iterable[tuple[Origin, int, int]] = ()) -> None:
        # [incarnation, sequence] of each; changed in place, since every entry advances one.
        self._places: dict[Origin, list[int]] = {
            Origin(*origin): [incarnation, sequence] for origin, incarnation, sequence in places
        }
        self._order: list[Origin] | None = None  # of the origins, while none comes or goes

    def admit(self, dot: Dot) -> bool:
        """Let `dot` in if it is the next of its origin; False if it, or its life, is past."""
        origin, incarnation, sequence = dot
        place = self._places.get(origin)
        known, last = (incarnation, 0) if place is None else place
        if incarnation != known:
            if incarnation < known:
                return False
            last = 0
        if sequence != last + 1:
            if sequence <= last:
                return False
            raise GapError(f"{dot} follows sequence {last}: one in between is missing")
        if place is None:
            self._places[origin] = [incarnation, sequence]
            self._order = None
        else:
            place[:] = incarnation, sequence
        return True

    def of(self, origin: Origin) -> tuple[int, int]:
        """(incarnation, sequence) of an origin; (0, 0) where nothing of it was let in."""
        incarnation, sequence = self._places.get(origin, (0, 0))
        return incarnation, sequence

    def keep_only(self, origins: Collection[Origin]) -> None:
        """Drop the places of members that were removed for good."""
        for origin in [each for each in self._places if each not in origins]:
            del self._places[origin]
            self._order = None

    def places(self) -> Iterator[tuple[Origin, int, int]]:
        """Every place, in the order of the origins, so that equal vectors read the same."""
        if self._order is None:
            self._order = sorted(self._places)
        for origin in self._order:
            incarnation, sequence = self._places[origin]
            yield origin, incarnation, sequence

    def by_origin(self) -> dict[Origin, tuple[int, int]]:
        """The same, to be looked up and changed by whoever asks."""
        return {origin: (place[0], place[1]) for origin, place in self._places.items()}

    def __len__(self) -> int:
        return len(self._places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vector) and self._places == other._places

    __hash__ = None  # type: ignore[assignment]  # mutable, and equal by content

    def __repr__(self) -> str:
        return f"Vector({list(self.places())!r})"
