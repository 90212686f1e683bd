"""One port for WebSocket and HTTP: the first request of a connection decides who has it.

This module decides that, and how long a connection may take to say what it wants. The bytes that
were read go to whoever takes the connection over, as if they had come to him.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import cast

from tlru.node.addresses import Addresses

# A head beyond this is given to the HTTP side, which refuses it in its own words.
HEAD_BYTES_MAX = 16 << 10

_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)

# A node that is full is not a node that is ill: who watches over it is still answered.
_ALWAYS = (b"GET /health/", b"GET /metrics")
WAITING_MAX = 64  # connections that may yet turn out to be such ones, while the node is full

_PROBLEM = (
    b'{"type":"about:blank","title":"Service Unavailable","status":503,"code":"overloaded",'
    b'"retry":"other","detail":"too many connections; come later"}'
)
_TURNED_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_PROBLEM), _PROBLEM)

Factory = Callable[[], asyncio.Protocol]


class Door(asyncio.Protocol):
    """A connection that has not yet said what it wants."""

    def __init__(
        self,
        websocket: Factory,
        http: Factory,
        first_request_s: float,
        *,
        full: Callable[[], bool],
        waiting: set[Door],
        addresses: Addresses,
        welcomes: Callable[[asyncio.BaseTransport], bool],
        serves: Callable[[], bool],
    ) -> None:
        self._websocket, self._http = websocket, http
        self._first_request_s = first_request_s
        self._full = full
        self._waiting = waiting
        self._addresses, self._welcomes = addresses, welcomes
        self._serves = serves
        self._head = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody knocks; he has so long to say what he wants."""
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(self._first_request_s, self._transport.abort)
        self._waiting.add(self)
        if not self._serves():  # it was accepted in the turn in which the node began to stop
            self.close()
        elif not self._welcomes(self._transport) or (
            len(self._waiting) > WAITING_MAX and self._full()
        ):
            self._turn_away()

    def data_received(self, data: bytes) -> None:
        """Gather the head of the first request."""
        if self._transport.is_closing():
            return  # turned away
        self._head += data
        end = self._head.find(b"\r\n\r\n", max(0, len(self._head) - len(data) - 3))
        if end >= 0:
            head = bytes(self._head[: end + 4])
            if self._full() and not head.startswith(_ALWAYS):
                self._turn_away()
            else:
                self._hand_over(self._websocket if _UPGRADE.search(head) else self._http)
        elif len(self._head) > HEAD_BYTES_MAX:
            self._hand_over(self._http)

    def eof_received(self) -> None:
        """He left without a word."""

    def connection_lost(self, exc: Exception | None) -> None:
        """He is gone."""
        self._addresses.gone(self._transport)
        self._leave()

    def close(self) -> None:
        """Nobody is at home any more."""
        self._transport.abort()

    def _turn_away(self) -> None:
        self._transport.write(_TURNED_AWAY)
        self._transport.close()

    def _leave(self) -> None:
        self._patience.cancel()
        self._waiting.discard(self)

    def _hand_over(self, factory: Factory) -> None:
        self._leave()
        taker = factory()
        self._transport.set_protocol(taker)
        taker.connection_made(self._transport)
        taker.data_received(bytes(self._head))
