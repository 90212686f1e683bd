"""A snapshot that is read piece by piece, and some pieces more than once.

This module decides nothing. The application walks its state once, from the beginning to the end;
whoever takes the snapshot over a network asks for some pieces at a time, and again for those that
got lost. What was read and may be asked for again is kept, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from peers.ordered_log import Snapshot


class Pieces:
    """One snapshot on its way out."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._chunks = snapshot.chunks()
        self._kept: dict[int, bytes] = {}
        self._read = 0  # all before this one were read
        self._ahead = next(self._chunks, b"")  # whether a piece is the last shows by the next
        self._ended = False

    def read(self, have: int, first: int, count: int) -> Iterator[tuple[int, bytes, bool]]:
        """These pieces, with their numbers, and whether each is the last; those before `have` are
        forgotten."""
        for number in [number for number in self._kept if number < have]:
            del self._kept[number]
        for number in range(first, first + count):
            while self._read <= number and not self._ended:
                self._read_on()
            if number in self._kept:
                yield number, self._kept[number], self._ended and number == self._read - 1

    def _read_on(self) -> None:
        self._kept[self._read] = self._ahead
        self._read += 1
        ahead = next(self._chunks, None)
        if ahead is None:
            self._ended = True
        else:
            self._ahead = ahead

    def close(self) -> None:
        """Nobody wants the rest."""
        self._snapshot.close()
        self._kept.clear()
        self._ended = True
