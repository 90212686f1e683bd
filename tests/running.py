"""A real node on a free port of loopback, and somebody who talks to it as an outside program would.

`Talker` knows nothing of tlru but the protocol: a plain WebSocket client, in either encoding.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tlru.config import Config
from tlru.node import Node

T = TypeVar("T")

PATIENCE_S = 20  # a test that waits longer than this for a reply has failed


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine to its end, within a bound."""

    async def bounded() -> T:
        async with asyncio.timeout(90):
            return await scenario

    return asyncio.run(bounded())


@contextlib.asynccontextmanager
async def a_node(**options: Any) -> AsyncIterator[Node]:
    """A node on a free port."""
    async with Node(Config(listen="127.0.0.1:0", **options)) as node:
        yield node


async def until(holds: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    """Look again and again, until what a node does by itself has been done."""
    async with asyncio.timeout(within_s):
        for _ in itertools.count():
            if holds():
                return
            await asyncio.sleep(0.01)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what still runs, and wait until it has ended."""
    running = list(tasks)
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


class Talker:
    """A client that was written from the protocol's page alone."""

    def __init__(self, socket: ClientConnection, binary: bool) -> None:
        self.socket = socket
        self.binary = binary
        self.numbers = itertools.count(1)
        self._messages: list[Any] = []

    def encode(self, message: Any) -> bytes:
        """One message as bytes."""
        if self.binary:
            data: bytes = msgpack.packb(message)
            return data
        return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()

    def value(self, value: Any) -> Any:
        """A value as it stands in a message."""
        return msgpack.packb(value) if self.binary else value

    def plain(self, value: Any) -> Any:
        """A value of a message as Python knows it."""
        return msgpack.unpackb(value) if self.binary and isinstance(value, bytes) else value

    async def send(self, *messages: Any) -> None:
        """Send messages in one WebSocket message."""
        separator = b"" if self.binary else b"\n"
        await self.send_bytes(separator.join(self.encode(message) for message in messages))

    async def send_bytes(self, data: bytes) -> None:
        """Send one WebSocket message of this encoding, whatever is in it."""
        await self.socket.send(data if self.binary else data.decode())

    async def receive(self) -> Any:
        """The next message of the node."""
        while not self._messages:
            async with asyncio.timeout(PATIENCE_S):
                data = await self.socket.recv()
            if isinstance(data, bytes):
                unpacker = msgpack.Unpacker()
                unpacker.feed(data)
                self._messages += list(unpacker)
            else:
                self._messages += [json.loads(line) for line in data.split("\n")]
        return self._messages.pop(0)

    async def ask(self, op: str, **fields: Any) -> Any:
        """Send one request, and give its reply."""
        number = next(self.numbers)
        if "value" in fields:
            fields["value"] = self.value(fields["value"])
        await self.send({"id": number, "op": op, **fields})
        reply = await self._reply()
        assert reply["id"] == number, reply
        for name in ("value", "old"):
            if name in reply:
                reply[name] = self.plain(reply[name])
        return reply

    async def _reply(self) -> Any:
        """The next message that is no list of servers: one comes whenever the cluster changes, and
        is kept for who wants to see it."""
        lists = []
        while (message := await self.receive()).get("push") == "servers":
            lists.append(message)
        self._messages[:0] = lists
        return message

    async def closed(self) -> int:
        """Wait until the node has closed the connection; its code."""
        async with asyncio.timeout(PATIENCE_S):
            await self.socket.wait_closed()
        code = self.socket.close_code
        assert code is not None
        return code


CODECS = ("tlru.v1.json", "tlru.v1.msgpack")


class Serves(Protocol):
    """A node, in whichever process."""

    @property
    def url(self) -> str:
        """Where it is reached."""


@contextlib.asynccontextmanager
async def talking(
    node: Serves, codec: str | None = "tlru.v1.json", query: str = ""
) -> AsyncIterator[Talker]:
    """A conversation with a node."""
    offered = None if codec is None else [Subprotocol(codec)]
    async with connect(
        node.url + query, subprotocols=offered, compression=None, max_size=None, proxy=None
    ) as socket:
        yield Talker(socket, codec == "tlru.v1.msgpack")
