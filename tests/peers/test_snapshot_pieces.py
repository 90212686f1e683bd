"""A snapshot is read once, from the beginning to the end, and given in any order and repeatedly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.snapshot_pieces import Pieces


class Copy:
    """A snapshot of these chunks, which says how many were taken out of it."""

    index = 7

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.taken = 0
        self.times_closed = 0
        self._content = chunks

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._content:
            self.taken += 1
            yield chunk

    def close(self) -> None:
        self.times_closed += 1


contents = st.lists(st.binary(max_size=3), max_size=8)
asks = st.tuples(st.integers(0, 9), st.integers(0, 4))  # the first piece, and how many


@given(contents, st.lists(asks, max_size=12))
def test_the_same_pieces_come_whatever_is_asked_for_in_whatever_order(
    content: list[bytes], asked: list[tuple[int, int]]
) -> None:
    """And only the last is said to be the last, when it is asked for again, too."""
    copy = Copy(content)
    pieces = Pieces(copy)
    there = content or [b""]
    expected = [(n, data, n == len(there) - 1) for n, data in enumerate(there)]
    furthest = 0
    for first, count in asked:
        assert list(pieces.read(0, first, count)) == expected[first : first + count]
        furthest = max(furthest, first + count if count else 0)
        # Of what nobody asked for, one chunk is read: whether a piece is the last shows by it.
        assert copy.taken == min(furthest + 1, len(content))


@given(contents, st.lists(st.tuples(st.integers(0, 8), asks), max_size=12))
def test_what_is_before_have_is_forgotten_and_the_rest_is_not(
    content: list[bytes], asked: list[tuple[int, tuple[int, int]]]
) -> None:
    """One has what one was given, so `have` never goes beyond that; it may come late."""
    pieces = Pieces(Copy(content))
    there = content or [b""]
    expected = [(n, data, n == len(there) - 1) for n, data in enumerate(there)]
    given_up_to = forgotten = 0
    for wanted, (first, count) in asked:
        have = min(wanted, given_up_to)
        forgotten = max(forgotten, have)
        got = list(pieces.read(have, first, count))
        assert got == expected[max(first, forgotten) : first + count]
        given_up_to = max([given_up_to, *(number + 1 for number, _, _ in got)])


def test_a_snapshot_goes_over_piece_by_piece() -> None:
    """As a taker asks: two at a time, and again for what got lost."""
    pieces = Pieces(Copy([b"a", b"b", b"c"]))
    assert list(pieces.read(0, 0, 2)) == [(0, b"a", False), (1, b"b", False)]
    assert list(pieces.read(1, 1, 2)) == [(1, b"b", False), (2, b"c", True)]
    assert list(pieces.read(2, 2, 2)) == [(2, b"c", True)]
    assert list(pieces.read(3, 3, 2)) == []
    assert list(pieces.read(3, 0, 9)) == []


@pytest.mark.parametrize(
    ("content", "data"), [([], b""), ([b""], b""), ([b"all"], b"all")], ids=["none", "empty", "one"]
)
def test_a_snapshot_has_at_least_one_piece_which_is_the_last(
    content: list[bytes], data: bytes
) -> None:
    """Of an empty state there is something to say, too: that this was all."""
    pieces = Pieces(Copy(content))
    assert list(pieces.read(0, 0, 3)) == [(0, data, True)]
    assert list(pieces.read(0, 0, 1)) == [(0, data, True)]
    assert list(pieces.read(0, 1, 1)) == []


def test_closing_lets_go_of_the_snapshot_and_of_what_was_kept() -> None:
    copy = Copy([b"a", b"b", b"c"])
    pieces = Pieces(copy)
    assert len(list(pieces.read(0, 0, 2))) == 2
    assert copy.times_closed == 0
    pieces.close()
    assert copy.times_closed == 1
    assert list(pieces.read(0, 0, 2)) == []


def test_a_snapshot_that_nobody_read_is_closed_too() -> None:
    copy = Copy([b"a"])
    Pieces(copy).close()
    assert copy.times_closed == 1
