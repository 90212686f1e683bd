"""Who comes in: connections are accepted here, and counted from that moment on.

The oldest that has not proved itself gives way to the newest: whoever only holds places must be
quicker than those who mean it.

Invariant: at most so many connections are half open, and none for longer than a greeting may take.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from peers import listening
from peers.accepting import Accepting
from peers.mesh.ends import Close, End
from peers.mesh.greeting import Side
from peers.mesh.link import Host, Link
from peers.mesh.settings import join_address

BACKLOG: Final = 128

Complain = Callable[[str, End], None]


class Door:
    """The listening socket of a mesh."""

    def __init__(self, host: Host, complain: Complain) -> None:
        self._host, self._complain = host, complain
        self._half_open: dict[asyncio.Task[None] | Link, None] = {}  # in the order of their coming
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket
        self._accepting: Accepting

    @property
    def half_open(self) -> int:
        """How many have not proved themselves."""
        return len(self._half_open)

    async def open(self, host: str, port: int, beside: Door | None = None) -> str:
        """Listen, if need be `beside` another door of this mesh; gives the address. OSError where
        that is not possible."""
        found = await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        other = None if beside is None else beside._socket
        self._socket = listening.listen(found[0], BACKLOG, other)
        self._accepting = Accepting(self._socket, self._begin, self._cannot_accept)
        return join_address(*self._socket.getsockname()[:2])

    async def close(self) -> None:
        """Let nobody in any more; links that are there stay."""
        self._accepting.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def proved(self, link: Link) -> None:
        """It is known who it is; or it is gone."""
        self._half_open.pop(link, None)

    def _cannot_accept(self, sentence: str) -> None:
        self._complain("whoever comes", End(Close.ABNORMAL, sentence, ours=True))

    def _begin(self, accepted: socket.socket) -> None:
        task = self._loop.create_task(self._let_in(accepted), name="mesh lets in")

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._half_open.pop(task, None)
            if task.cancelled():
                accepted.close()  # it may not even have begun

        self._tasks.add(task)
        task.add_done_callback(ended)
        self._count(task)

    def _count(self, newest: asyncio.Task[None]) -> None:
        half_open = self._half_open
        half_open[newest] = None
        if len(half_open) > self._host.settings.half_open_max:
            oldest = next(iter(half_open))
            del half_open[oldest]
            if isinstance(oldest, Link):
                oldest.abort("too many connections came after it")
            else:
                oldest.cancel()

    async def _let_in(self, accepted: socket.socket) -> None:
        link = Link(self._host, Side.LISTENER)
        context = self._host.settings.tls_listen
        patience = None if context is None else self._host.settings.timing.greeting_s
        try:
            await self._loop.connect_accepted_socket(
                lambda: link, accepted, ssl=context, ssl_handshake_timeout=patience
            )
        except (OSError, ssl.SSLError) as exc:
            link.connection_lost(exc)
            said = f"no TLS: {exc or 'it broke off'}"
            self._complain("a connection", End(Close.PROTOCOL, said, ours=True))
        except asyncio.CancelledError:
            link.connection_lost(None)  # which not every event loop says by itself
            raise
        else:
            if not (link.node or link.gone.done()):
                self._half_open[link] = None  # its task gives up its place now
