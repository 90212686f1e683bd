"""Where RFC 6455 is kept more exactly than `websockets` keeps it.

Found by the Autobahn cases (`python -m tests.conformance --websocket`).
"""

from __future__ import annotations

from websockets import server
from websockets.frames import Frame, Opcode


class ServerProtocol(server.ServerProtocol):
    """The server's side of one connection."""

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame. A close may come between two fragments, as any control frame may (5.4): the
        message is given up, and the goodbye is answered with its own code."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)
