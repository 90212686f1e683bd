"""Where clients come in: a listening socket, and what it takes to have another one beside it.

Decides how the port is taken, and how somebody who speaks no TLS is let in. A listener can be left
open when its node stops, so that whoever comes meanwhile waits in the kernel's queue for the next
node of this process instead of being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time

from peers.accepting import Accepting
from peers.listening import listen
from peers.mesh.status import Complaints
from tlru.config.addresses import Address
from tlru.node.tls_gate import Factory, TlsGate

BACKLOG = 4_096  # connections that the kernel keeps for us while the loop is busy

logger = logging.getLogger(__name__)


class Listener:
    """One listening socket, and later those who come in by it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._accepting: Accepting | None = None
        self._entering: set[asyncio.Task[None]] = set()
        self._complaints = Complaints(time.monotonic)
        self.port: int = sock.getsockname()[1]

    @classmethod
    def at(cls, address: Address, beside: Listener | None = None) -> Listener:
        """Take the port; nobody is let in yet. OSError where it cannot be had."""
        found = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return cls(listen(found[0], BACKLOG, None if beside is None else beside._sock))

    def serve(self, protocol: Factory, gate: TlsGate | None = None) -> None:
        """Let clients in, through the `gate` where they are to speak TLS."""
        begin = self._begin if gate is None else gate.begin
        self._accepting = Accepting(
            self._sock, lambda accepted: begin(accepted, protocol), self._cannot_accept
        )

    def leave_open(self) -> socket.socket:
        """The same socket under another number, which stays open when this one closes."""
        return self._sock.dup()

    def close(self) -> None:
        """Let nobody in any more; who is in stays."""
        if self._accepting is None:
            self._sock.close()
        else:
            self._accepting.close()

    def _begin(self, accepted: socket.socket, protocol: Factory) -> None:
        task = asyncio.get_running_loop().create_task(_let_in(accepted, protocol), name="lets in")

        def ended(task: asyncio.Task[None]) -> None:
            self._entering.discard(task)
            if task.cancelled():
                accepted.close()  # it may not even have begun

        self._entering.add(task)
        task.add_done_callback(ended)

    def _cannot_accept(self, sentence: str) -> None:
        if self._complaints.may("accept"):
            logger.warning("%s", sentence)


async def _let_in(accepted: socket.socket, protocol: Factory) -> None:
    with contextlib.suppress(OSError):
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await asyncio.get_running_loop().connect_accepted_socket(protocol, accepted)
    except OSError as exc:
        logger.debug("a connection came to nothing: %s", exc)
