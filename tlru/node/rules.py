"""Where RFC 6455 is kept more exactly than `websockets` keeps it.

Found by the Autobahn cases (`python -m tests.conformance.websocket`) and a table of our own.
"""

from __future__ import annotations

from typing import Final

from websockets import server
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

VERSION: Final = "13"

# What comes with 426, so that who asked in another way knows how to (4.2.2, 4.4).
WANTED: Final = {"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION}


def status(request: Request, found: int) -> int:
    """The status of an opening that is refused: another version of the protocol is to be told which
    one is spoken."""
    versions = request.headers.get_all("Sec-WebSocket-Version")
    return 426 if found == 400 and versions and versions != [VERSION] else found


class ServerProtocol(server.ServerProtocol):
    """The server's side of one connection."""

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame. A close may come between two fragments, as any control frame may (5.4): the
        message is given up, and the goodbye is answered with its own code."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)
