"""A small server that does what a test tells it, for what a real node cannot be made to do.

It speaks real WebSocket over a real socket; only its answers come from the test. A script is a
coroutine function that is given each connection and its number (the first is 0). When the script
returns, the connection is cut.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgpack
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Upgrade
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tests import running
from tlru.client.cache import Cache
from tlru.client.client import Client
from tlru.client.serializers import Msgpack
from tlru.client.server import Server
from tlru.client.settings import Settings, Timing, Token
from tlru.errors import Unavailable

LOOK_S, LOOKS_MAX = 0.001, 10_000
EPOCH = "1-a"

Message = dict[str, Any]


class ClientGone(Exception):
    """The client has ended the connection."""


class Link:
    """One connection, from the server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.protocol = ServerProtocol(subprotocols=[Subprotocol("tlru.v1.msgpack")], max_size=None)
        self.frames: list[list[Message]] = []  # what came in each WebSocket message
        self.upgrade: Upgrade | None = None
        self.hello: Message = {}
        self._reader = reader
        self._writer = writer
        self._waiting: deque[Message] = deque()

    async def greet(self, **fields: Any) -> None:
        """Accept the upgrade and answer `hello`."""
        await self.accept()
        self.hello = await self.next()
        assert self.hello["op"] == "hello"
        greeting = {"node": "n", "epoch": EPOCH, "pos": 1, "time": 1000, "status": "active"}
        may = {"read": [""], "write": [""], "subscribe": [""], "publish": [""], "admin": True}
        self.reply(self.hello, **{**greeting, "limits": {}, "servers": [], "may": may, **fields})

    async def accept(self) -> None:
        """Accept the upgrade."""
        while self.upgrade is None:
            await self._receive()
        self.protocol.send_response(self.protocol.accept(self.upgrade))
        self._write_out()

    async def refuse_upgrade(self, status: int, text: str, **headers: str) -> None:
        """Answer the upgrade with an HTTP error; `Retry_After` is the header Retry-After."""
        while self.upgrade is None:
            await self._receive()
        refusal = self.protocol.reject(status, text)
        for name, value in headers.items():
            refusal.headers[name.replace("_", "-")] = value
        self.protocol.send_response(refusal)
        self._write_out()

    async def next(self) -> Message:
        """The next request. `ClientGone` when there will be none."""
        while not self._waiting:
            await self._receive()
        return self._waiting.popleft()

    async def next_of(self, op: str) -> Message:
        """The next request for this operation; others are passed over."""
        while (request := await self.next())["op"] != op:
            pass
        return request

    async def requests(self) -> AsyncIterator[Message]:
        """The requests, until the client goes."""
        while True:
            yield await self.next()

    async def until_gone(self) -> None:
        """Read and answer nothing until the client goes."""
        try:
            while True:
                await self._receive()
        except ClientGone:
            return

    def reply(self, request: Message, **fields: Any) -> None:
        """Answer a request; position and time are there unless they are given."""
        self.send({"id": request["id"], "ok": True, "pos": 1, "time": 1000, **fields})

    def found(self, request: Message, value: Any, **fields: Any) -> None:
        """Answer a `get` with a value."""
        packed = msgpack.packb(value)
        self.reply(request, found=True, value=packed, version=1, at=1000, **fields)

    def refuse(self, request: Message, code: str, retry: str, **facts: Any) -> None:
        """Answer a request with an error."""
        error = {"code": code, "message": f"it is {code}", "retry": retry, "status": 503, **facts}
        self.send({"id": request["id"], "ok": False, "error": error})

    def send(self, *messages: Any) -> None:
        """Send messages as one WebSocket message."""
        self.send_raw(b"".join(msgpack.packb(message) for message in messages))

    def send_raw(self, payload: bytes) -> None:
        """Send a binary WebSocket message of any content."""
        self.protocol.send_binary(payload)
        self._write_out()

    def send_text(self, text: str) -> None:
        """Send a text message."""
        self.protocol.send_text(text.encode())
        self._write_out()

    def send_bytes(self, data: bytes) -> None:
        """Send bytes that need not be WebSocket at all."""
        self._writer.write(data)

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection with a code."""
        self.protocol.send_close(code, reason)
        self._write_out()

    def finish(self) -> None:
        """Send what there is and end the TCP connection, without a close frame."""
        self._writer.close()

    def cut(self) -> None:
        """End the TCP connection without a word, what is unread included."""
        self._writer.transport.abort()

    @property
    def close_code(self) -> int | None:
        """The code that the client has closed with, if it has."""
        close = self.protocol.close_rcvd
        return None if close is None else int(close.code)

    async def _receive(self) -> None:
        data = await self._read()
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Upgrade):
                self.upgrade = event
            elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                unpacker = msgpack.Unpacker(strict_map_key=False)
                unpacker.feed(event.data)
                messages = list(unpacker)
                self.frames.append(messages)
                self._waiting.extend(messages)
            elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                self._write_out()
                raise ClientGone
        self._write_out()

    async def _read(self) -> bytes:
        try:
            data = await self._reader.read(1 << 16)
        except ConnectionError as exc:
            raise ClientGone from exc
        if not data:
            raise ClientGone
        return data

    def _write_out(self) -> None:
        data = b"".join(self.protocol.data_to_send())
        if data:
            self._writer.write(data)


Script = Callable[[Link, int], Awaitable[None]]


class Scripted:
    """A server that is running."""

    def __init__(self, script: Script) -> None:
        self.links: list[Link] = []
        self.errors: list[BaseException] = []
        self.url = ""
        self._script = script
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the script for one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = Link(reader, writer)
        self.links.append(link)
        try:
            await self._script(link, next(self._numbers))
        except ClientGone:
            pass
        except asyncio.CancelledError:
            pass
        except BaseException as exc:
            self.errors.append(exc)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def stop(self) -> None:
        """Cut what is still there."""
        await running.end(self._tasks)


@asynccontextmanager
async def scripted(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Such a server; what its script raises is raised at the end."""
    at_work = Scripted(script)
    server = await asyncio.start_server(at_work.handle, "127.0.0.1", 0, ssl=tls)
    at_work.url = (
        f"{'ws' if tls is None else 'wss'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    )
    try:
        yield at_work
    finally:
        server.close()
        await at_work.stop()
        await server.wait_closed()
    for error in at_work.errors:
        raise error


# Scripts count their connections, so nobody measures the way to them.
QUICK = Timing(backoff_first=0.001, backoff_most=0.01, close=0.2, doubt=0.05, measure_first=3600.0)


def client(
    *urls: str,
    timing: Timing = QUICK,
    timeout: float = 5.0,
    token: Token = None,
    exactly_once: bool | None = None,
    tls: ssl.SSLContext | None = None,
) -> Cache[Any]:
    """A cache with the patience that a test needs."""
    settings = Settings(
        servers=tuple(map(Server, urls)),
        timing=timing,
        timeout=timeout,
        token=token,
        exactly_once=exactly_once,
        ssl=tls,
    )
    return Cache(Client(settings), Msgpack(), timeout=timeout)


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so that nobody tells."""
    for _ in range(LOOKS_MAX):
        if condition():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError("what was waited for did not come about")


async def in_service(cache: Cache[Any]) -> None:
    """Have the cache connected, so that what follows meets a connection and no handshake."""
    connecting = asyncio.create_task(cache.get("to connect", timeout=60))
    await until(lambda: cache._client.exchange()._connection)
    connecting.cancel()


async def complaint(cache: Cache[Any]) -> str:
    """What is wrong with the only server, as its caller is told once it has been tried."""
    for _ in range(LOOKS_MAX):
        try:
            await cache.get("k", timeout=0.02)
        except Unavailable as error:
            if "not connected yet" not in str(error):
                return str(error)
    raise AssertionError("nothing is wrong with it")


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on an event loop of its own."""
    running.run(main())
