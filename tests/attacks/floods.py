"""Those who send many frames: requests, pings, fragments without end."""

from __future__ import annotations

import asyncio
import contextlib

from tests.attacks.target import (
    CONTINUATION,
    FINAL,
    HEAD_END,
    PING,
    Attack,
    Target,
    frame,
    head,
    incr,
)

HELD_BYTES = 256 << 10  # unsent, beyond which nothing is added


async def _pour(at: Target, start: bytes, lot: bytes, rate: float, connections: int = 4) -> None:
    """Send a lot again and again, on connections that are opened again when they are closed."""

    async def one() -> None:
        while at.lasts:
            reader, writer = await at.socket()
            reading = asyncio.create_task(at.count(reader))
            writer.write(start)
            async for _ in at.paced(rate / connections):
                if reading.done():
                    break
                if writer.transport.get_write_buffer_size() < HELD_BYTES:
                    writer.write(lot)
            at.drop(writer)
            await reading
            await asyncio.sleep(0.1)

    await asyncio.gather(*(one() for _ in range(connections)))


async def frame_flood(at: Target) -> None:
    """Small requests, sixteen to a write, 3,200 a second."""
    lot = b"".join(frame(FINAL | 1, incr(number)) for number in range(16))
    await _pour(at, b"", lot, 200)


async def ping_flood(at: Target) -> None:
    """Pings, 10,000 a second."""
    await _pour(at, b"", frame(FINAL | PING, b"p" * 125) * 50, 200)


async def endless_message(at: Target) -> None:
    """A message in fragments that has no end, 10 MB a second."""
    await _pour(at, frame(1, b"["), frame(CONTINUATION, b" " * 16_384), 640)


async def empty_fragments(at: Target) -> None:
    """A message whose fragments are empty, 10,000 a second."""
    await _pour(at, frame(1, b"["), frame(CONTINUATION, b"") * 50, 200)


async def byte_fragments(at: Target) -> None:
    """A message in fragments of one byte, 10,000 a second."""
    await _pour(at, frame(1, b"["), frame(CONTINUATION, b" ") * 50, 200)


async def http_flood(at: Target) -> None:
    """Requests of HTTP on connections that are kept, 800 a second."""
    token = f"Authorization: Bearer {at.token}"

    async def one() -> None:
        reader, writer = await at.open()
        reading = asyncio.create_task(at.count(reader))
        async for turn in at.paced(200):
            if reading.done():
                break
            if writer.transport.get_write_buffer_size() < HELD_BYTES:
                writer.write(head(f"/v1/keys/attack{turn % 50}", token))
        reading.cancel()

    await asyncio.gather(*(one() for _ in range(4)))


async def http_connections(at: Target) -> None:
    """A connection for each request, 150 a second."""
    token = f"Authorization: Bearer {at.token}"
    async for _ in at.paced(150.0):
        await at.once(head("/v1/keys/attack1", token, "Connection: close"))


async def tickets(at: Target) -> None:
    """Tickets that nobody uses, 400 a second."""
    body = b'{"pattern":"*"}'
    lines = (
        f"Authorization: Bearer {at.token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    asked = head("/v1/ticket", *lines, method="POST") + body
    reader, writer = await at.open()
    async for _ in at.paced(400.0):
        writer.write(asked)
        with contextlib.suppress(asyncio.IncompleteReadError):
            answer = await reader.readuntil(HEAD_END)
            at.heard[answer.split(b" ", 2)[1].decode()] += 1
            await reader.readuntil(b"}")


ATTACKS: dict[str, Attack] = {
    "frame flood": frame_flood,
    "ping flood": ping_flood,
    "HTTP flood": http_flood,
    "HTTP connections": http_connections,
    "tickets": tickets,
    "endless message": endless_message,
    "empty fragments": empty_fragments,
    "one-byte fragments": byte_fragments,
}
