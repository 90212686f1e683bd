"""Messages that are kept for a while, since several readers of a feed come by the same place.

After a node's death all its readers resume near the same position elsewhere, and what is large is
told to some of them a little later than to others. What is kept of a feed is few, and of all feeds
together it has a bound in bytes: patterns that match the same large value can be very many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

KEPT_MAX: Final = 16  # of a feed
BYTES_MAX: Final = 16 << 20  # of all; what does not fit is made again for whoever needs it


class Sized(Protocol):
    """A message."""

    @property
    def size(self) -> int:
        """In bytes."""


D = TypeVar("D", bound=Sized)
Chunk = tuple[Sequence[D], int]  # and the number of the first event that is not in it
Kept = dict[int, Chunk[D]]  # by the number of the first event in it


class Chunks(Generic[D]):
    """How much all feeds keep."""

    def __init__(self) -> None:
        self.bytes = 0

    def keep(self, kept: Kept[D], number: int, pushes: Sequence[D], end: int) -> None:
        """Keep messages for whoever else comes by this place in the feed, if there is room."""
        size = _size(pushes)
        if number in kept or self.bytes + size > BYTES_MAX:
            return
        if len(kept) >= KEPT_MAX:
            oldest, _ = kept.pop(next(iter(kept)))
            self.bytes -= _size(oldest)
        kept[number] = pushes, end
        self.bytes += size

    def clear(self, kept: Kept[D]) -> None:
        """Nobody comes by any more."""
        self.bytes -= sum(_size(pushes) for pushes, _ in kept.values())
        kept.clear()


def _size(pushes: Sequence[Sized]) -> int:
    return sum(push.size for push in pushes)
