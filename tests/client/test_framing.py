"""Bytes to messages: however they are cut, whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol, Side
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tlru.client.framing import SUBPROTOCOL, Framing

URL = "ws://127.0.0.1:1/ws"


class Peer:
    """The other side: what a server would send, as bytes."""

    def __init__(self, subprotocol: str | None = SUBPROTOCOL) -> None:
        offered = None if subprotocol is None else [Subprotocol(subprotocol)]
        self.protocol = ServerProtocol(subprotocols=offered)

    def answer(self, upgrade: bytes) -> bytes:
        self.protocol.receive_data(upgrade)
        (request,) = self.protocol.events_received()
        assert isinstance(request, Request)
        self.protocol.send_response(self.protocol.accept(request))
        return b"".join(self.protocol.data_to_send())

    def frame(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
        return Frame(opcode, data, fin=fin).serialize(mask=False)


def opened(message_bytes_max: int = 1 << 20) -> tuple[Framing, Peer]:
    framing, peer = Framing(URL, message_bytes_max), Peer()
    assert framing.receive(peer.answer(framing.to_send())) == []
    assert framing.upgraded
    return framing, peer


def packed(*messages: Any) -> bytes:
    return b"".join(msgpack.packb(message) for message in messages)


def sent_code(framing: Framing) -> int:
    """The code of the close frame that the framing wants to send."""
    server = Protocol(Side.SERVER)
    server.receive_data(framing.to_send())
    assert server.close_rcvd is not None
    return int(server.close_rcvd.code)


def test_the_upgrade_offers_the_one_subprotocol_it_speaks() -> None:
    framing = Framing("ws://host:8400/ws?cache=big", 1 << 20)
    request = framing.to_send().decode()
    assert request.startswith("GET /ws?cache=big HTTP/1.1\r\n")
    assert "Sec-WebSocket-Protocol: tlru.v1.msgpack\r\n" in request
    assert "Extensions" not in request, "compression is not asked for"


def test_a_server_that_speaks_another_subprotocol_is_refused() -> None:
    framing = Framing(URL, 1 << 20)
    peer = Peer(subprotocol=None)
    framing.receive(peer.answer(framing.to_send()))
    assert framing.end is not None
    assert "does not speak tlru.v1.msgpack" in framing.end.problem
    assert not framing.upgraded


def test_what_is_no_http_is_a_handshake_error() -> None:
    framing = Framing(URL, 1 << 20)
    framing.receive(b"220 mail.example.org ESMTP\r\n\r\n")
    assert framing.handshake_error is not None


messages = st.lists(
    st.dictionaries(st.text(max_size=5), st.one_of(st.integers(0, 99), st.binary(max_size=20))),
    min_size=1,
    max_size=5,
)


@given(st.lists(messages, max_size=5), st.data())
def test_messages_arrive_whole_however_the_stream_is_cut(
    sent: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    """Frames may be cut anywhere, several may come at once, and a message may be in fragments."""
    framing, peer = opened()
    stream = b""
    for group in sent:
        payload = packed(*group)
        cut = data.draw(st.integers(0, len(payload)))
        if data.draw(st.booleans()):
            stream += peer.frame(Opcode.BINARY, payload[:cut], fin=False)
            stream += peer.frame(Opcode.PING, b"between")
            stream += peer.frame(Opcode.CONT, payload[cut:])
        else:
            stream += peer.frame(Opcode.BINARY, payload)
    received: list[Any] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += framing.receive(stream[:size])
        stream = stream[size:]
    assert received == [message for group in sent for message in group]
    assert framing.end is None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"\xc1", "no msgpack"),
        (packed({"id": 1})[:-1], "middle of a map"),
        (packed({"id": 1}) + b"\x82\xa2id", "middle of a map"),
        (packed([1, 2]), "no map"),
        (packed({"id": 1}, 7), "no map"),
        (b"\x91" * 5000, "no msgpack"),
        (b"\xdf\xff\xff\xff\xff", "no msgpack"),
    ],
    ids=["garbage", "truncated", "half a second", "a list", "a number", "too deep", "a huge map"],
)
def test_what_is_no_protocol_message_ends_the_connection(payload: bytes, problem: str) -> None:
    framing, peer = opened()
    framing.to_send()
    assert framing.receive(peer.frame(Opcode.BINARY, payload)) == []
    assert framing.end is not None
    assert problem in framing.end.problem
    assert framing.end.code == 1007
    assert sent_code(framing) == 1007


def test_nothing_is_taken_after_the_end() -> None:
    """What a peer that makes no sense sends next is not believed either."""
    framing, peer = opened()
    good = peer.frame(Opcode.BINARY, packed({"id": 2, "ok": True}))
    assert framing.receive(peer.frame(Opcode.BINARY, b"\xc1") + good) == []
    assert framing.receive(good) == []


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda peer: peer.frame(Opcode.TEXT, b"{}"), 1003),
        (lambda peer: peer.frame(Opcode.BINARY, b"x" * 3000), 1009),
        (lambda peer: b"\xff\xff" + bytes(20), 1002),
        (lambda peer: peer.frame(Opcode.CONT, b"\x80"), 1002),
    ],
    ids=["text", "too large", "no frame", "a continuation of nothing"],
)
def test_what_breaks_the_rules_ends_with_the_code_that_says_so(
    make: Callable[[Peer], bytes], code: int
) -> None:
    framing, peer = opened(message_bytes_max=2000)
    framing.to_send()
    assert framing.receive(make(peer)) == []
    assert framing.end is not None
    assert sent_code(framing) == code


def test_a_close_tells_its_code_and_reason() -> None:
    framing, peer = opened()
    framing.receive(peer.frame(Opcode.CLOSE, Close(4410, "another epoch").serialize()))
    assert framing.end is not None
    assert framing.end.code == 4410
    assert "another epoch" in framing.end.problem


def test_an_end_without_a_word_is_abnormal() -> None:
    framing, _ = opened()
    framing.receive_eof()
    assert framing.end is not None
    assert framing.end.code == 1006


def test_parts_become_one_message() -> None:
    framing, peer = opened()
    length = framing.message([packed({"id": 1}), packed({"id": 2})])
    peer.protocol.receive_data(framing.to_send())
    (frame,) = peer.protocol.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, bytes(frame.data)) == (Opcode.BINARY, packed({"id": 1}, {"id": 2}))
    assert length == len(frame.data)


def test_closing_twice_is_told() -> None:
    framing, _ = opened()
    assert framing.close(1000, "")
    assert not framing.close(1000, "")


def test_a_long_reason_is_cut_between_characters() -> None:
    framing, _ = opened()
    framing.to_send()
    assert framing.close(1000, "ü" * 200)
    assert sent_code(framing) == 1000
