"""The short way and `websockets`' own say the same of every frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from tlru.wire import frames

FIRST = {Opcode.TEXT: frames.TEXT, Opcode.BINARY: frames.BINARY}
PAYLOADS = st.binary(max_size=300) | st.sampled_from(
    [b"x" * n for n in (125, 126, 127, 65_535, 65_536)]
)
OPCODES = st.sampled_from(list(FIRST))
MASK = b"\x01\x80\xff\x07"


@given(payload=PAYLOADS, opcode=OPCODES)
def test_a_frame_is_what_websockets_writes(payload: bytes, opcode: Opcode) -> None:
    theirs = Frame(opcode, payload).serialize(mask=False)
    assert frames.frame(payload, FIRST[opcode]) == theirs


@given(payload=PAYLOADS, opcode=OPCODES, masked=st.booleans())
def test_what_is_written_is_read_back_by_websockets(
    payload: bytes, opcode: Opcode, masked: bool
) -> None:
    data = frames.frame(payload, FIRST[opcode], MASK if masked else b"")
    protocol = Protocol(Side.SERVER if masked else Side.CLIENT, max_size=None)
    protocol.receive_data(data)
    (event,) = protocol.events_received()
    assert isinstance(event, Frame)
    assert event.opcode is opcode
    assert event.data == payload
    assert frames.between_frames(protocol)


@given(
    payloads=st.lists(st.binary(max_size=70_000), min_size=1, max_size=3),
    opcode=OPCODES,
    masked=st.booleans(),
)
def test_whole_frames_are_taken_apart_or_left_to_the_general_way(
    payloads: list[bytes], opcode: Opcode, masked: bool
) -> None:
    data = b"".join(Frame(opcode, payload).serialize(mask=masked) for payload in payloads)
    found = frames.whole(data, FIRST[opcode], masked)
    assert found == (payloads if max(map(len, payloads)) < 65_536 else None)


@given(payload=PAYLOADS, masked=st.booleans(), cut=st.integers(0, 400))
def test_less_or_more_than_a_frame_is_left_to_the_general_way(
    payload: bytes, masked: bool, cut: int
) -> None:
    data = Frame(Opcode.BINARY, payload).serialize(mask=masked)
    if cut < len(data):
        assert frames.whole(data[:cut], frames.BINARY, masked) is None
    assert frames.whole(data + b"\x82", frames.BINARY, masked) is None


@pytest.mark.parametrize(
    "data",
    [
        Frame(Opcode.BINARY, b"x", fin=False).serialize(mask=True),
        b"\xc2\x81" + MASK + b"x",
        Frame(Opcode.PING, b"x").serialize(mask=True),
        Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True),
        Frame(Opcode.TEXT, b"x").serialize(mask=True),
        Frame(Opcode.BINARY, b"x").serialize(mask=False),
        b"\x82\xfe\x00\x01" + MASK + b"x",
        b"",
    ],
    ids=["fragment", "rsv1", "ping", "close", "text", "unmasked", "long form", "empty"],
)
def test_whatever_is_special_is_left_to_the_general_way(data: bytes) -> None:
    assert frames.whole(data, frames.BINARY, masked=True) is None


def test_the_short_way_is_closed_in_the_middle_of_a_frame_or_message() -> None:
    for data in (
        Frame(Opcode.BINARY, b"x" * 50).serialize(mask=True)[:20],
        Frame(Opcode.BINARY, b"x", fin=False).serialize(mask=True),
        Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True),
    ):
        protocol = Protocol(Side.SERVER)
        assert frames.between_frames(protocol)
        protocol.receive_data(data)
        assert not frames.between_frames(protocol)
