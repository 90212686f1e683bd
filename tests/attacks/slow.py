"""Those who take their time: connections that begin something and do not end it, or never read."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from tests.attacks.target import FINAL, PING, Attack, Pair, Target, frame, head, upgrade

CONNECTIONS = 300
OPENED_A_S = 200.0


async def _drip(at: Target, first: bytes, rest: bytes) -> None:
    """Many connections send a beginning, and then a byte a second each."""
    pairs: list[Pair] = []
    async for turn in at.paced(OPENED_A_S):
        if turn == CONNECTIONS:
            break
        pairs.append(await at.open())
        pairs[-1][1].write(first)
    drops = iter(rest)
    async for _ in at.paced(1.0):
        drop = bytes([next(drops, rest[-1])])
        for _, writer in pairs:
            if not writer.is_closing():
                writer.write(drop)
    for reader, _ in pairs:
        await at.note(reader, 0.01)


async def slow_head(at: Target) -> None:
    """A request's head never ends."""
    await _drip(at, b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n", b"X-More: a")


async def slow_body(at: Target) -> None:
    """The body of a write comes byte by byte."""
    lines = ("Content-Length: 1000", f"Authorization: Bearer {at.token}")
    await _drip(at, head("/v1/keys/slow", *lines, method="PUT"), b"x")


async def slow_handshake(at: Target) -> None:
    """A WebSocket's handshake stops in the middle."""
    await _drip(at, upgrade()[:80], b"a")


async def slow_tls(at: Target) -> None:
    """A TLS handshake stops after the beginning of its hello."""
    await _drip(at, bytes.fromhex("160301020001"), b"\x00")


async def _unread(at: Target, begin: Callable[[], Awaitable[Pair]]) -> AsyncIterator[StreamWriter]:
    """Fifty connections, of which nothing is read, one after the other."""
    async for turn in at.paced(50.0):
        if turn == 50:
            break
        reader, writer = await begin()
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # what it is all about
        yield writer


def _set(key: str) -> bytes:
    """What sets a large value."""
    told = {"id": 1, "op": "set", "key": key, "value": "x" * 200_000}
    return frame(FINAL | 1, json.dumps(told).encode())


async def never_reads(at: Target) -> None:
    """Clients ask for large answers and watch everything, and read nothing of it."""
    _, writer = await at.socket()
    writer.write(_set("large"))
    lot = b"\n".join(json.dumps(each).encode() for each in _gets())
    writers = [writer async for writer in _unread(at, at.socket)]
    async for turn in at.paced(100.0):
        writer = writers[turn % len(writers)]
        if writer.transport.get_write_buffer_size() < 1 << 20 and not writer.is_closing():
            writer.write(frame(FINAL | 1, lot) + frame(FINAL | PING, b"p" * 100) * 20)
    held = sum(each.transport.get_write_buffer_size() > 0 for each in writers)
    at.heard["not read from any more"] += held


async def late_answers(at: Target) -> None:
    """Clients ask for large values that are answered later than asked, and read none of them."""
    _, writer = await at.socket()
    writer.write(_set("large"))
    asked = [{"id": number, "op": "get", "key": "large"} for number in range(2, 202)]
    lot = [
        each | ({"read": "linear"} if n < 60 else {"touch": 60_000}) for n, each in enumerate(asked)
    ]
    writers = []
    async for writer in _unread(at, at.socket):
        writer.write(frame(FINAL | 1, b"\n".join(json.dumps(each).encode() for each in lot)))
        writers.append(writer)
    async for _ in at.paced(20.0):
        pass
    at.heard["still open"] += sum(not each.is_closing() for each in writers)


async def streams_unread(at: Target) -> None:
    """Streams of Server-Sent Events of everything that happens, of which nothing is read."""
    asked = head("/v1/events?pattern=*&snapshot=true", f"Authorization: Bearer {at.token}")
    writers = []
    async for writer in _unread(at, at.open):
        writer.write(asked)
        writers.append(writer)
    _, writer = await at.socket()
    async for _ in at.paced(20.0):
        writer.write(_set("attack"))
    at.heard["streams open"] += sum(not each.is_closing() for each in writers)


def _gets() -> Iterator[dict[str, object]]:
    for number in range(2, 18):
        yield {"id": number, "op": "get", "key": "large"}


async def thousands(at: Target) -> None:
    """One address opens connections, and keeps all that it gets."""
    pairs = []
    async for turn in at.paced(500.0):
        if turn == 3_000:
            break
        try:
            async with asyncio.timeout(1):
                pairs.append(await at.open())
        except OSError:
            at.heard["no connection"] += 1
    for reader, _ in pairs:
        if reader.at_eof() or reader._buffer:  # type: ignore[attr-defined]  # without waiting
            await at.note(reader, 0.01)
        else:
            at.heard["kept open"] += 1


ATTACKS: dict[str, Attack] = {
    "slow head": slow_head,
    "slow body": slow_body,
    "slow handshake": slow_handshake,
    "slow TLS hello": slow_tls,
    "never reads": never_reads,
    "late answers": late_answers,
    "streams unread": streams_unread,
    "3,000 connections": thousands,
}
