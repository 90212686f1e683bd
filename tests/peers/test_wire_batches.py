"""A batch is the same bytes for everybody and for ever, and of a damaged one nothing is used."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given

from peers.core.entry import Batch, Dot, Entry, Origin
from peers.core.messages import Append, Forward, NewerLog
from peers.errors import WireError
from peers.wire import decode, encode, pack_batch, unpack_batch
from peers.wire_fields import BATCH_ENTRIES_MAX, ID_CHARS_MAX, INT_MAX, OPERATION_BYTES_MAX
from tests.peers.wire_samples import (
    BATCH,
    JUNK,
    batches,
    conforms,
    flips,
    in_envelope,
    outcome,
    parts_of,
    paths,
    replace,
    sample,
    sealed,
)

# -- the way there and back


@given(batches())
def test_a_batch_comes_out_as_it_went_in_and_keeps_its_bytes(batch: Batch) -> None:
    again = unpack_batch(batch.packed)
    assert again == batch
    assert again.packed is batch.packed
    assert conforms(again.entries, tuple[Entry, ...])
    assert conforms(again.vector, tuple[tuple[Origin, int, int], ...])


def test_the_same_batch_gives_the_same_bytes_and_they_stand_in_the_message_as_they_are() -> None:
    assert pack_batch(BATCH.entries, BATCH.vector) == BATCH
    assert BATCH.packed in encode(in_envelope(sample(Append)))


def test_an_origin_stands_once_in_a_batch_and_what_is_alike_stands_once_too() -> None:
    origin = Origin("node-of-some-name", "0123456789abcdef")
    entries = [Entry(n, 4, 10**12, Dot(origin, 3, n), None, b"x") for n in range(1, 1001)]
    packed = pack_batch(entries, ((origin, 3, 0),)).packed
    assert packed.count(b"0123456789abcdef") == 1
    assert len(packed) < 1000 * (len(b"\xc4\x01x") + len(b"\xcd\x03\xe8")) + 100


# -- other releases


def test_columns_that_a_later_release_appends_to_a_batch_are_passed_over() -> None:
    content = msgpack.unpackb(BATCH.packed)[1]
    packed = sealed(msgpack.packb([*content, "more"]))
    assert unpack_batch(packed) == Batch(BATCH.entries, BATCH.vector, packed)


def test_a_batch_of_another_form_is_refused_by_both_numbers() -> None:
    content = msgpack.unpackb(BATCH.packed)[1]
    with pytest.raises(WireError, match=r"form 2, .* form 1"):
        unpack_batch(sealed(msgpack.packb([2, *content[1:]])))


# -- damage


def test_a_wrong_type_in_any_place_of_a_batch_is_refused_and_never_made_to_fit() -> None:
    content = msgpack.unpackb(BATCH.packed)[1]
    for path in paths(content):
        for junk in JUNK:
            changed = msgpack.unpackb(BATCH.packed)[1]
            replace(changed, path, junk)
            try:
                batch = unpack_batch(sealed(msgpack.packb(changed)))
            except WireError:
                continue
            assert conforms(batch, Batch), (path, junk)
            assert unpack_batch(pack_batch(batch.entries, batch.vector).packed).entries


@pytest.mark.parametrize("kind", [Append, NewerLog])
def test_a_flipped_bit_in_a_batch_is_always_found(kind: Any) -> None:
    data = encode(in_envelope(sample(kind)))
    start = data.index(BATCH.packed)
    for changed in flips(data, start, start + len(BATCH.packed)):
        assert outcome(changed) is None
    for changed in flips(BATCH.packed):
        with pytest.raises(WireError, match="checksum"):
            unpack_batch(changed)


@pytest.mark.parametrize("length", range(len(BATCH.packed)))
def test_a_batch_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(WireError):
        unpack_batch(BATCH.packed[:length])


@pytest.mark.parametrize("number", range(1, 12))
def test_columns_of_different_lengths_are_refused(number: int) -> None:
    """Every column has two rows here, but the first index, and the vector of one."""
    content = msgpack.unpackb(BATCH.packed)[1]
    content[number] = [1, 1, 1]
    with pytest.raises(WireError):
        unpack_batch(sealed(msgpack.packb(content)))


@pytest.mark.parametrize(
    ("origin_rows", "why"),
    [
        ([["b", "2"], ["b", "2"]], "twice"),
        ([["b", "2"], ["b"]], "an id and a birth"),
        ([["b", "2"], ["b", 2]], "a text"),
        ([["b", "2"]] * 1025, "at most"),
        ([["b", "2"]], "not in the list"),
    ],
)
def test_origins_stand_once_and_are_numbered(origin_rows: list[Any], why: str) -> None:
    content = msgpack.unpackb(BATCH.packed)[1]
    content[6] = origin_rows
    with pytest.raises(WireError, match=why):
        unpack_batch(sealed(msgpack.packb(content)))


@pytest.mark.parametrize(("column", "what"), [(4, "terms"), (5, "times")])
def test_terms_and_times_do_not_go_back_within_a_batch(column: int, what: str) -> None:
    """Every log relies on that, and would find out in the middle of a step."""
    content = msgpack.unpackb(BATCH.packed)[1]
    content[column] = [3, 2]
    with pytest.raises(WireError, match=f"a batch whose {what} go back"):
        unpack_batch(sealed(msgpack.packb(content)))
    content[column] = [2, 3]
    assert unpack_batch(sealed(msgpack.packb(content))).entries


def test_the_origins_of_a_vector_are_in_order() -> None:
    content = msgpack.unpackb(BATCH.packed)[1]
    content[2:4] = [1, 1], [1, 1]  # of b, and then of a
    with pytest.raises(WireError, match="not in order"):
        unpack_batch(sealed(msgpack.packb(content)))


def test_a_forwarded_operation_has_a_dot() -> None:
    parts = parts_of(encode(in_envelope(sample(Forward))))
    parts[8][0][1] = 0
    with pytest.raises(WireError, match="without a dot"):
        decode(msgpack.packb(parts))


# -- limits


def test_the_longest_batch_is_taken_and_a_longer_one_is_not_made() -> None:
    entries = [
        Entry(n, n, n, Dot(Origin(f"{n % 999}", ""), n, n), n, b"")
        for n in range(BATCH_ENTRIES_MAX)
    ]
    batch = pack_batch(entries, ())
    assert unpack_batch(batch.packed) == batch
    with pytest.raises(WireError, match="at most"):
        pack_batch([*entries, entries[0]._replace(index=BATCH_ENTRIES_MAX)], ())


@pytest.mark.parametrize(
    "entry",
    [
        Entry(1, -1, 1, None, None, b""),
        Entry(1, 1, 2**63, None, None, b""),
        Entry(1, 1, 1, None, -5, b""),
        Entry(1, 1, 1, Dot(Origin("x" * (ID_CHARS_MAX + 1), "1"), 1, 1), None, b""),
        Entry(INT_MAX + 1, 1, 1, None, None, b""),
        Entry(1, 1, 1, None, None, bytes(OPERATION_BYTES_MAX + 1)),
    ],
    ids=["term", "at", "until", "origin", "index", "operation"],
)
def test_a_batch_that_others_would_refuse_is_not_made(entry: Entry) -> None:
    """It would stand in the leader's log, and no follower could ever take it."""
    with pytest.raises(WireError):
        pack_batch([entry], ())
    with pytest.raises(WireError):
        pack_batch([Entry(entry.index - 1, 1, 1, None, None, b""), entry], ())


@pytest.mark.parametrize("place", [("birth", 1), ("birth", 1, 2, 3)])
def test_a_vector_whose_places_are_no_triples_is_not_packed(place: tuple[Any, ...]) -> None:
    vector: Any = (place,)
    with pytest.raises(ValueError, match="values to unpack"):
        pack_batch(BATCH.entries, vector)
