"""The least that three processes and a client in Python can do for a write that a majority holds.

    python -m tests.benchmarks.bare_cluster leader PORT MESH_PORT MESH_PORT
    python -m tests.benchmarks.bare_cluster follower MESH_PORT

No frames, no checks, no log, no terms, no life, nothing that survives anything: a batch a turn of
the loop goes to both followers as it came, is put into a dict there, and is answered when one of
them has it. Whatever a real cluster in Python does comes on top of it, so it is the bound that
`against_clusters` measures beside the others.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, cast

import msgpack
import uvloop

HEAD = 4  # bytes of a message's length


class Wire(asyncio.Protocol):
    """Messages with their length before them."""

    def __init__(self, take: Callable[[Wire, bytes], None]) -> None:
        self._take = take
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Some of what the other side says."""
        data = self._rest + data if self._rest else data
        at = 0
        while len(data) - at >= HEAD:
            end = at + HEAD + int.from_bytes(data[at : at + HEAD], "big")
            if end > len(data):
                break
            self._take(self, data[at + HEAD : end])
            at = end
        self._rest = data[at:]

    def say(self, message: bytes) -> None:
        """Send one."""
        self._transport.write(len(message).to_bytes(HEAD, "big") + message)


class Leader:
    """Passes writes on, and answers those that a follower has."""

    def __init__(self) -> None:
        self._store: dict[str, bytes] = {}
        self._followers: list[Wire] = []
        self._waiting: dict[int, tuple[Wire, list[Any]]] = {}
        self._batch = 0

    def write(self, client: Wire, message: bytes) -> None:
        """A client's writes of one turn: their numbers, keys and values."""
        self._batch += 1
        self._waiting[self._batch] = client, msgpack.unpackb(message)
        for follower in self._followers:
            follower.say(message)

    def has(self, follower: Wire, message: bytes) -> None:
        """A follower holds so many batches: with it we are two of three."""
        done = int.from_bytes(message, "big")
        for batch in list(self._waiting):
            if batch > done:
                break
            client, writes = self._waiting.pop(batch)
            numbers = []
            for number, key, value in writes:
                self._store[key] = value
                numbers.append(number)
            client.say(msgpack.packb(numbers))

    async def serve(self, port: int, meshes: list[int]) -> None:
        """Link with the followers, and let clients in."""
        loop = asyncio.get_running_loop()
        for mesh in meshes:
            _, wire = await loop.create_connection(lambda: Wire(self.has), "127.0.0.1", mesh)
            self._followers.append(wire)
        server = await loop.create_server(lambda: Wire(self.write), "127.0.0.1", port)
        await server.serve_forever()


class Follower:
    """Holds what it is told."""

    def __init__(self) -> None:
        self._store: dict[str, bytes] = {}
        self._batches = 0

    def hold(self, leader: Wire, message: bytes) -> None:
        """A batch of writes."""
        for _, key, value in msgpack.unpackb(message):
            self._store[key] = value
        self._batches += 1
        leader.say(self._batches.to_bytes(8, "big"))

    async def serve(self, port: int) -> None:
        """Wait for the leader."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Wire(self.hold), "127.0.0.1", port)
        await server.serve_forever()


class Client:
    """Writes of one turn leave together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, asyncio.Future[None]] = {}
        self._out: list[tuple[int, str, bytes]] = []
        self._number = 0

    async def connect(self, port: int) -> Client:
        """Find the leader."""
        _, self._wire = await self._loop.create_connection(
            lambda: Wire(self._done), "127.0.0.1", port
        )
        return self

    def put(self, key: str, value: bytes) -> asyncio.Future[None]:
        """One write."""
        self._number += 1
        future = self._pending[self._number] = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append((self._number, key, value))
        return future

    def close(self) -> None:
        """Leave."""
        self._wire._transport.abort()

    def _flush(self) -> None:
        self._wire.say(msgpack.packb(self._out))
        self._out.clear()

    def _done(self, wire: Wire, message: bytes) -> None:
        for number in msgpack.unpackb(message):
            self._pending.pop(number).set_result(None)


def main() -> None:
    """Be one of them."""
    role, *ports = sys.argv[1:]
    port, *meshes = map(int, ports)
    uvloop.run(Leader().serve(port, meshes) if role == "leader" else Follower().serve(port))


if __name__ == "__main__":
    main()
