"""Where clients come in: a listening socket, and what it takes to have another one beside it.

Decides how the port is taken. A listener can be left open when its node stops, so that whoever
comes meanwhile waits in the kernel's queue for the next node of this process instead of being
refused.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from peers.listening import listen
from tlru.config.addresses import Address
from tlru.node.tls_gate import Opened, TlsGate

BACKLOG = 4_096  # connections that the kernel keeps for us while the loop is busy


class Listener:
    """One listening socket, and later the server on it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._server: asyncio.Server | Opened | None = None
        self.port: int = sock.getsockname()[1]

    @classmethod
    def at(cls, address: Address, beside: Listener | None = None) -> Listener:
        """Take the port; nobody is let in yet. OSError where it cannot be had."""
        found = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return cls(listen(found[0], BACKLOG, None if beside is None else beside._sock))

    async def serve(
        self, protocol: Callable[[], asyncio.Protocol], gate: TlsGate | None = None
    ) -> None:
        """Let clients in, through the `gate` where they are to speak TLS."""
        if gate is not None:
            self._server = gate.open(self._sock, protocol)
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(protocol, sock=self._sock, backlog=BACKLOG)

    def leave_open(self) -> socket.socket:
        """The same socket under another number, which stays open when this one closes."""
        return self._sock.dup()

    def close(self) -> None:
        """Let nobody in any more; who is in stays."""
        if self._server is None:
            self._sock.close()
        else:
            self._server.close()
