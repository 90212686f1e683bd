"""From the msgpack bytes of a value to the object that JSON shows, tags and all.

Decides what each msgpack type becomes in JSON. The slow and exact way: `values.py` comes here only
with what its shortcut cannot show. The structure has been checked before, so no length runs over
the end; what is judged here is depth and text.

Allocates in proportion to the bytes that are there, never to what they claim.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from tlru.wire.value_tags import (
    B64,
    DEPTH_MAX,
    MAP,
    looks_tagged,
    show_bytes,
    show_ext,
    show_float,
    show_int,
)


class Unreadable(Exception):
    """A value nests deeper than DEPTH_MAX, or a string of it is no UTF-8: it is shown as `$raw`."""


def read(data: bytes) -> Any:
    """The object for JSON that one well-formed msgpack object stands for."""
    try:
        return _Reader(data).value(DEPTH_MAX)
    except UnicodeDecodeError as exc:
        raise Unreadable(f"a string is not UTF-8: {exc.reason}") from exc


class _Reader:
    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self, room: int) -> Any:
        """The next value; lists and maps may nest `room` deep in it."""
        at = self._at
        head = self._data[at]
        self._at = at + 1
        # In the order of what is common: short strings, small integers, small maps and lists.
        if 0xA0 <= head <= 0xBF:
            return self.text(head & 0x1F)
        if head < 0x80:
            return head
        if head >= 0xE0:
            return head - 0x100
        if head < 0x90:
            return self.map(head & 0x0F, room)
        if head < 0xA0:
            return self.array(head & 0x0F, room)
        return _BY_HEAD[head](self, room)

    def text(self, size: int) -> str:
        return self._take(size).decode()

    def bin(self, size: int) -> dict[str, str]:
        return {B64: show_bytes(self._take(size))}

    def ext(self, size: int) -> dict[str, Any]:
        code = self.signed(1)
        return show_ext(code, self._take(size))

    def size(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    def signed(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big", signed=True)

    def double(self, form: str, width: int) -> Any:
        (number,) = struct.unpack(form, self._take(width))
        return show_float(number)

    def array(self, count: int, room: int) -> list[Any]:
        room = _enter(room)
        value = self.value
        return [value(room) for _ in range(count)]

    def map(self, count: int, room: int) -> dict[str, Any]:
        room = _enter(room)
        value = self.value
        pairs = [[value(room), value(room)] for _ in range(count)]
        # Only names are ever hashed: their hashes are seeded, so nobody can make them collide.
        if not _ONLY_NAMES.issuperset({type(key) for key, _ in pairs}):
            return {MAP: pairs}
        members = dict(pairs)
        if len(members) != count:
            return {MAP: pairs}
        if looks_tagged(members):
            return {"$" + name: content for name, content in pairs}
        return members

    def _take(self, size: int) -> bytes:
        start = self._at
        self._at = end = start + size
        return self._data[start:end]


_ONLY_NAMES: Final = frozenset((str,))


def _enter(room: int) -> int:
    if not room:
        raise Unreadable(f"lists and maps nest deeper than {DEPTH_MAX}")
    return room - 1


# The types that are rare enough to be looked up, by their first byte.
_BY_HEAD: Final[dict[int, Callable[[_Reader, int], Any]]] = {
    0xC0: lambda reader, room: None,
    0xC2: lambda reader, room: False,
    0xC3: lambda reader, room: True,
    0xC4: lambda reader, room: reader.bin(reader.size(1)),
    0xC5: lambda reader, room: reader.bin(reader.size(2)),
    0xC6: lambda reader, room: reader.bin(reader.size(4)),
    0xC7: lambda reader, room: reader.ext(reader.size(1)),
    0xC8: lambda reader, room: reader.ext(reader.size(2)),
    0xC9: lambda reader, room: reader.ext(reader.size(4)),
    0xCA: lambda reader, room: reader.double(">f", 4),
    0xCB: lambda reader, room: reader.double(">d", 8),
    0xCC: lambda reader, room: reader.size(1),
    0xCD: lambda reader, room: reader.size(2),
    0xCE: lambda reader, room: reader.size(4),
    0xCF: lambda reader, room: show_int(reader.size(8)),
    0xD0: lambda reader, room: reader.signed(1),
    0xD1: lambda reader, room: reader.signed(2),
    0xD2: lambda reader, room: reader.signed(4),
    0xD3: lambda reader, room: show_int(reader.signed(8)),
    0xD4: lambda reader, room: reader.ext(1),
    0xD5: lambda reader, room: reader.ext(2),
    0xD6: lambda reader, room: reader.ext(4),
    0xD7: lambda reader, room: reader.ext(8),
    0xD8: lambda reader, room: reader.ext(16),
    0xD9: lambda reader, room: reader.text(reader.size(1)),
    0xDA: lambda reader, room: reader.text(reader.size(2)),
    0xDB: lambda reader, room: reader.text(reader.size(4)),
    0xDC: lambda reader, room: reader.array(reader.size(2), room),
    0xDD: lambda reader, room: reader.array(reader.size(4), room),
    0xDE: lambda reader, room: reader.map(reader.size(2), room),
    0xDF: lambda reader, room: reader.map(reader.size(4), room),
}
