"""Who comes in: connections are accepted here, and counted from that moment on.

A server of asyncio's that does TLS tells of a connection only when the handshake is over, so the
number of those that never end it would have no bound. Here the oldest that has not proved itself
gives way to the newest: whoever only holds places must be quicker than those who mean it.

Invariant: at most so many connections are half open, and none for longer than a greeting may take.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from peers import listening
from peers.mesh.ends import Close, End
from peers.mesh.greeting import Side
from peers.mesh.link import Host, Link
from peers.mesh.settings import join_address

BACKLOG: Final = 128
# Where no file is free for a connection, the next try waits so long.
ACCEPT_PAUSE_S: Final = 0.5

Complain = Callable[[str, End], None]


class Door:
    """The listening socket of a mesh."""

    def __init__(self, host: Host, complain: Complain) -> None:
        self._host, self._complain = host, complain
        self._half_open: dict[asyncio.Task[None] | Link, None] = {}  # in the order of their coming
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._socket: socket.socket

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
        self._watch()
        return join_address(*self._socket.getsockname()[:2])

    async def close(self) -> None:
        """Let nobody in any more; links that are there stay."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._socket.close()

    def proved(self, link: Link) -> None:
        """It is known who it is; or it is gone."""
        self._half_open.pop(link, None)

    def _watch(self) -> None:
        # Not a task that waits for the next one: to cancel that could lose one that is there.
        self._pause = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                said = f"no connection can be accepted: {exc}"
                self._complain("whoever comes", End(Close.ABNORMAL, said, ours=True))
                self._loop.remove_reader(self._socket)
                self._pause = self._loop.call_later(ACCEPT_PAUSE_S, self._watch)
                return
            accepted.setblocking(False)
            self._begin(accepted)

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
