"""What is allowed, each as large as it may be: keys, batches, values, patterns, subscriptions."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable

import msgpack

from tests.attacks.target import COMPRESSED, FINAL, Attack, Target, frame

TEXT, BINARY = FINAL | 1, FINAL | 2
MESSAGE_BYTES = 4 << 20
CONTAINERS = (1 << 16) - 10
KEYS, FEEDS, KEY_BYTES = 10_000, 1_024, 1_024
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def packed(data: bytes) -> bytes:
    """A message as a client compresses it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def _again(at: Target, message: bytes, rate: float, *lines: str, codec: str = "") -> None:
    """One connection sends the same again and again, and hears an answer to each."""
    reader, writer = await at.socket(*lines, codec=codec or "tlru.v1.json")
    async for _ in at.paced(rate):
        if writer.is_closing():
            reader, writer = await at.socket(*lines, codec=codec or "tlru.v1.json")
        writer.write(message)
        await at.note(reader)


async def blanks(at: Target) -> None:
    """A request in blanks that are just not too many, compressed: four kilobytes."""
    line = b'{"id":1,"op":"ping"}'
    message = packed(line + b" " * (MESSAGE_BYTES - len(line)))
    await _again(at, frame(TEXT | COMPRESSED, message), 10.0, DEFLATE)


async def lists(at: Target) -> None:
    """A value of as many lists as a message may hold, compressed to a few hundred bytes."""
    value = b"[" + b"[]," * CONTAINERS + b"0]"
    line = b'{"id":1,"op":"set","key":"lists","value":%b}' % value
    await _again(at, frame(TEXT | COMPRESSED, packed(line)), 10.0, DEFLATE)


async def msgpack_lists(at: Target) -> None:
    """Lists in lists as long as they may be."""
    data = b"\x81\xa1a\xdc\x4e\x20" + (b"\xdc\x00\xc8" + b"\x90" * 200) * 19_000
    message = frame(BINARY | COMPRESSED, packed(data))
    await _again(at, message, 10.0, DEFLATE, codec="tlru.v1.msgpack")


async def many_keys(at: Target) -> None:
    """As many keys as a request may name, set and read."""
    items = [{"key": f"{n:08}", "value": b"\x01"} for n in range(KEYS)]
    keys = [each["key"] for each in items]
    asked = ({"id": 1, "op": "set_many", "items": items}, {"id": 2, "op": "get_many", "keys": keys})
    message = frame(BINARY, b"".join(map(msgpack.packb, asked)))
    await _again(at, message, 2.0, codec="tlru.v1.msgpack")


async def long_lines(at: Target) -> None:
    """As many lines as fit into a message, none of which says anything."""
    message = frame(TEXT | COMPRESSED, packed(b"1\n" * (MESSAGE_BYTES // 2)))
    await _again(at, message, 2.0, DEFLATE)


def _subscriptions() -> Iterable[bytes]:
    for number in range(2 * FEEDS):
        pattern = f"{number:04}".ljust(KEY_BYTES - 1, "x") + "*"
        yield json.dumps({"id": number, "op": "subscribe", "pattern": pattern}).encode()


async def subscriptions(at: Target) -> None:
    """Twice as many as one connection may have, to patterns as long as keys may be; ended, and
    begun again."""
    asked = list(_subscriptions())
    async for _ in at.paced(2.0):
        reader, writer = await at.socket()
        for first in range(0, len(asked), 512):
            writer.write(frame(TEXT, b"\n".join(asked[first : first + 512])))
        told = b""
        while told.count(b'"id":') < len(asked) and (more := await reader.read(1 << 16)):
            told += more
        at.heard["feeds"] += told.count(b'"ok":true')
        at.heard["too_large"] += told.count(b'"code":"too_large"')
        at.drop(writer)


ATTACKS: dict[str, Attack] = {
    "blanks, packed": blanks,
    "lists, packed": lists,
    "lists, msgpack": msgpack_lists,
    "many keys": many_keys,
    "short lines": long_lines,
    "subscriptions": subscriptions,
}
