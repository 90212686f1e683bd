"""From HTTP to WebSocket: the upgrade, and who is not let through it.

Pure: `websockets` does it, without a socket. Nodes offer no extensions, compression least of all:
what they send is mostly compressed or small.

A web page of any origin may open a WebSocket to this machine: browsers say so, and no node does.
"""

from __future__ import annotations

import logging
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from peers.errors import LinkError
from peers.mesh.ends import Close
from peers.mesh.greeting import Side

PATH: Final = "/mesh"
SUBPROTOCOL: Final = Subprotocol("tlru-mesh-1")
# It tells of every connection that opens and closes: of use to nobody at the usual level.
_quiet: Final = logging.getLogger("peers.websockets")
_quiet.setLevel(logging.WARNING)


class Upgrade:
    """One side of the upgrade."""

    def __init__(self, side: Side, address: str, *, tls: bool) -> None:
        self.done = False
        self._protocol: ClientProtocol | ServerProtocol
        if side is Side.DIALLER:
            scheme = "wss" if tls else "ws"
            client = ClientProtocol(
                parse_uri(f"{scheme}://{address}{PATH}"), subprotocols=[SUBPROTOCOL], logger=_quiet
            )
            client.send_request(client.connect())
            self._protocol = client
        else:
            self._protocol = ServerProtocol(subprotocols=[SUBPROTOCOL], logger=_quiet)

    def to_send(self) -> bytes:
        """What is to go out now."""
        return b"".join(self._protocol.data_to_send())

    def receive(self, data: bytes) -> None:
        """Take bytes of the other side. LinkError where it fails; `to_send` goes out first."""
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        early = len(events) > 1 or bool(self._protocol.reader.buffer)
        if isinstance(self._protocol, ServerProtocol) and (self._protocol.parser_exc or early):
            # The protocol may have ended itself over what follows: it can refuse nothing any more.
            raise LinkError(
                Close.PROTOCOL, "what came is no WebSocket upgrade, or goes on after it"
            )
        for event in events:
            if isinstance(event, Request):
                self._on_request(event)
            elif isinstance(event, Response):
                self._on_response()
        if self._protocol.parser_exc or self._protocol.handshake_exc:
            raise LinkError(Close.PROTOCOL, "what came is no WebSocket upgrade")
        # Whoever dials speaks first, and not before the upgrade is answered.
        if self.done and early:
            raise LinkError(Close.PROTOCOL, "something came before its time")

    def _on_request(self, request: Request) -> None:
        server = self._protocol
        assert isinstance(server, ServerProtocol), "only a listener is sent requests"
        problem = _problem(request)
        response = server.reject(*problem) if problem else server.accept(request)
        server.send_response(response)
        if problem:
            raise LinkError(Close.PROTOCOL, f"not let through: {problem[1]}")
        self.done = response.status_code == 101

    def _on_response(self) -> None:
        client = self._protocol
        error = client.handshake_exc
        if isinstance(error, InvalidStatus):
            raise LinkError(
                Close.PROTOCOL,
                f"it answers HTTP {error.response.status_code} at {PATH}: "
                "is this the address of its mesh?",
            )
        if error is not None or client.subprotocol != SUBPROTOCOL:
            raise LinkError(Close.PROTOCOL, f"it does not speak {SUBPROTOCOL} at {PATH}")
        self.done = True


def _problem(request: Request) -> tuple[int, str] | None:
    """The HTTP status and a sentence for who does not ask as a node does."""
    if request.path != PATH:
        return 404, f"nothing is here but {PATH}, where nodes talk to each other\n"
    if request.headers.get_all("Origin"):
        return 403, "web pages have no business here\n"
    offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
    if SUBPROTOCOL not in [word.strip() for word in offered]:
        return 400, f"the subprotocol {SUBPROTOCOL} is spoken here, and no other\n"
    return None
