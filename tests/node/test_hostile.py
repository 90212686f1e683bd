"""Clients that do harm: floods, answers that are never read, more connections than allowed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.running import a_node, run, talking, until

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(payload)
    if size < 126:
        return bytes([0x80 | opcode, 0x80 | size]) + bytes(4) + payload
    return bytes([0x80 | opcode, 0xFF]) + size.to_bytes(8, "big") + bytes(4) + payload


async def shaken(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare WebSocket connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def unsent(node: Any) -> int:
    """Bytes that wait in the node for WebSocket clients that do not read."""
    return sum(each._transport.get_write_buffer_size() for each in node.connections)


def test_pongs_that_are_never_read_do_not_pile_up() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as other:
            _, writer = await shaken(node.port)
            pings = frame(0x9, b"p" * 125) * 2_000
            # Until the node has stopped reading, whatever the kernel's buffers hold between us.
            for _ in range(400):
                writer.write(pings)
                try:
                    async with asyncio.timeout(0.2):
                        await writer.drain()
                except TimeoutError:
                    break
                assert unsent(node) < 4 << 20
            else:
                pytest.fail("a hundred megabytes of pings were taken without an answer being read")
            assert (await other.ask("ping"))["ok"] is True
            writer.transport.abort()

    run(scenario())


def test_a_flood_of_one_connection_leaves_the_others_their_turn() -> None:
    """While a greedy client keeps its socket full, another is answered in between."""

    async def scenario() -> None:
        async with a_node() as node, talking(node) as other:
            reader, writer = await shaken(node.port)
            lines = b"\n".join(b'{"id":%d,"op":"incr","key":"k"}' % n for n in range(1_000))
            rounds = 40

            async def flood() -> None:
                for _ in range(rounds):
                    writer.write(frame(0x1, lines))
                    await writer.drain()

            async def read() -> int:
                taken, mark, tail = 0, b'"ok":true', b""
                while taken < rounds * 1_000:
                    data = tail + await reader.read(1 << 16)
                    taken += data.count(mark)
                    tail = data[1 - len(mark) :]  # too short to be counted twice
                return taken

            answered = 0
            try:
                flooding = asyncio.gather(flood(), read())
                while not flooding.done():
                    assert (await other.ask("get", key="k"))["ok"] is True
                    answered += 1
                await flooding
            finally:
                writer.transport.abort()
            assert answered > 5, "the others had to wait until the flood was over"

    run(scenario())


def test_a_full_node_turns_clients_away_and_still_tells_that_it_lives() -> None:
    async def scenario() -> None:
        async with a_node(connections=2) as node, talking(node), talking(node):
            await until(lambda: len(node.connections) == 2)

            async def ask(path: str) -> tuple[int, bytes]:
                reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
                )
                answer = await reader.read()
                writer.close()
                return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]

            status, body = await ask("/v1/keys/k")
            assert status == 503
            assert json.loads(body)["code"] == "overloaded"
            assert (await ask("/health/live"))[0] == 200

    run(scenario())


def test_a_get_that_touches_heeds_min() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            done = await client.ask("set", key="k", value=1)
            other = {"epoch": "9-deadbeef", "pos": 1}
            refused = await client.ask("get", key="k", touch=5, min=other)
            assert refused["error"]["code"] == "wrong_epoch"
            late = await client.ask("get", key="k", touch=5, min=done["pos"] + 10**6, timeout=0.05)
            assert late["error"]["code"] == "syncing"
            assert "ttl" not in await client.ask("get", key="k"), "nothing was touched"
            found = await client.ask("get", key="k", touch=5, min=done["pos"])
            assert found["ttl"] == 5.0

    run(scenario())


def test_a_page_of_a_scan_is_no_larger_than_its_asker_takes() -> None:
    async def scenario() -> None:
        async with a_node(scan=50) as node, talking(node) as client:
            for n in range(60):
                await client.ask("set", key=f"k{n:02}", value="x" * 300)
            assert len((await client.ask("scan"))["keys"]) == 50
            await client.ask("hello", max_bytes=2_048)
            page = await client.ask("scan", values=True)
            assert page["more"] is True
            assert len(json.dumps(page)) <= 2_048

    run(scenario())


def test_who_waits_when_the_node_stops_is_answered() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as one, talking(node) as two:
            await one.ask("lock", name="l", ttl=60)
            await two.send({"id": 7, "op": "lock", "name": "l", "ttl": 60, "wait": 60})
            await one.ask("ping")
            await until(lambda: node.services["default"].machine.locks.waiting == 1)
            stopping = asyncio.create_task(node.stop(grace=0.1))
            said = [await two.receive()]
            while "push" in said[-1]:
                said.append(await two.receive())
            # that it is draining is news for the list of servers too, if its turn comes before
            told = [each.get("push") for each in said]
            assert [push for push in told if push != "servers"] == ["goaway", None]
            assert said[-1]["id"] == 7
            assert said[-1]["error"]["retry"] == "unknown"
            await stopping

    run(scenario())
