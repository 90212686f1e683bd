"""permessage-deflate: what is accepted, what is compressed, and what a bomb may cost."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.extensions import ClientExtensionFactory
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol

from tests.running import CODECS, PATIENCE_S, Talker, a_node, run, talking
from tlru.node import Node, deflate

both_codecs = pytest.mark.parametrize("codec", CODECS)
TEXT = "a value that repeats itself, " * 400


@contextlib.asynccontextmanager
async def compressing(
    node: Node, codec: str, extensions: Sequence[ClientExtensionFactory] | None = None
) -> AsyncIterator[Talker]:
    """A conversation of which the client compresses all that it sends."""
    async with connect(
        node.url,
        subprotocols=[Subprotocol(codec)],
        compression="deflate" if extensions is None else None,
        extensions=extensions,
        max_size=None,
        proxy=None,
    ) as socket:
        yield Talker(socket, codec == "tlru.v1.msgpack")


# -- what is accepted


def head(offer: str | None) -> bytes:
    """A client's handshake with an offer."""
    told = "" if offer is None else f"Sec-WebSocket-Extensions: {offer}\r\n"
    return (
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"{told}\r\n"
    ).encode()


OURS = "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (None, None),
        ("x-something", None),
        ("permessage-deflate", f"permessage-deflate; {OURS}"),
        ("permessage-deflate; client_max_window_bits", f"permessage-deflate; {OURS}"),
        ("permessage-deflate; server_max_window_bits=15", f"permessage-deflate; {OURS}"),
        ("permessage-deflate; server_max_window_bits=12", f"permessage-deflate; {OURS}"),
        (
            "permessage-deflate; client_max_window_bits=10",
            f"permessage-deflate; {OURS}; client_max_window_bits=10",
        ),
        # Windows that would need a compression of their own.
        ("permessage-deflate; server_max_window_bits=11", None),
        ("permessage-deflate; server_max_window_bits=8", None),
        # The client's second choice is one that fits.
        (
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            f"permessage-deflate; {OURS}",
        ),
        # What no client may offer.
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; something=1", None),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
    ],
)
def test_an_offer_is_accepted_without_context_or_not_at_all(
    offer: str | None, answer: str | None
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(head(offer))
            async with asyncio.timeout(PATIENCE_S):
                told = (await reader.readuntil(b"\r\n\r\n")).decode()
            writer.transport.abort()
            assert told.startswith("HTTP/1.1 101 ")
            headers = dict(line.split(": ", 1) for line in told.split("\r\n")[1:] if line)
            assert headers.get("Sec-WebSocket-Extensions") == answer

    run(scenario())


# -- what is said


@both_codecs
def test_all_is_as_it_is_without_compression(codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, compressing(node, codec) as client:
            (extension,) = client.socket.protocol.extensions
            assert extension.remote_no_context_takeover  # type: ignore[attr-defined]
            assert extension.local_no_context_takeover  # type: ignore[attr-defined]
            for value in (TEXT, "short", {"a": [1, 2.5, None]}, TEXT[::-1]):
                assert (await client.ask("set", key="a", value=value))["applied"]
                assert (await client.ask("get", key="a"))["value"] == value
            await client.send(*({"id": n, "op": "ping"} for n in range(1_000)))
            answered = {(await client.receive())["id"] for _ in range(1_000)}
            assert answered == set(range(1_000))

    run(scenario())


@both_codecs
def test_messages_in_fragments_are_put_together(codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, compressing(node, codec) as client:
            value = client.value(TEXT * 20)
            message = client.encode({"id": 1, "op": "set", "key": "a", "value": value})
            pieces = [message[at : at + 5_000] for at in range(0, len(message), 5_000)]
            if not client.binary:
                await client.socket.send([each.decode() for each in pieces])
            else:
                await client.socket.send(pieces)
            assert (await client.receive())["applied"]
            assert (await client.ask("get", key="a"))["value"] == TEXT * 20

    run(scenario())


class Raw:
    """A WebSocket whose frames are seen as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, payload: bytes, first: int = 0x81) -> None:
        """One frame, masked with zeros."""
        size = len(payload)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 1 << 16:
            length = b"\xfe" + size.to_bytes(2, "big")
        else:
            length = b"\xff" + size.to_bytes(8, "big")
        self.writer.write(bytes([first]) + length + bytes(4) + payload)

    async def receive(self) -> tuple[int, bytes]:
        """The first byte of the next frame, and its payload."""
        async with asyncio.timeout(PATIENCE_S):
            first, size = await self.reader.readexactly(2)
            if size >= 126:
                wide = 2 if size == 126 else 8
                size = int.from_bytes(await self.reader.readexactly(wide), "big")
            return first, await self.reader.readexactly(size)


@contextlib.asynccontextmanager
async def raw(node: Node, offer: str | None = "permessage-deflate") -> AsyncIterator[Raw]:
    """A connection that speaks JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=1 << 24)
    try:
        writer.write(head(offer))
        await reader.readuntil(b"\r\n\r\n")
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def packed(data: bytes) -> bytes:
    """A message as a client compresses it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(
        b"\x00\x00\xff\xff"
    )


def unpacked(payload: bytes) -> bytes:
    """A message as a client with the window that was agreed upon reads it."""
    unpacker = zlib.decompressobj(-deflate.WINDOW_BITS)
    return unpacker.decompress(payload + b"\x00\x00\xff\xff")


def test_what_is_large_is_compressed_and_what_is_small_is_not() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as other, raw(node) as client:
            await other.ask("set", key="large", value=TEXT)
            await other.ask("set", key="small", value="x" * 100)
            for key, first in (("large", 0xC1), ("small", 0x81)):
                client.send(b'{"id":1,"op":"get","key":"%b"}' % key.encode())
                told, payload = await client.receive()
                assert told == first
                assert len(payload) < 1_000
                message = unpacked(payload) if told & 0x40 else payload
                assert b'"found":true' in message

    run(scenario())


@both_codecs
def test_a_push_is_compressed_once_for_all_who_get_it(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packers: list[int] = []
    of_zlib = zlib.compressobj

    def counted(*args: Any) -> Any:
        packers.append(1)
        return of_zlib(*args)

    async def scenario() -> None:
        async with a_node() as node, contextlib.AsyncExitStack() as stack:
            quiet = await stack.enter_async_context(talking(node, codec))
            readers = [await stack.enter_async_context(talking(node, codec)) for _ in range(2)]
            for _ in range(5):
                readers.append(await stack.enter_async_context(compressing(node, codec)))
            for reader in readers:
                assert (await reader.ask("subscribe", pattern="*"))["ok"]
            monkeypatch.setattr(zlib, "compressobj", counted)
            before = len(packers)
            await quiet.ask("set", key="a", value=TEXT)
            pushes = [await reader.receive() for reader in readers]
            assert len(packers) - before == 1
            for push, reader in zip(pushes, readers, strict=True):
                (event,) = push["events"]
                assert reader.plain(event["value"]) == TEXT

    run(scenario())


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    noise = zlib.compress(bytes(range(256)) * 50) + bytes(
        (n * 7919 + n * n * 31) % 251 for n in range(3_000)
    )
    framed = deflate.frame(noise[:1_024], 0x82)
    assert framed[0] in (0x82, 0xC2)
    assert len(framed) <= 1_024 + 4
    for size in (0, deflate.BYTES_MIN - 1, deflate.BYTES_MAX + 1):
        assert deflate.frame(b"a" * size, 0x82)[0] == 0x82
    for size in (deflate.BYTES_MIN, deflate.BYTES_MAX):
        assert deflate.frame(b"a" * size, 0x82)[0] == 0xC2


# -- hostile


def test_a_compressed_frame_is_never_taken_for_a_plain_one() -> None:
    """Also where plain ones stand before and after it, in the same packet."""

    async def scenario() -> None:
        async with a_node() as node, raw(node) as client:
            ping = b'{"id":%d,"op":"ping"}'
            client.send(ping % 1)
            client.send(packed(ping % 2), first=0xC1)
            client.send(ping % 3)
            heard = b""
            while heard.count(b'"ok":true') < 3:
                heard += (await client.receive())[1]
            assert [heard.find(b'"id":%d' % n) >= 0 for n in (1, 2, 3)] == [True] * 3

    run(scenario())


def test_a_compressed_frame_that_was_not_agreed_upon_ends_the_connection() -> None:
    async def scenario() -> None:
        async with a_node() as node, raw(node, offer=None) as client:
            client.send(packed(b'{"id":1,"op":"ping"}'), first=0xC1)
            first, payload = await client.receive()
            assert (first, int.from_bytes(payload[:2], "big")) == (0x88, 1002)

    run(scenario())


def test_frames_that_come_with_the_handshake_are_read_as_it_was_answered() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            client = Raw(reader, writer)
            message = packed(b'{"id":1,"op":"ping"}')
            writer.write(
                head("permessage-deflate") + bytes([0xC1, 0x80 | len(message)]) + bytes(4) + message
            )
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            assert b'"ok":true' in (await client.receive())[1]
            writer.transport.abort()

    run(scenario())


@pytest.mark.parametrize("fragments", [1, 5])
def test_a_bomb_is_too_large(fragments: int) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as other, raw(node) as client:
            bomb = packed(b" " * (node.limits.message_bytes + 1))
            assert len(bomb) < 8_192
            size = -(-len(bomb) // fragments)
            for number in range(fragments):
                first = 0xC1 if number == 0 else 0x80
                if number < fragments - 1:
                    first &= 0x7F
                client.send(bomb[number * size : (number + 1) * size], first=first)
            first, payload = await client.receive()
            assert (first, int.from_bytes(payload[:2], "big")) == (0x88, 1009)
            assert (await other.ask("ping"))["ok"]

    run(scenario())


@pytest.mark.parametrize("payload", [b"\xff" * 20, b"\x06" + b"\xff" * 9])
def test_what_cannot_be_unpacked_ends_the_connection(payload: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node, raw(node) as client:
            client.send(payload, first=0xC1)
            client.send(b'{"id":1,"op":"ping"}')
            first, told = await client.receive()
            assert (first, int.from_bytes(told[:2], "big")) == (0x88, 1002)

    run(scenario())


def test_many_small_messages_that_become_large_are_not_all_held_at_once() -> None:
    """Twenty messages of four megabytes each come together: they take no more room than one."""

    async def peak_of(node: Node, count: int) -> int:
        line, size = b'{"id":1,"op":"ping"}', node.limits.message_bytes
        one = packed(line + b" " * (size - len(line)))
        assert count * len(one) < 512 << 10
        tracemalloc.start()
        try:
            async with raw(node) as client:
                for _ in range(count):
                    client.send(one, first=0xC1)
                answered = 0
                while answered < count:
                    answered += (await client.receive())[1].count(b'"ok":true')
                return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    async def scenario() -> None:
        async with a_node() as node, talking(node) as other:
            one, many = await peak_of(node, 1), await peak_of(node, 20)
            assert many < one + node.limits.message_bytes
            assert (await other.ask("ping"))["ok"]

    run(scenario())


def test_a_client_with_a_smaller_window_is_served_without_compression() -> None:
    async def scenario() -> None:
        offer = ClientPerMessageDeflateFactory(server_max_window_bits=10)
        async with a_node() as node, compressing(node, CODECS[0], [offer]) as client:
            assert client.socket.protocol.extensions == []
            assert (await client.ask("set", key="a", value=TEXT))["applied"]

    run(scenario())


@pytest.mark.parametrize("first", [0xC0, 0xC9])
def test_the_mark_of_compression_stands_on_the_first_frame_of_a_message_alone(first: int) -> None:
    """Not on one that goes on with it, nor on a ping."""

    async def scenario() -> None:
        async with a_node() as node, raw(node) as client:
            message = packed(b'{"id":1,"op":"ping"}')
            client.send(message[:5], first=0x41)
            client.send(message[5:], first=first)
            told, payload = await client.receive()
            assert (told, int.from_bytes(payload[:2], "big")) == (0x88, 1002)

    run(scenario())


def test_pings_between_the_fragments_of_a_compressed_message_are_answered() -> None:
    async def scenario() -> None:
        async with a_node() as node, raw(node) as client:
            message = packed(b'{"id":1,"op":"ping"}' + b" " * 300_000)
            client.send(message[:5], first=0x41)
            client.send(b"between", first=0x89)
            client.send(message[5:], first=0x80)
            client.send(b"behind", first=0x89)
            heard = [await client.receive() for _ in range(3)]
            assert (0x8A, b"between") in heard
            assert (0x8A, b"behind") in heard
            assert sum(b'"ok":true' in payload for _, payload in heard) == 1

    run(scenario())
