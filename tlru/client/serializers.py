"""Values to bytes and back.

A serializer is anything with `dumps` and `loads`. The one that is used when none is named writes
msgpack, which every client in every language reads. There is none for pickle: whoever can write to
a cache could then run code in all who read it.

What comes back from msgpack is what went in, but for this: tuples come back as lists, and datetimes
(they need a time zone) come back in UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgpack

from tlru.errors import BadValue

T = TypeVar("T")

_TIMESTAMP_AS_DATETIME: Final = 3


class Serializer(Protocol[T]):
    """Writes values of one type as bytes, and reads them back."""

    def dumps(self, value: T, /) -> bytes:
        """The bytes of a value."""

    def loads(self, data: bytes, /) -> T:
        """The value of bytes."""


class Msgpack:
    """None, booleans, numbers, strings, bytes, datetimes with a time zone, lists and dicts."""

    # Bound at once: one look-up less on the way of every value.
    loads: Callable[[bytes], Any] = staticmethod(
        partial(msgpack.unpackb, timestamp=_TIMESTAMP_AS_DATETIME, strict_map_key=False)
    )
    dumps: Callable[[Any], bytes] = staticmethod(msgpack.Packer(datetime=True).pack)


class Raw:
    """Bytes as they are, for values that were made elsewhere: images, pages, archives."""

    def dumps(self, value: bytes, /) -> bytes:
        """The bytes themselves."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"raw values are bytes, not {type(value).__name__}")
        return bytes(value)

    def loads(self, data: bytes, /) -> bytes:
        """The bytes themselves."""
        return data


def dump(serializer: Serializer[T], key: str, value: T) -> bytes:
    """The bytes of a value that is to be kept under a key."""
    try:
        return serializer.dumps(value)
    except Exception as exc:
        kind = type(value).__name__
        raise BadValue(f"a value of type {kind} cannot be kept under {key!r}: {exc}") from exc


def load(serializer: Serializer[T], key: str, data: bytes) -> T:
    """The value of bytes that were found under a key."""
    try:
        return serializer.loads(data)
    except Exception as exc:
        raise unreadable(key, exc) from exc


def unreadable(key: str, why: Exception) -> BadValue:
    """The error of one who found under a key what its serializer cannot read."""
    return BadValue(f"what is kept under {key!r} cannot be read back: {why}")
