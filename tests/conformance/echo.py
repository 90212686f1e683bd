"""A node whose WebSocket says back what it is told, for suites that want an echo.

Everything below a session is the node's own, unchanged: handshake, framing, fragments, compression,
pings and closing. Only what is done about a message is another thing, and a connection speaks text
and binary by turns, where a client of the protocol chooses one for good.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from unittest import mock

from websockets.frames import Frame, Opcode

from tests.running import a_node
from tlru.node import Node
from tlru.node.session import Session
from tlru.node.websocket import WebSocketConnection
from tlru.wire import frames
from tlru.wire.codec import JsonCodec, MsgpackCodec

MESSAGE_BYTES = 64 << 20  # the largest of the suite's are sixteen


class _Echo(Session):
    """Answers each message with itself."""

    def feed(self, payloads: list[bytes]) -> None:
        """Say it back. Text that is not UTF-8 ends the connection, as it does for a codec."""
        if self.over:
            return
        for payload in payloads:
            if not self.codec.binary and not _is_text(payload):
                self._wire.close(1007, "this is not UTF-8")
                self.end()
                return
            self._wire.write([payload])


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


class _EchoConnection(WebSocketConnection):
    """Answers text with text and bytes with bytes."""

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY) and self.session is not None:
            binary = frame.opcode is Opcode.BINARY
            codec = MsgpackCodec if binary else JsonCodec
            self._codec = self.session.codec = codec(self._limits)
            self._first = frames.BINARY if binary else frames.TEXT
        super()._on_frame(frame)


@contextlib.asynccontextmanager
async def an_echo() -> AsyncIterator[Node]:
    """A node that does."""
    with (
        mock.patch("tlru.node.websocket.Session", _Echo),
        mock.patch("tlru.node.server.WebSocketConnection", _EchoConnection),
    ):
        async with a_node(message_bytes=MESSAGE_BYTES) as node:
            yield node
