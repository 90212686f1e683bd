"""What nodes say to each other survives the way, and of what is damaged nothing is used."""

from __future__ import annotations

import struct
import tracemalloc
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import msgpack
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from peers.core.entry import Batch, Dot, Entry, Epoch, Origin, Position, Proposal
from peers.core.membership import Member, Membership, Role
from peers.core.messages import (
    Append,
    AppendAnswer,
    Envelope,
    Forward,
    Hello,
    Message,
    NewerLog,
    Probe,
)
from peers.wire import (
    CODECS,
    CODES,
    VERSION,
    UnknownKindError,
    WireError,
    decode,
    encode,
    pack_batch,
    unpack_batch,
)
from peers.wire_fields import (
    BATCH_ENTRIES_MAX,
    BATCHES_MAX,
    FRAME_BYTES_MAX,
    ID_CHARS_MAX,
    INT_MAX,
    OPERATION_BYTES_MAX,
    OPERATIONS_MAX,
    REACHES_MAX,
)

KINDS = sorted(CODES, key=lambda kind: CODES[kind])
A, B = Origin("a", "1"), Origin("b", "2")
BATCH = pack_batch(
    (Entry(5, 2, 1000, None, None, b""), Entry(6, 2, 1001, Dot(A, 1, 1), 2000, b"set")),
    ((B, 3, 9),),
)
PLAIN: dict[Any, Any] = {int: 5, bool: True, str: "a", bytes: b"x", Batch: BATCH}


def in_envelope(message: Message) -> Envelope:
    return Envelope(A, 7, Epoch(1, "e0"), "b", 3, message)


# -- what the annotations of a class say: a value, all values, and whether it is one


def sample(hint: Any) -> Any:
    """One value of an annotation, always the same."""
    args = typing.get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if typing.get_origin(hint) is tuple:
        return tuple(sample(arg) for arg in args if arg is not ...)
    if args:
        return sample(args[0])
    return hint(*map(sample, hints_of(hint)))


def hints_of(kind: Any) -> list[Any]:
    hints = typing.get_type_hints(kind)
    names = (
        (field.name for field in fields(kind) if field.init) if is_dataclass(kind) else kind._fields
    )
    return [hints[name] for name in names]


def values(hint: Any) -> st.SearchStrategy[Any]:
    """All values of an annotation."""
    args = typing.get_args(hint)
    if hint in STRATEGIES:
        return STRATEGIES[hint]
    if typing.get_origin(hint) is tuple and args[1:] == (...,):
        return st.lists(values(args[0]), max_size=3).map(tuple)
    if typing.get_origin(hint) is tuple:
        return st.tuples(*map(values, args))
    if args:
        return st.one_of([st.none() if arg is types.NoneType else values(arg) for arg in args])
    return st.builds(hint, *map(values, hints_of(hint)))


def conforms(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, to the letter: a bool is no int."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        inner = args[:1] * len(value) if args[1:] == (...,) else args
        return type(value) is tuple and all(map(conforms, value, inner))
    if args:
        return any(conforms(value, arg) for arg in args)
    if type(value) is not hint:
        return False
    if hint is int:
        return bool(0 <= value <= INT_MAX)
    if hint in (bool, bytes, types.NoneType):
        return True
    if hint is str:
        return len(value) <= ID_CHARS_MAX
    parts = value if isinstance(value, tuple) else [getattr(value, f.name) for f in fields(hint)]
    return all(map(conforms, parts, hints_of(hint)))


ints = st.integers(0, INT_MAX)
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=ID_CHARS_MAX)
origins = st.builds(Origin, ids, ids)
dots = st.builds(Dot, origins | st.sampled_from([A, B]), ints, ints)
maybe_ints = st.none() | ints
rows = st.tuples(ints, ints, st.none() | dots, maybe_ints, st.binary(max_size=40))
like_rows = st.tuples(st.just(3), st.just(70), st.just(Dot(A, 1, 1)), st.none(), st.binary())
vectors = st.dictionaries(origins, st.tuples(ints, ints), max_size=4).map(
    lambda places: tuple((origin, *places[origin]) for origin in sorted(places))
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    drawn = draw(st.lists(rows | like_rows, min_size=1, max_size=6))
    first = draw(st.integers(0, INT_MAX - len(drawn)))
    entries = [Entry(index, *row) for index, row in enumerate(drawn, first)]
    return pack_batch(entries, draw(vectors))


STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    int: ints,
    bool: st.booleans(),
    str: ids,
    bytes: st.binary(max_size=40),
    Batch: batches(),
    Proposal: st.builds(Proposal, dots, st.binary(max_size=40), maybe_ints),
}


def outcome(data: bytes) -> Envelope | None:
    """What bytes give: a right envelope or, by a WireError, nothing. All else fails the test."""
    try:
        envelope = decode(data)
    except WireError:
        return None
    hints = typing.get_type_hints(Envelope)
    for field in fields(Envelope):
        hint = type(envelope.message) if field.name == "message" else hints[field.name]
        assert conforms(getattr(envelope, field.name), hint), (field.name, envelope)
    assert type(envelope.message) in CODES
    assert decode(encode(envelope)) == envelope
    return envelope


def parts_of(data: bytes) -> list[Any]:
    """An envelope's array, for tests that change a part of it."""
    parts: list[Any] = msgpack.unpackb(data)
    return parts


def flips(data: bytes, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    for place in range(start, len(data) if end is None else end):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            yield bytes(changed)


def sealed(content: bytes) -> bytes:
    """Any content under the checksum that makes it believed."""
    return struct.pack(">HQ", 0x92CF, xxhash.xxh3_64_intdigest(content)) + content


# -- the way there and back


def test_every_message_has_a_code() -> None:
    assert set(CODES) == set(typing.get_args(Message))
    assert len(set(CODES.values())) == len(CODES)


def test_a_code_never_changes() -> None:
    """A new one is added here; one that stands here is what nodes of other releases say."""
    assert {kind.__name__: code for kind, code in CODES.items()} == {
        "PreVote": 1,
        "PreVoteAnswer": 2,
        "Vote": 3,
        "VoteAnswer": 4,
        "TakeLog": 5,
        "NewerLog": 6,
        "Append": 7,
        "AppendAnswer": 8,
        "Probe": 9,
        "ProbeAnswer": 10,
        "Forward": 11,
        "ForwardAnswer": 12,
        "TransferLead": 13,
        "BarrierAsk": 14,
        "BarrierAnswer": 15,
        "Recover": 16,
        "RecoverAnswer": 17,
        "Hello": 18,
    }


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_message_comes_out_as_it_went_in(kind: Any, data: st.DataObject) -> None:
    message = data.draw(values(kind))
    envelope = data.draw(
        st.builds(Envelope, origins, ints, values(Epoch), ids, ints, st.just(message))
    )
    assert decode(encode(envelope)) == envelope
    assert outcome(encode(envelope)) == envelope


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


# What was sent once is what releases to come must read. Bytes that change here break a cluster
# whose nodes are upgraded one after another.
PINNED: dict[str, tuple[Message, str]] = {
    "hello": (
        Hello(("a", "b")),
        "98 01 12 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 03 91 92 a1 61 a1 62",
    ),
    "probe": (
        Probe(term=3, sent=70_000),
        "98 01 09 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 03 92 03 ce 00 01 11 70",
    ),
    "append": (
        Append(2, Position(1, 4), (BATCH,), 4, 3, 1001, 8, None),
        "98 01 07 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 03 98 02 92 01 04 91 c4 3a"
        "92 cf eb 2b 8f c8 4c d1 94 ac"
        "9c 01 05 91 03 91 09 02 92 cd 03 e8 cd 03 e9 92 92 a1 62 a1 32 92 a1 61 a1 31"
        "92 00 02 92 00 01 92 00 01 92 c0 cd 07 d0 92 c4 00 c4 03 73 65 74"
        "04 03 cd 03 e9 08 c0",
    ),
    "append answer": (
        AppendAnswer(2, None, Position(1, 4), 8, 9, True, False, ("b",)),
        "98 01 08 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 03"
        "98 02 c0 92 01 04 08 09 c3 c2 91 a1 62",
    ),
    "forward": (
        Forward((Proposal(Dot(A, 7, 1), b"set", None), Proposal(Dot(A, 7, 2), b"", 50))),
        "98 01 0b 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 03 91"
        "96 91 92 a1 61 a1 31 01 07 92 01 02 92 c0 32 92 c4 03 73 65 74 c4 00",
    ),
}


@pytest.mark.parametrize("name", PINNED)
def test_the_bytes_of_a_message_do_not_change(name: str) -> None:
    message, written = PINNED[name]
    assert encode(in_envelope(message)).hex() == written.replace(" ", "")
    assert decode(bytes.fromhex(written)) == in_envelope(message)


# -- other releases


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_later_release_appends_is_passed_over(kind: Any) -> None:
    envelope = in_envelope(sample(kind))
    parts = parts_of(encode(envelope))
    for array in (parts, parts[2], parts[4], parts[7]):
        array += ["more", [1, [b"2"]]]
    assert decode(msgpack.packb(parts)) == envelope


def test_columns_that_a_later_release_appends_to_a_batch_are_passed_over() -> None:
    content = msgpack.unpackb(BATCH.packed)[1]
    packed = sealed(msgpack.packb([*content, "more"]))
    assert unpack_batch(packed) == Batch(BATCH.entries, BATCH.vector, packed)


@dataclass(frozen=True, slots=True)
class Grown:
    """A message as it is after two fields were added."""

    term: int
    last: Position
    note: str | None = None
    ready: bool = True


def test_what_an_earlier_release_lacks_takes_its_default() -> None:
    unpack = CODECS.of(Grown).unpack
    assert unpack((1, (2, 3))) == Grown(1, Position(2, 3))
    assert unpack((1, (2, 3), "x")) == Grown(1, Position(2, 3), "x")
    assert unpack((1, (2, 3), "x", False)) == Grown(1, Position(2, 3), "x", ready=False)
    with pytest.raises(WireError, match="Grown: at least 2 fields"):
        unpack((1,))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_without_a_default_may_not_be_missing(kind: Any) -> None:
    parts = parts_of(encode(in_envelope(sample(kind))))
    parts[7].pop()
    with pytest.raises(WireError, match=f"{kind.__name__}: at least"):
        decode(msgpack.packb(parts))


def test_the_parent_of_an_epoch_may_be_missing() -> None:
    parts = parts_of(encode(in_envelope(sample(Hello))))
    parts[4].pop()
    assert decode(msgpack.packb(parts)) == in_envelope(sample(Hello))


@pytest.mark.parametrize("version", [0, VERSION + 1, 127])
def test_another_version_is_refused_by_both_numbers(version: int) -> None:
    data = bytes([0x93, version, 0xC1, 0xC1])  # whatever the rest may be
    with pytest.raises(WireError, match=rf"version {version}, .* speaks versions 1 to {VERSION}"):
        decode(data)


def test_a_message_of_an_unknown_kind_can_be_told_from_damage() -> None:
    parts = parts_of(encode(in_envelope(sample(Hello))))
    parts[1] = 4_000
    with pytest.raises(UnknownKindError, match="kind 4000"):
        decode(msgpack.packb(parts))


def test_a_batch_of_another_form_is_refused_by_both_numbers() -> None:
    content = msgpack.unpackb(BATCH.packed)[1]
    with pytest.raises(WireError, match=r"form 2, .* form 1"):
        unpack_batch(sealed(msgpack.packb([2, *content[1:]])))


# -- damage


@given(st.binary(max_size=200))
def test_any_bytes_give_an_envelope_or_a_wire_error(data: bytes) -> None:
    outcome(data)
    outcome(b"\x97\x01" + data)
    for packed in (data, sealed(data)):
        try:
            unpack_batch(packed)
        except WireError:
            continue


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    | st.binary(max_size=3)
    | st.just(BATCH.packed),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=1), inner),
    max_leaves=12,
)


@given(st.sampled_from(KINDS), st.data())
def test_any_data_in_any_place_gives_an_envelope_or_a_wire_error(
    kind: Any, data: st.DataObject
) -> None:
    parts = parts_of(encode(in_envelope(sample(kind))))
    array = data.draw(st.sampled_from([parts, parts[2], parts[4], parts[7]]))
    array[data.draw(st.integers(0, len(array) - 1))] = data.draw(plain)
    outcome(msgpack.packb(parts))


JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    1.5,
    "x",
    "x" * 65,
    b"x",
    "\0",
    [],
    [[]],
    [True],
    [-1],
    {},
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_type_in_any_place_is_refused_and_never_made_to_fit(kind: Any) -> None:
    """What is accepted is what came: written again, it is the same bytes."""
    data = encode(in_envelope(sample(kind)))
    for path in paths(parts_of(data)):
        for junk in JUNK:
            parts = parts_of(data)
            replace(parts, path, junk)
            changed = msgpack.packb(parts)
            envelope = outcome(changed)
            if envelope is None or envelope.message == Forward(()):  # no rows, whatever they are of
                continue
            assert encode(envelope) == changed, (path, junk)


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


def paths(array: list[Any], before: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    for place, part in enumerate(array):
        yield (*before, place)
        if isinstance(part, list):
            yield from paths(part, (*before, place))


def replace(array: list[Any], path: tuple[int, ...], junk: Any) -> None:
    for place in path[:-1]:
        array = array[place]
    array[path[-1]] = junk


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_cut_short_or_goes_on_is_refused(kind: Any) -> None:
    data = encode(in_envelope(sample(kind)))
    assert outcome(data) == in_envelope(sample(kind))
    assert [n for n in range(len(data)) if outcome(data[:n]) is not None] == []
    assert outcome(data + b"\xc0") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_gives_an_envelope_or_a_wire_error(kind: Any) -> None:
    for changed in flips(encode(in_envelope(sample(kind)))):
        outcome(changed)


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


# -- claims and limits


def test_more_than_a_message_may_have_is_refused() -> None:
    hello, append = encode(in_envelope(sample(Hello))), encode(in_envelope(sample(Append)))
    too_many: list[tuple[bytes, tuple[int, ...], Any]] = [
        (hello, (7, 0), ["b"] * (REACHES_MAX + 1)),
        (hello, (7, 0, 0), "b" * (ID_CHARS_MAX + 1)),
        (hello, (2, 1), "1" * (ID_CHARS_MAX + 1)),
        (append, (7, 2), [BATCH.packed] * (BATCHES_MAX + 1)),
    ]
    for data, path, junk in too_many:
        parts = parts_of(data)
        replace(parts, path, junk)
        assert outcome(msgpack.packb(parts)) is None, path
        replace(parts, path, junk[1:])
        assert outcome(msgpack.packb(parts)) is not None, path


CLAIMS = {
    "array": b"\xdd\xff\xff\xff\xff",
    "arrays in arrays": b"\xdd\x01\x00\x00\x00" * 1000 + bytes(1 << 24),
    "short arrays in arrays": b"\xdc\x0f\xff" * 2000,
    "arrays beside arrays": b"\xdc\x0f\xff" + (b"\xdc\x0f\xff" + b"\x90" * 0xFFF) * 2000,
    "map": b"\xdf\xff\xff\xff\xff",
    "bytes": b"\xc6\xff\xff\xff\xff",
    "text": b"\xdb\xff\xff\xff\xff",
    "text of wide letters": b"\xdb\x01\x00\x00\x04" + b"x" * (16 << 20) + "🗝".encode(),
    "extension": b"\xc9\xff\xff\xff\xff\x01",
    "time": b"\xd6\xff\x00\x00\x00\x00",
    "depth": b"\x91" * 500_000,
}


@pytest.mark.parametrize("name", CLAIMS)
def test_what_is_claimed_is_not_allocated(name: str) -> None:
    in_message = b"\x97\x01\x07" + CLAIMS[name]
    in_batch = sealed(b"\x9c\x01\x05" + CLAIMS[name])
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            decode(in_message)
        with pytest.raises(WireError):
            unpack_batch(in_batch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The worst are arrays in arrays, 1024 deep, each as long as one may be; unread, they are gone.
    assert peak < 40 << 20


@pytest.mark.parametrize("error", [MemoryError, RecursionError, OverflowError, TypeError])
def test_whatever_cannot_be_read_is_a_wire_error(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    data = encode(in_envelope(sample(Hello)))
    monkeypatch.setattr(msgpack, "unpackb", fail)
    with pytest.raises(WireError):
        decode(data)


def test_there_are_no_maps_even_where_nobody_looks() -> None:
    """A field of a later release would not be a map either: an empty one is 64 times its byte."""
    parts = parts_of(encode(in_envelope(sample(Hello))))
    with pytest.raises(WireError, match="a map"):
        decode(msgpack.packb([*parts, {}]))


def test_a_field_of_bytes_holds_as_much_as_an_operation() -> None:
    unpack = CODECS.of(bytes).unpack
    assert len(unpack(bytes(OPERATION_BYTES_MAX))) == OPERATION_BYTES_MAX
    for found in (bytes(OPERATION_BYTES_MAX + 1), "text", None):
        with pytest.raises(WireError, match="at most"):
            unpack(found)


def test_a_frame_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(WireError, match="the most"):
        decode(bytes(FRAME_BYTES_MAX + 1))
    data = encode(in_envelope(sample(Hello)))
    assert decode(data, frame_bytes_max=len(data))
    with pytest.raises(WireError, match="the most"):
        decode(data, frame_bytes_max=len(data) - 1)


def test_what_would_be_refused_there_is_refused_here() -> None:
    proposal = Proposal(Dot(A, 1, 1), b"", None)
    for message in (
        Hello(("a",) * (REACHES_MAX + 1)),
        Forward((proposal,) * (OPERATIONS_MAX + 1)),
        Forward((proposal._replace(operation=bytes(OPERATION_BYTES_MAX + 1)),)),
        NewerLog(1, Position(1, 1), (BATCH,) * (BATCHES_MAX + 1)),
        Hello(("\ud800",)),
        Probe(term=2**64, sent=0),
    ):
        with pytest.raises(WireError):
            encode(in_envelope(message))


def test_the_largest_message_is_taken_and_a_larger_one_is_not_sent() -> None:
    large = [Entry(n, 1, 1, None, None, bytes(OPERATION_BYTES_MAX - 50)) for n in (1, 2, 3)]
    batch = pack_batch(large[:2], ())
    envelope = in_envelope(NewerLog(1, Position(0, 0), (batch,)))
    assert decode(encode(envelope)) == envelope
    with pytest.raises(WireError, match="a batch of"):
        pack_batch(large, ())
    with pytest.raises(WireError, match="a message of"):
        encode(in_envelope(NewerLog(1, Position(0, 0), (batch,) * 3)))


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


def test_the_origins_of_a_vector_are_in_order() -> None:
    content = msgpack.unpackb(BATCH.packed)[1]
    content[2:4] = [1, 1], [1, 1]  # of b, and then of a
    with pytest.raises(WireError, match="not in order"):
        unpack_batch(sealed(msgpack.packb(content)))


def test_a_forwarded_operation_has_a_dot() -> None:
    parts = parts_of(encode(in_envelope(sample(Forward))))
    parts[7][0][1] = 0
    with pytest.raises(WireError, match="without a dot"):
        decode(msgpack.packb(parts))


# -- what messages to come are made of


@given(st.dictionaries(ids, st.builds(Member, ids, ids, ints, st.sampled_from(Role), ids)))
def test_a_membership_crosses(members: dict[str, Member]) -> None:
    membership = Membership(
        tuple(
            Member(id, member.birth, member.priority, member.role, details=(("url", "u" * 1024),))
            for id, member in sorted(members.items())
        )
    )
    pack, unpack = CODECS.of(Membership)
    assert pack is not None
    crossed = msgpack.unpackb(msgpack.packb(pack(membership)), use_list=False)
    assert unpack(crossed) == membership


@pytest.mark.parametrize(
    "found",
    [
        ((("b", "1"), ("a", "1")),),
        ((("a", "1"), ("a", "2")),),
        ((("a", "1", 100, "emperor"),),),
        ((("a", "1", 100, ["voter"]),),),
        ((("a", "1", 100, "voter", "", (("label",),)),),),
        ((("a", "1", 100, "voter", "", (("label", "x" * 1025),)),),),
        ((("a", "1"),) * 65,),
    ],
)
def test_a_membership_that_is_none_is_refused(found: Any) -> None:
    with pytest.raises(WireError):
        CODECS.of(Membership).unpack(found)


def test_a_type_without_a_codec_is_found_when_the_module_is_loaded() -> None:
    with pytest.raises(TypeError, match="no codec for"):
        CODECS.of(dict[str, int])
