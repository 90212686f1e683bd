"""Who belongs crosses as the operation of an entry, which has no dot and stands alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.core.entry import Batch, Entry, Places
from peers.core.membership import NOBODY, Member, Membership, Role
from peers.errors import WireError
from peers.wire import pack_batch, unpack_batch
from peers.wire_fields import (
    DETAIL_CHARS_MAX,
    ID_CHARS_MAX,
    INT_MAX,
    OPERATION_BYTES_MAX,
    REACHES_MAX,
)
from peers.wire_members import pack_membership, unpack_membership
from tests.peers.wire_samples import (
    JUNK,
    A,
    B,
    conforms,
    flips,
    ints,
    memberships,
    paths,
    replace,
    sealed,
    vectors,
)

MEMBERSHIP = Membership(
    (
        Member("a", "1", details=(("zone", "north"),)),
        Member("b", "2", 50, Role.OBSERVER, "eu", joining=True),
    ),
    level=3,
)
ENTRY = Entry(5, 2, 1000, None, None, b"", MEMBERSHIP)
BATCH = pack_batch((ENTRY,), ((A, 3, 9), (B, 1, 1)))
OPERATIONS = 11  # the last column of a batch
UNTILS = 10
NUMBERS = 7  # of the origins in its list; 0 where there is no dot


def content_of(batch: Batch) -> list[Any]:
    """What is under the checksum of a batch, for tests that change a part of it."""
    content: list[Any] = msgpack.unpackb(batch.packed)[1]
    return content


def with_operation(operation: bytes) -> bytes:
    """The batch with something else where the membership stands."""
    content = content_of(BATCH)
    content[OPERATIONS] = [operation]
    return sealed(msgpack.packb(content))


# -- the way there and back


@given(memberships(), st.integers(0, INT_MAX - 1), ints, ints, vectors)
def test_a_membership_comes_out_of_a_batch_as_it_went_in(
    membership: Membership, index: int, term: int, at: int, vector: Places
) -> None:
    batch = pack_batch((Entry(index, term, at, None, None, b"", membership),), vector)
    again = unpack_batch(batch.packed)
    assert again == batch
    assert again.membership == membership
    assert again.packed is batch.packed


def test_that_nobody_belongs_crosses_too() -> None:
    """It is not taken for an entry that says nothing."""
    batch = pack_batch((ENTRY._replace(membership=NOBODY),), ())
    assert unpack_batch(batch.packed).entries == (ENTRY._replace(membership=NOBODY),)
    empty = pack_batch((ENTRY._replace(membership=None),), ())
    assert unpack_batch(empty.packed).membership is None


def test_the_bytes_of_a_membership_do_not_change() -> None:
    """They stand in logs that were written long ago."""
    written = (
        "92 92"
        "97 a1 61 a1 31 64 a5 766f746572 a0 91 92 a4 7a6f6e65 a5 6e6f727468 c2"
        "97 a1 62 a1 32 32 a8 6f62736572766572 a2 6575 90 c3"
        "03"
    )
    assert pack_membership(MEMBERSHIP).hex() == written.replace(" ", "")
    assert unpack_membership(bytes.fromhex(written)) == MEMBERSHIP
    assert content_of(BATCH)[OPERATIONS] == [bytes.fromhex(written)]


# -- other releases


def test_what_a_later_release_appends_is_passed_over() -> None:
    parts = msgpack.unpackb(pack_membership(MEMBERSHIP))
    for array in (parts, *parts[0], parts[0][0][5][0]):
        array += ["more", [1]]
    packed = with_operation(msgpack.packb(parts))
    assert unpack_batch(packed) == Batch((ENTRY,), BATCH.vector, packed)


def test_what_an_earlier_release_lacks_takes_its_default() -> None:
    packed = msgpack.packb([[["a", "1"], ["b", "2", 7]]])
    assert unpack_membership(packed) == Membership((Member("a", "1"), Member("b", "2", 7)))


# -- it stands alone


def beside_an_empty_entry(content: list[Any]) -> None:
    content[OPERATIONS].append(b"")


def behind_an_empty_entry(content: list[Any]) -> None:
    content[OPERATIONS].insert(0, b"")


def beside_itself(content: list[Any]) -> None:
    content[OPERATIONS] *= 2


def beside_an_operation(content: list[Any]) -> None:
    content[NUMBERS] = [0, 1]
    content[OPERATIONS].append(b"set")


def behind_an_operation(content: list[Any]) -> None:
    content[NUMBERS] = [1, 0]
    content[OPERATIONS].insert(0, b"set")


def with_a_time_until(content: list[Any]) -> None:
    content[UNTILS] = 2000


@pytest.mark.parametrize(
    "change",
    [
        beside_an_empty_entry,
        behind_an_empty_entry,
        beside_itself,
        beside_an_operation,
        behind_an_operation,
        with_a_time_until,
    ],
)
def test_a_membership_that_does_not_stand_alone_is_refused(
    change: Callable[[list[Any]], None],
) -> None:
    content = content_of(BATCH)
    change(content)
    with pytest.raises(WireError, match="does not stand alone"):
        unpack_batch(sealed(msgpack.packb(content)))


def test_a_batch_in_which_it_does_not_stand_alone_is_not_made() -> None:
    with pytest.raises(AssertionError, match="stands alone"):
        pack_batch((ENTRY, Entry(6, 2, 1000, None, None, b"")), ())


# -- damage


@pytest.mark.parametrize(
    "operation",
    [
        b"x",
        b"set",
        b"\xc0",
        b"\x80",
        b"\xdd\xff\xff\xff\xff",
        pack_membership(MEMBERSHIP)[:-1],
        pack_membership(MEMBERSHIP) + b"\xc0",
        msgpack.packb([[["b", "1"], ["a", "1"]], 1]),
        msgpack.packb([[["a", "1"], ["a", "2"]], 1]),
        msgpack.packb([[["a"]], 1]),
        msgpack.packb([[["a", "1", 100, "emperor"]], 1]),
        msgpack.packb([[["a", "1", -1]], 1]),
        msgpack.packb([[["a", "1"]], True]),
    ],
    ids=repr,
)
def test_bytes_without_a_dot_that_say_not_who_belongs_are_refused(operation: bytes) -> None:
    with pytest.raises(WireError):
        unpack_batch(with_operation(operation))


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_without_a_dot_give_a_membership_or_a_wire_error(operation: bytes) -> None:
    try:
        batch = unpack_batch(with_operation(operation))
    except WireError:
        return
    assert conforms(batch.membership, Membership)
    assert batch.entries == (ENTRY._replace(membership=batch.membership),)


def test_a_wrong_type_in_any_place_of_it_is_refused_and_never_made_to_fit() -> None:
    packed = pack_membership(MEMBERSHIP)
    for path in paths(msgpack.unpackb(packed)):
        for junk in JUNK:
            parts = msgpack.unpackb(packed)
            replace(parts, path, junk)
            changed = msgpack.packb(parts)
            try:
                membership = unpack_membership(changed)
            except WireError:
                continue
            assert conforms(membership, Membership), (path, junk)
            assert pack_membership(membership) == changed, (path, junk)


def test_a_flipped_bit_is_found_in_a_batch_and_gives_a_membership_or_a_wire_error() -> None:
    for changed in flips(BATCH.packed):
        with pytest.raises(WireError, match="checksum"):
            unpack_batch(changed)
    for changed in flips(pack_membership(MEMBERSHIP)):
        try:
            membership = unpack_membership(changed)
        except WireError:
            continue
        assert conforms(membership, Membership)


# -- limits


def members(count: int, details: tuple[tuple[str, str], ...] = ()) -> tuple[Member, ...]:
    """So many members, in their order."""
    return tuple(Member(f"{number:03}", "1", details=details) for number in range(count))


def test_as_many_members_as_there_may_be_cross_and_one_more_does_not() -> None:
    full = Membership(members(REACHES_MAX))
    assert (
        unpack_batch(pack_batch((ENTRY._replace(membership=full),), ()).packed).membership == full
    )
    with pytest.raises(WireError, match=f"{REACHES_MAX} are the most"):
        pack_batch((ENTRY._replace(membership=Membership(members(REACHES_MAX + 1))),), ())
    rows = [[member.id, member.birth] for member in members(REACHES_MAX + 1)]
    with pytest.raises(WireError, match=f"at most {REACHES_MAX}"):
        unpack_membership(msgpack.packb([rows, 1]))


@pytest.mark.parametrize(
    ("path", "longest"),
    [
        ((0, 0, 0), "b" * ID_CHARS_MAX),
        ((0, 0, 1), "1" * ID_CHARS_MAX),
        ((0, 0, 4), "ß" * ID_CHARS_MAX),
        ((0, 0, 5, 0, 0), "z" * DETAIL_CHARS_MAX),
        ((0, 0, 5, 0, 1), "n" * DETAIL_CHARS_MAX),
        ((0, 0, 5, 0, 1), "🗝" * DETAIL_CHARS_MAX),
        ((0, 0, 5), [["zone", "north"]] * REACHES_MAX),
    ],
    ids=["id", "birth", "region", "name of a detail", "detail", "wide detail", "details"],
)
def test_the_longest_is_taken_and_one_more_is_refused(path: tuple[int, ...], longest: Any) -> None:
    parts = [[["a", "1", 100, "voter", "", [["zone", "north"]], False]], 1]
    replace(parts, path, longest)
    packed = msgpack.packb(parts)
    assert pack_membership(unpack_membership(packed)) == packed
    replace(parts, path, longest + longest[:1])
    with pytest.raises(WireError, match=r"at most|exceeds"):
        unpack_membership(msgpack.packb(parts))


def test_a_membership_that_is_larger_than_an_operation_may_be_is_not_made() -> None:
    """No single part of it is too long."""
    wide = ("🗝" * DETAIL_CHARS_MAX,) * 2
    count = OPERATION_BYTES_MAX // (REACHES_MAX * 2 * 4 * DETAIL_CHARS_MAX)
    full = Membership(members(count - 1, details=(wide,) * REACHES_MAX))
    assert unpack_membership(pack_membership(full)) == full
    over = Membership(members(count, details=(wide,) * REACHES_MAX))
    with pytest.raises(WireError, match="a membership of"):
        pack_batch((ENTRY._replace(membership=over),), ())
