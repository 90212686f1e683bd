"""What nodes say to each other survives the way, and of what is damaged nothing is used."""

from __future__ import annotations

import tracemalloc
import typing
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.core.entry import Dot, Entry, Epoch, Position, Proposal
from peers.core.membership import MEMBERS_MAX, Member, Membership, Role
from peers.core.messages import (
    Append,
    AppendAnswer,
    Envelope,
    EpochPropose,
    Forward,
    Hello,
    JoinAnswer,
    Message,
    NewerLog,
    Noted,
    Probe,
    SnapshotPiece,
)
from peers.errors import WireError
from peers.wire import (
    CODECS,
    CODES,
    VERSION,
    UnknownKindError,
    decode,
    encode,
    pack_batch,
    unpack_batch,
)
from peers.wire_fields import (
    BATCHES_MAX,
    FRAME_BYTES_MAX,
    ID_CHARS_MAX,
    OPERATION_BYTES_MAX,
    OPERATIONS_MAX,
    REACHES_MAX,
)
from tests.peers.wire_samples import (
    BATCH,
    JUNK,
    A,
    flips,
    ids,
    in_envelope,
    ints,
    origins,
    outcome,
    parts_of,
    paths,
    replace,
    sample,
    sealed,
    values,
)

KINDS = sorted(CODES, key=lambda kind: CODES[kind])
HEAD = encode(in_envelope(sample(Hello)))[:2]  # how many parts an envelope has, and the version


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
        "SnapshotAsk": 19,
        "SnapshotPiece": 20,
        "SnapshotGone": 21,
        "JoinAsk": 22,
        "JoinAnswer": 23,
        "Removed": 24,
        "Blank": 25,
        "EpochPropose": 26,
        "EpochAccept": 27,
        "EpochAsk": 28,
        "EpochAnswer": 29,
        "Progress": 30,
    }


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_message_comes_out_as_it_went_in(kind: Any, data: st.DataObject) -> None:
    message = data.draw(values(kind))
    envelope = data.draw(
        st.builds(Envelope, origins, ints, values(Epoch), ids, ids, ints, st.just(message))
    )
    assert decode(encode(envelope)) == envelope
    assert outcome(encode(envelope)) == envelope


# What was sent once is what releases to come must read. Bytes that change here break a cluster
# whose nodes are upgraded one after another.
PINNED: dict[str, tuple[Message, str]] = {
    "hello": (
        Hello(("a", "b"), 1, Position(2, 3), True, False),
        "99 01 12 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 a1 32 03"
        "95 92 a1 61 a1 62 01 92 02 03 c3 c2",
    ),
    "probe": (
        Probe(term=3, sent=70_000),
        "99 01 09 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 a1 32 03 92 03 ce 00 01 11 70",
    ),
    "append": (
        Append(2, Position(1, 4), (BATCH,), 4, 2, 3, 1001, 8, None),
        "99 01 07 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 a1 32 03 99 02 92 01 04 91 c4 3a"
        "92 cf eb 2b 8f c8 4c d1 94 ac"
        "9c 01 05 91 03 91 09 02 92 cd 03 e8 cd 03 e9 92 92 a1 62 a1 32 92 a1 61 a1 31"
        "92 00 02 92 00 01 92 00 01 92 c0 cd 07 d0 92 c4 00 c4 03 73 65 74"
        "04 02 03 cd 03 e9 08 c0",
    ),
    "append answer": (
        AppendAnswer(
            2, None, Position(1, 4), 8, 9, True, True, False, Noted(4, b"12345678"), ("b",)
        ),
        "99 01 08 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 a1 32 03"
        "9a 02 c0 92 01 04 08 09 c3 c3 c2 92 04 c4 08 31 32 33 34 35 36 37 38 91 a1 62",
    ),
    "forward": (
        Forward((Proposal(Dot(A, 7, 1), b"set", None), Proposal(Dot(A, 7, 2), b"", 50))),
        "99 01 0b 92 a1 61 a1 31 07 93 01 a2 65 30 c0 a1 62 a1 32 03 91"
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
    for array in (parts, parts[2], parts[4], parts[8]):
        array += ["more", [1, [b"2"]]]
    assert decode(msgpack.packb(parts)) == envelope


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
    parts[8].pop()
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


# -- damage


@given(st.binary(max_size=200))
def test_any_bytes_give_an_envelope_or_a_wire_error(data: bytes) -> None:
    outcome(data)
    outcome(HEAD + data)
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
    array = data.draw(st.sampled_from([parts, parts[2], parts[4], parts[8]]))
    array[data.draw(st.integers(0, len(array) - 1))] = data.draw(plain)
    outcome(msgpack.packb(parts))


# In these stands a record whose fields all have defaults: an empty one is of an earlier release.
DEFAULTED = (SnapshotPiece, EpochPropose, JoinAnswer)


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
            if junk in ([], [[]]) and kind in DEFAULTED:
                continue
            assert encode(envelope) == changed, (path, junk)


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


def test_a_message_says_in_which_version_it_is_spoken() -> None:
    """To a node of an earlier release in that release's; else it is refused there, unread."""
    newest, older = (encode(in_envelope(sample(Hello)), version) for version in (None, 7))
    assert (newest[1], older[1]) == (VERSION, 7)
    assert newest[:1] + newest[2:] == older[:1] + older[2:]


# -- claims and limits


def test_more_than_a_message_may_have_is_refused() -> None:
    hello, append = encode(in_envelope(sample(Hello))), encode(in_envelope(sample(Append)))
    too_many: list[tuple[bytes, tuple[int, ...], Any]] = [
        (hello, (8, 0), ["b"] * (REACHES_MAX + 1)),
        (hello, (8, 0, 0), "b" * (ID_CHARS_MAX + 1)),
        (hello, (2, 1), "1" * (ID_CHARS_MAX + 1)),
        (append, (8, 2), [BATCH.packed] * (BATCHES_MAX + 1)),
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
    in_message = HEAD + b"\x07" + CLAIMS[name]
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
        Hello(("a",) * (REACHES_MAX + 1), 1, Position(1, 1), True, False),
        Forward((proposal,) * (OPERATIONS_MAX + 1)),
        Forward((proposal._replace(operation=bytes(OPERATION_BYTES_MAX + 1)),)),
        NewerLog(1, Position(1, 1), (BATCH,) * (BATCHES_MAX + 1)),
        Hello(("\ud800",), 1, Position(1, 1), True, False),
        Probe(term=2**64, sent=0),
    ):
        with pytest.raises(WireError):
            encode(in_envelope(message))


def test_the_largest_message_is_taken_and_a_larger_one_is_not_sent() -> None:
    content = bytes(OPERATION_BYTES_MAX - 60)
    large = [Entry(n, 1, 1, Dot(A, 1, n), None, content) for n in (1, 2, 3)]
    batch = pack_batch(large[:2], ())
    envelope = in_envelope(NewerLog(1, Position(0, 0), (batch,)))
    assert decode(encode(envelope)) == envelope
    with pytest.raises(WireError, match="a batch of"):
        pack_batch(large, ())
    with pytest.raises(WireError, match="a message of"):
        encode(in_envelope(NewerLog(1, Position(0, 0), (batch,) * 3)))


# -- what messages to come are made of


any_members = st.builds(Member, ids, ids, ints, st.sampled_from(Role), ids)


@given(st.dictionaries(ids, any_members, max_size=MEMBERS_MAX))
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
