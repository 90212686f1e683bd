"""A TCP proxy that a test breaks and heals: it cuts one way or both, delays, holds and refuses.

What is cut is not lost: as on a real network, TCP delivers it after the healing, if both ends still
hold on to the connection. An end that gives up while it is cut is not heard of before either.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from tests.running import end

CHUNK_BYTES = 1 << 16  # and no more than about that waits in the kernel unread
UNDER_WAY_MAX = 256  # chunks one way, of one connection


class Way:
    """One direction: it lets through what comes, or holds it back; and it may be long."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self._open = asyncio.Event()
        self._open.set()

    def cut(self) -> None:
        """Let nothing through."""
        self._open.clear()

    def heal(self) -> None:
        """Let everything through, at once."""
        self.delay_s = 0.0
        self._open.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry all that comes, each chunk as long under way as any other."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY_MAX)
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._take(reader, under_way))
            ends.create_task(self._give(under_way, writer))

    async def _take(
        self, reader: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        loop = asyncio.get_running_loop()
        data = b"."
        while data:
            await self._open.wait()  # else whoever sends would not notice that nothing moves
            data = b""
            with suppress(ConnectionError):
                data = await reader.read(CHUNK_BYTES)
            await under_way.put((loop.time() + self.delay_s, data))

    async def _give(
        self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await under_way.get()
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            await self._open.wait()
            if not data:
                writer.close()
                return
            writer.write(data)
            with suppress(ConnectionError):
                await writer.drain()


class Proxy:
    """In front of one address; `there` is the way to it, `back` the way from it."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.refuses = False  # new connections are ended at once
        self.accepted = 0
        self.there, self.back, self.door = Way(), Way(), asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.heal()

    @property
    def delay_s(self) -> float:
        """How long each chunk is under way."""
        return self.there.delay_s

    @delay_s.setter
    def delay_s(self, delay_s: float) -> None:
        self.there.delay_s = self.back.delay_s = delay_s

    def cut(self, *, there: bool = True, back: bool = True) -> None:
        """Let nothing through this way, or both."""
        if there:
            self.there.cut()
        if back:
            self.back.cut()

    def hold(self) -> None:
        """Accept connections, and take them nowhere for now."""
        self.door.clear()

    def heal(self) -> None:
        """Let everything through."""
        self.refuses = False
        self.there.heal()
        self.back.heal()
        self.door.set()

    def sever(self) -> None:
        """End all connections, so that both ends hear of it."""
        for writer in self._writers:
            writer.transport.abort()

    def ways(self, writer: asyncio.StreamWriter) -> tuple[Way, Way]:
        """There and back, for who has come by this connection."""
        return self.there, self.back

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
        there, back = self.ways(writer)
        host, port = self.target.rsplit(":", 1)
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self._writers.add(far_writer)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(there.carry(reader, far_writer))
                both.create_task(back.carry(far_reader, writer))
        finally:
            self._writers.discard(far_writer)
            far_writer.transport.abort()

    async def stop(self) -> None:
        """End everything."""
        await end(self._tasks)


P = TypeVar("P", bound=Proxy)


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """Such a proxy, on a free port of loopback."""
    async with at_work_on(Proxy(target)) as at_work:
        yield at_work


@asynccontextmanager
async def at_work_on(at_work: P) -> AsyncIterator[P]:
    """This one, at work on a free port of loopback."""
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
