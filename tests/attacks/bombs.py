"""Few bytes that are meant to become much: nested, compressed, of a pretended size."""

from __future__ import annotations

import json
import zlib

from tests.attacks.target import COMPRESSED, FINAL, Attack, Target, frame, head

TEXT, BINARY = FINAL | 1, FINAL | 2
BOMBS_A_S = 10.0
DEPTH = 100_000


async def _throw(at: Target, bomb: bytes, *lines: str, codec: str = "tlru.v1.json") -> None:
    async for _ in at.paced(BOMBS_A_S):
        reader, writer = await at.socket(*lines, codec=codec)
        writer.write(bomb)
        await at.note(reader)
        at.drop(writer)


async def compressed(at: Target) -> None:
    """Half a gigabyte of blanks in half a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(512))
    packed += packer.flush(zlib.Z_SYNC_FLUSH)[:-4]
    bomb = frame(TEXT | COMPRESSED, packed)
    await _throw(at, bomb, "Sec-WebSocket-Extensions: permessage-deflate")


async def nested_json(at: Target) -> None:
    """A value of a hundred thousand arrays, each in the next."""
    value = b"[" * DEPTH + b"]" * DEPTH
    await _throw(at, frame(TEXT, b'{"id":1,"op":"set","key":"k","value":%b}' % value))


async def nested_json_http(at: Target) -> None:
    """The same in the body of a request."""
    value = b"[" * DEPTH + b"]" * DEPTH
    told = (
        "Content-Type: application/json",
        f"Content-Length: {len(value)}",
        f"Authorization: Bearer {at.token}",
    )
    async for _ in at.paced(BOMBS_A_S):
        await at.once(head("/v1/batch", *told, method="POST") + value)


async def long_number(at: Target) -> None:
    """An integer of a hundred thousand digits, which takes long to read."""
    asked = json.dumps({"id": 1, "op": "incr", "key": "k", "by": 0}).encode()
    await _throw(at, frame(TEXT, asked.replace(b'"by": 0', b'"by":' + b"9" * DEPTH)))


async def nested_msgpack(at: Target) -> None:
    """A hundred thousand arrays of one element."""
    await _throw(at, frame(BINARY, b"\x91" * DEPTH), codec="tlru.v1.msgpack")


async def sized_msgpack(at: Target) -> None:
    """An array that claims four thousand million elements, and has none."""
    await _throw(at, frame(BINARY, b"\xdd\xff\xff\xff\xff"), codec="tlru.v1.msgpack")


ATTACKS: dict[str, Attack] = {
    "compressed bomb": compressed,
    "nested JSON": nested_json,
    "nested JSON, HTTP": nested_json_http,
    "long number": long_number,
    "nested msgpack": nested_msgpack,
    "sized msgpack": sized_msgpack,
}
