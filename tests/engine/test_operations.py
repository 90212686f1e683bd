"""Operations survive the way through the log, and what is not well formed is never applied."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.engine.operations import (
    CODES,
    LIFE_MS_MAX,
    NAMEABLE,
    Checkpoint,
    Clear,
    Delete,
    Evict,
    Expire,
    GiveUpWait,
    Incr,
    Lock,
    Once,
    Operation,
    Publish,
    Renew,
    Set,
    SetMany,
    Settings,
    Touch,
    UnknownOperationError,
    Unlock,
    decode,
    encode,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ints = st.integers(-(2**63), 2**63 - 1)
naturals = st.integers(0, 2**53)
lives = st.integers(0, LIFE_MS_MAX)
maybe_lives = st.none() | lives
revs = st.none() | ints | texts
conditions = (
    st.none()
    | st.sampled_from([("absent",), ("present",)])
    | st.tuples(st.sampled_from(["version", "unchanged"]), naturals)
)
rows = st.tuples(texts, st.binary(), maybe_lives, revs, st.none() | texts)
budgets = st.tuples(st.sampled_from(["max_entries", "max_bytes"]), st.none() | naturals)
times = st.tuples(st.sampled_from(["once_ms", "tombstone_ms"]), naturals)


def made(kind: type[Any], *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(*fields).map(lambda drawn: kind(*drawn))


OPERATIONS: dict[type[Any], st.SearchStrategy[Any]] = {
    Set: made(
        Set,
        texts,
        st.binary(),
        maybe_lives,
        st.booleans(),
        conditions,
        revs,
        st.none() | texts,
        st.booleans(),
    ),
    SetMany: made(SetMany, st.lists(rows, max_size=3).map(tuple)),
    Delete: made(Delete, st.lists(texts, max_size=3).map(tuple))
    | made(Delete, st.tuples(texts), conditions, revs),
    Touch: made(Touch, texts, maybe_lives),
    Incr: made(Incr, texts, ints, maybe_lives),
    Clear: made(Clear, texts),
    Publish: made(Publish, texts, st.binary()),
    Lock: made(Lock, texts, lives, lives),
    Unlock: made(Unlock, texts, ints),
    Renew: made(Renew, texts, ints, lives),
    GiveUpWait: made(GiveUpWait, texts, ints, ints),
    Expire: made(Expire, ints),
    Evict: made(Evict, st.lists(st.tuples(texts, ints), max_size=3).map(tuple)),
    Checkpoint: made(Checkpoint, ints, st.none() | st.integers(0, 2**64 - 1)),
    Settings: made(Settings, st.lists(budgets | times, max_size=3).map(tuple)),
}
operations = st.one_of(*OPERATIONS.values())
names = st.builds(Once, texts, naturals, naturals, st.none() | naturals)
wrong = st.sampled_from([True, 1.5, [], (), {}, {"a": 1}, ("a", "b"), msgpack.ExtType(5, b"")])


def test_every_operation_is_drawn_here() -> None:
    assert OPERATIONS.keys() == CODES.keys()


@given(operations, st.none() | names)
def test_what_is_decoded_is_what_was_encoded(operation: Operation, once: Once | None) -> None:
    name = once if isinstance(operation, NAMEABLE) else None
    assert decode(encode(operation, name)) == (operation, name)
    assert type(decode(encode(operation))[0]) is type(operation)


@given(operations, st.data())
def test_a_field_of_another_type_is_refused(operation: Operation, data: st.DataObject) -> None:
    fields = list(operation)
    place = data.draw(st.integers(0, len(fields) - 1))
    replacement = data.draw(wrong)
    if isinstance(fields[place], bool) and replacement is True:
        replacement = 1
    # A list without members, or of texts, is fine where such a list is meant.
    if isinstance(fields[place], tuple) and isinstance(replacement, (list, tuple)):
        replacement = (1,)
    fields[place] = replacement
    with pytest.raises(UnknownOperationError):
        decode(msgpack.packb((CODES[type(operation)], None, *fields)))


@given(operations, st.sampled_from([None, 0, "new"]))
def test_a_longer_operation_of_a_later_release_is_refused_and_not_misread(
    operation: Operation, more: object
) -> None:
    with pytest.raises(UnknownOperationError, match="upgrade the node"):
        decode(msgpack.packb((CODES[type(operation)], None, *operation, more)))


@given(operations)
def test_an_operation_that_lacks_a_field_without_a_default_is_refused(
    operation: Operation,
) -> None:
    required = len(operation) - len(operation._field_defaults)
    fields = tuple(operation)[: required - 1] if required else (*operation, None)
    with pytest.raises(UnknownOperationError):
        decode(msgpack.packb((CODES[type(operation)], None, *fields)))


def test_a_shorter_operation_of_an_earlier_release_has_the_defaults() -> None:
    assert decode(msgpack.packb((1, None, "k", b"v"))) == (Set("k", b"v"), None)
    assert decode(msgpack.packb((5, None, "k"))) == (Incr("k", 1, None), None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        b"\x91",
        msgpack.packb(5),
        msgpack.packb(()),
        msgpack.packb((1,)),
        msgpack.packb((99, None)),
        msgpack.packb(([], None)),
        msgpack.packb(({}, None, "k", b"v")),
        msgpack.packb((1, None, "k", b"v")) + b"\x00",
        b"\x93\x01\xc0\xa1\xff",
        b"\xc7\x03\xff" + bytes(3),
        b"\x91" * 2_000 + b"\x00",
    ],
    ids=lambda content: content[:4].hex() or "nothing",
)
def test_bytes_that_are_no_operation_are_refused(content: bytes) -> None:
    with pytest.raises(UnknownOperationError):
        decode(content)


@given(st.binary(max_size=40))
def test_random_bytes_are_refused_or_make_a_whole_operation(content: bytes) -> None:
    try:
        operation, once = decode(content)
    except UnknownOperationError:
        return
    assert decode(encode(operation, once)) == (operation, once)


@pytest.mark.parametrize(
    "once",
    [
        ("s", 1),
        ("s", 1, 2, 3, 4),
        (b"s", 1, 2),
        ("s", "1", 2),
        ("s", 1, None),
        ("s", 1, 2, "3"),
        ("s", True, 2),
        "sss",
        5,
    ],
    ids=str,
)
def test_a_name_that_is_not_whole_is_refused(once: object) -> None:
    with pytest.raises(UnknownOperationError):
        decode(msgpack.packb((5, once, "k")))


@pytest.mark.parametrize(
    "operation", [Expire(1), Evict(()), Checkpoint(0, None), Settings(()), GiveUpWait("l", 1, 1)]
)
def test_what_clients_do_not_ask_for_has_no_name(operation: Operation) -> None:
    with pytest.raises(UnknownOperationError):
        decode(encode(operation, Once("s", 1, 1)))


@pytest.mark.parametrize(
    "condition",
    [
        ("unheard-of",),
        ("absent", 1),
        ("version",),
        ("version", "1"),
        ("unchanged", True),
        (),
        "absent",
    ],
    ids=str,
)
def test_an_unknown_condition_is_refused(condition: object) -> None:
    """A condition that is not understood must not count as one that holds."""
    with pytest.raises(UnknownOperationError):
        decode(msgpack.packb((1, None, "k", b"v", None, False, condition)))
    with pytest.raises(UnknownOperationError):
        decode(msgpack.packb((3, None, ("k",), condition)))


@pytest.mark.parametrize("life", [-1, LIFE_MS_MAX + 1, 2**64 - 1])
def test_a_life_that_would_end_beyond_all_time_is_refused(life: int) -> None:
    """Its end would not fit 64 bits, and every node would stumble over it at once."""
    for operation in (
        Set("k", b"", life),
        SetMany((("k", b"", life, None, None),)),
        Touch("k", life),
        Incr("k", 1, life),
        Lock("l", life),
        Lock("l", 1, life),
        Renew("l", 1, life),
    ):
        with pytest.raises(UnknownOperationError):
            decode(encode(operation))


def test_conditions_and_revisions_go_with_a_single_key() -> None:
    for keys in ((), ("a", "b")):
        with pytest.raises(UnknownOperationError):
            decode(encode(Delete(keys, ("absent",))))
        with pytest.raises(UnknownOperationError):
            decode(encode(Delete(keys, None, 1)))


@pytest.mark.parametrize(
    "change",
    [
        ("unheard_of", 1),
        ("once_ms", None),
        ("once_ms", -1),
        ("max_bytes", "1"),
        ("max_entries", True),
        (5, 5),
        ("once_ms",),
    ],
    ids=str,
)
def test_a_setting_that_this_release_cannot_have_is_refused(change: object) -> None:
    """Ignoring it would let the nodes' settings, and then their states, come apart."""
    with pytest.raises(UnknownOperationError):
        decode(msgpack.packb((15, None, (change,))))
