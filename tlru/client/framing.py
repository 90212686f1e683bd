"""Bytes to messages and back: the WebSocket and msgpack of one connection.

Pure: bytes go in and come out, nothing is waited for and nothing is sent.

Every WebSocket message holds whole msgpack maps. Whatever breaks this, or the rules of WebSocket,
ends the connection with the close code that says so; nothing is taken from it after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import urandom
from typing import Any, Final

import msgpack
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tlru.client.coming_back import after_in_reason
from tlru.client.results import Reply
from tlru.wire import frames

SUBPROTOCOL: Final = Subprotocol("tlru.v1.msgpack")
NIL: Final = b"\xc0"
REASON_BYTES_MAX: Final = 120  # of the 123 that a close frame has room for


@dataclass(frozen=True, slots=True)
class End:
    """Why nothing more will come."""

    code: int
    problem: str
    after: float = 0.0  # seconds that it wants us to stay away


class Framing:
    """The state of one WebSocket connection, without the socket."""

    def __init__(self, url: str, message_bytes_max: int) -> None:
        self._frames = ClientProtocol(
            parse_uri(url), subprotocols=[SUBPROTOCOL], max_size=message_bytes_max
        )
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=message_bytes_max + len(NIL), strict_map_key=False
        )
        self._message_bytes_max = message_bytes_max
        self._parts: list[bytes] = []
        self._out: list[bytes] = []
        self.upgraded = False
        self.end: End | None = None
        self._frames.send_request(self._frames.connect())

    @property
    def handshake_error(self) -> Exception | None:
        """Why the upgrade was refused, if it was."""
        return self._frames.handshake_exc

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._frames.state is State.OPEN

    def receive(self, data: bytes) -> list[Reply]:
        """The maps that are complete with these bytes."""
        replies: list[Reply] = []
        if self.upgraded and self.end is None and frames.between_frames(self._frames):
            messages = frames.whole(data, frames.BINARY, masked=False)
            if messages and max(map(len, messages)) <= self._message_bytes_max:
                for message in messages:
                    self._on_message(message, replies)
                return replies
        self._frames.receive_data(data)
        for event in self._frames.events_received():
            if self.end is not None:
                break
            if type(event) is Frame:
                self._on_frame(event, replies)
            elif isinstance(event, Response) and self._frames.handshake_exc is None:
                self._on_upgrade()
        if self._frames.parser_exc is not None and self.end is None:
            self._on_broken_frames(self._frames.parser_exc)
        return replies

    def receive_eof(self) -> None:
        """The other side will send no more."""
        self._frames.receive_eof()
        if self.end is None:
            self.end = End(CloseCode.ABNORMAL_CLOSURE, "it ended the connection without a word")

    def message(self, parts: Sequence[bytes]) -> int:
        """Put these maps into one WebSocket message; gives its length."""
        message = parts[0] if len(parts) == 1 else b"".join(parts)
        if self._frames.state is not State.OPEN:
            raise InvalidState("the connection is closing")
        self._out.append(frames.frame(message, frames.BINARY, urandom(4)))
        return len(message)

    def close(self, code: int, reason: str) -> bool:
        """Begin to close; False where that is not possible, or under way already."""
        try:
            self._frames.send_close(code, _short(reason))
        except InvalidState:
            return False
        return True

    def to_send(self) -> bytes:
        """The bytes that are to go out now."""
        # What the protocol says by itself, the handshake above all, goes first.
        out = self._frames.data_to_send() + self._out
        self._out.clear()
        return out[0] if len(out) == 1 else b"".join(out)

    def _on_upgrade(self) -> None:
        if self._frames.subprotocol != SUBPROTOCOL:
            self.fail(CloseCode.PROTOCOL_ERROR, f"it does not speak {SUBPROTOCOL}")
        else:
            self.upgraded = True

    def _on_frame(self, frame: Frame, replies: list[Reply]) -> None:
        if frame.opcode is Opcode.BINARY and frame.fin:
            self._on_message(frame.data, replies)
        elif frame.opcode is Opcode.BINARY or (frame.opcode is Opcode.CONT and self._parts):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                message = b"".join(self._parts)
                self._parts.clear()
                self._on_message(message, replies)
        elif frame.opcode is Opcode.CLOSE:
            close = self._frames.close_rcvd
            assert close is not None, "the close frame has just been parsed"
            after = after_in_reason(close.reason)
            self.end = End(int(close.code), f"it closed the connection: {close}", after)
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self.fail(CloseCode.UNSUPPORTED_DATA, f"it sent text, which is not {SUBPROTOCOL}")

    def _on_message(self, message: Any, replies: list[Reply]) -> None:
        try:
            self._unpacker.feed(message)
            # A nil of our own after it. In a whole message it is found as the last thing; anything
            # that was left open would swallow it.
            self._unpacker.feed(NIL)
            found = list(self._unpacker)
        except (msgpack.UnpackException, ValueError, TypeError, RecursionError) as exc:
            # TypeError: a map or a list as the key of a map.
            self.fail(CloseCode.INVALID_DATA, f"it sent what is no msgpack: {exc!r}")
            return
        if not found or found.pop() is not None:
            self.fail(CloseCode.INVALID_DATA, "a message of it ends in the middle of a map")
        elif not all(type(each) is dict for each in found):
            self.fail(CloseCode.INVALID_DATA, "a message of it holds what is no map")
        else:
            replies += found

    def _on_broken_frames(self, exc: Exception) -> None:
        sent = self._frames.close_sent
        code = CloseCode.ABNORMAL_CLOSURE if sent is None else sent.code
        self.end = End(int(code), f"it sent what is no WebSocket: {exc}")

    def fail(self, code: int, problem: str) -> None:
        """The other side cannot be understood: nothing more is taken from it."""
        self.end = End(code, problem)
        if self._frames.state is State.OPEN:
            self._frames.fail(code, _short(problem))


def _short(reason: str) -> str:
    return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
