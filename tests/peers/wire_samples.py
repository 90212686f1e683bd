"""What the tests of the wire share: values of every annotation, and ways to damage bytes."""

from __future__ import annotations

import struct
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgpack
import xxhash
from hypothesis import strategies as st

from peers.core.entry import Batch, Dot, Entry, Epoch, Origin, Places, Proposal
from peers.core.membership import Member, Membership, Role
from peers.core.messages import Envelope, Message
from peers.errors import WireError
from peers.wire import CODES, decode, encode, pack_batch
from peers.wire_fields import DETAIL_CHARS_MAX, ID_CHARS_MAX, INT_MAX

A, B = Origin("a", "1"), Origin("b", "2")
BATCH = pack_batch(
    (Entry(5, 2, 1000, None, None, b""), Entry(6, 2, 1001, Dot(A, 1, 1), 2000, b"set")),
    ((B, 3, 9),),
)
PLAIN: dict[Any, Any] = {
    int: 5,
    bool: True,
    str: "a",
    bytes: b"x",
    Batch: BATCH,
    Role: Role.OBSERVER,
}


def in_envelope(message: Message) -> Envelope:
    """A message as it travels."""
    return Envelope(A, 7, Epoch(1, "e0"), "b", "2", 3, message)


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
    """The annotations of a record's fields, in the order in which it is made of them."""
    hints = typing.get_type_hints(kind)
    names = (
        (field.name for field in fields(kind) if field.init) if is_dataclass(kind) else kind._fields
    )
    return [hints[name] for name in names]


def values(
    hint: Any, known: Mapping[Any, st.SearchStrategy[Any]] | None = None
) -> st.SearchStrategy[Any]:
    """All values of an annotation; or those that are made of what is `known`."""
    args = typing.get_args(hint)
    known = STRATEGIES if known is None else known
    if hint in known:
        return known[hint]
    if typing.get_origin(hint) is tuple and args[1:] == (...,):
        return st.lists(values(args[0], known), max_size=3).map(tuple)
    if typing.get_origin(hint) is tuple:
        return st.tuples(*(values(arg, known) for arg in args))
    if args:
        return st.one_of(
            [st.none() if arg is types.NoneType else values(arg, known) for arg in args]
        )
    return st.builds(hint, *(values(each, known) for each in hints_of(hint)))


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
    if hint is Batch:
        content = (value.entries, value.vector, value.packed)
        return conforms(content, tuple[tuple[Entry, ...], Places, bytes])
    if hint is int:
        return bool(0 <= value <= INT_MAX)
    if hint in (bool, bytes, types.NoneType, Role):
        return True
    if hint is str:
        return len(value) <= DETAIL_CHARS_MAX  # shorter limits are tested apart
    parts = value if isinstance(value, tuple) else [getattr(value, f.name) for f in fields(hint)]
    return all(map(conforms, parts, hints_of(hint)))


ints = st.integers(0, INT_MAX)
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=ID_CHARS_MAX)
origins = st.builds(Origin, ids, ids)
dots = st.builds(Dot, origins | st.sampled_from([A, B]), ints, ints)
maybe_ints = st.none() | ints
rows = st.tuples(ints, ints, dots, maybe_ints, st.binary(max_size=40)) | st.tuples(
    ints, ints, st.none(), maybe_ints, st.just(b"")
)
like_rows = st.tuples(st.just(3), st.just(70), st.just(Dot(A, 1, 1)), st.none(), st.binary())
vectors = st.dictionaries(origins, st.tuples(ints, ints), max_size=4).map(
    lambda places: tuple((origin, *places[origin]) for origin in sorted(places))
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Any batch; rows that are alike are frequent, since they are written otherwise."""
    drawn: list[Any] = draw(st.lists(rows | like_rows, min_size=1, max_size=6))
    first = draw(st.integers(0, INT_MAX - len(drawn)))
    terms, ats = (sorted(row[place] for row in drawn) for place in (0, 1))  # they never go back
    entries = [
        Entry(first + n, term, at, *row[2:])
        for n, (term, at, row) in enumerate(zip(terms, ats, drawn, strict=True))
    ]
    return pack_batch(entries, draw(vectors))


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    """Any membership: its members stand in the order of their ids."""
    names = draw(st.lists(ids, max_size=4, unique=True))
    kinds = st.tuples(ids, ints, st.sampled_from(Role), ids, st.just((("zone", "1"),)))
    return Membership(tuple(Member(id, *draw(kinds)) for id in sorted(names)), draw(ints))


STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    int: ints,
    bool: st.booleans(),
    str: ids,
    bytes: st.binary(max_size=40),
    Batch: batches(),
    Membership: memberships(),
    Role: st.sampled_from(Role),
    Proposal: st.builds(Proposal, dots, st.binary(max_size=40), maybe_ints),
}


# -- bytes, and what becomes of them when they are changed


def outcome(data: bytes) -> Envelope | None:
    """What bytes give: a right envelope or, by a WireError, nothing. All else fails the test."""
    try:
        envelope = decode(data)
    except WireError:
        return None
    hints = typing.get_type_hints(Envelope)
    for name, value in zip(Envelope._fields, envelope, strict=True):
        hint = type(envelope.message) if name == "message" else hints[name]
        assert conforms(value, hint), (name, envelope)
    assert type(envelope.message) in CODES
    assert decode(encode(envelope)) == envelope
    return envelope


def parts_of(data: bytes) -> list[Any]:
    """An envelope's array, for tests that change a part of it."""
    parts: list[Any] = msgpack.unpackb(data)
    return parts


def flips(data: bytes, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The data with one bit changed, for every bit of a part of it."""
    for place in range(start, len(data) if end is None else end):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            yield bytes(changed)


def sealed(content: bytes) -> bytes:
    """Any content under the checksum that makes it believed."""
    return struct.pack(">HQ", 0x92CF, xxhash.xxh3_64_intdigest(content)) + content


def paths(array: list[Any], before: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Every place of an array and of the arrays in it."""
    for place, part in enumerate(array):
        yield (*before, place)
        if isinstance(part, list):
            yield from paths(part, (*before, place))


def replace(array: list[Any], path: tuple[int, ...], junk: Any) -> None:
    """Put something else into a place."""
    for place in path[:-1]:
        array = array[place]
    array[path[-1]] = junk


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
