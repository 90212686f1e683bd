"""A TCP proxy that a test breaks and heals: it cuts one way or both, delays, holds and refuses.

What is cut is not lost: as on a real network, TCP delivers it after the healing, if both ends still
hold on to the connection. An end that gives up while it is cut is not heard of before either.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.running import end

CHUNK_BYTES = 1 << 16  # and no more than about that waits in the kernel unread


class Proxy:
    """In front of one address; `there` is the way to it, `back` the way from it."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.refuses = False  # new connections are ended at once
        self.delay_s = 0.0  # of each chunk, either way
        self.accepted = 0
        self.there, self.back, self.door = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.heal()

    def cut(self, *, there: bool = True, back: bool = True) -> None:
        """Let nothing through this way, or both."""
        if there:
            self.there.clear()
        if back:
            self.back.clear()

    def hold(self) -> None:
        """Accept connections, and take them nowhere for now."""
        self.door.clear()

    def heal(self) -> None:
        """Let everything through."""
        self.refuses, self.delay_s = False, 0.0
        for way in (self.there, self.back, self.door):
            way.set()

    def sever(self) -> None:
        """End all connections, so that both ends hear of it."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if not self.refuses:
                await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.door.wait()
        host, port = self.target.rsplit(":", 1)
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self._writers.add(far_writer)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pump(reader, far_writer, self.there))
                ways.create_task(self._pump(far_reader, writer, self.back))
        finally:
            self._writers.discard(far_writer)
            far_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: asyncio.Event
    ) -> None:
        while True:
            data = b""
            with suppress(ConnectionError):
                data = await reader.read(CHUNK_BYTES)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await way.wait()
            if not data:
                writer.close()
                return
            writer.write(data)
            with suppress(ConnectionError):
                await writer.drain()

    async def stop(self) -> None:
        """End everything."""
        await end(self._tasks)


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """Such a proxy, on a free port of loopback."""
    at_work = Proxy(target)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK_BYTES)
    sock.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(at_work._serve, sock=sock)
    at_work.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield at_work
    finally:
        server.close()
        await at_work.stop()
        await server.wait_closed()
