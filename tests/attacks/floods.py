"""Those who send many frames: requests, pings, fragments without end."""

from __future__ import annotations

import asyncio

from tests.attacks.target import CONTINUATION, FINAL, PING, Attack, Target, frame, incr

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


ATTACKS: dict[str, Attack] = {
    "frame flood": frame_flood,
    "ping flood": ping_flood,
    "endless message": endless_message,
    "empty fragments": empty_fragments,
    "one-byte fragments": byte_fragments,
}
