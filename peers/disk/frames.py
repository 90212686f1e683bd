"""Records in a file that only grows: framed, checksummed, and each bound to those before it.

This module decides when a record is whole, when the end of a file was torn by a crash, and when
something in it is damaged; what the records are is decided by its callers.

A frame is its length, a check of that, the sum of its payload, the payload, and an end mark that is
not zero. Sum and check are seeded with the sum before, so no frame is taken for one that stands
elsewhere, or once stood here. The end of a file is torn where a frame ends early, or where nothing
but zeros are left of it, as file systems leave blocks that were never written.

Invariant: a single wrong bit is never taken for a torn end, nor for another record.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import Final

import xxhash

HEADER: Final = struct.Struct(">IIQ")  # length, check of length and sum, sum of the payload
END: Final = b"\xe0"
FRAME_BYTES: Final = HEADER.size + len(END)  # what a payload takes beside itself
_HEAD: Final = struct.Struct(">IQ")
_SEED_MASK: Final = 0xFFFF_FFFF


class Ending(enum.Enum):
    """How what is written in a file ends."""

    CLEAN = "it ends behind a whole record"
    TORN = "its last record was not written to the end"
    SEALED = "it says that it goes on elsewhere"
    DAMAGED = "a checksum does not hold"


def frame(payload: bytes, before: int) -> tuple[bytes, int]:
    """The header of a payload behind the sum `before`, and its own sum. Without a payload it is a
    seal: nothing comes behind it in this file."""
    length = len(payload)
    total = xxhash.xxh3_64_intdigest(payload, before) >> 1  # so that it is an integer like others
    check = xxhash.xxh32_intdigest(_HEAD.pack(length, total), before & _SEED_MASK)
    return HEADER.pack(length, check, total), total


class Walk:
    """Reads frame after frame. Behind it: `place`, `total`, and how it ended."""

    def __init__(self, data: bytes, place: int, total: int) -> None:
        self.place, self.total = place, total  # the end of what is whole, and its sum
        self.ending = Ending.CLEAN
        self._data = data
        self._written = len(data.rstrip(b"\0")) if data.endswith(b"\0") else len(data)

    def __iter__(self) -> Iterator[bytes]:
        data, written, unpack = self._data, self._written, HEADER.unpack_from
        place, total = self.place, self.total
        while place + HEADER.size <= written:
            length, check, found = unpack(data, place)
            head = xxhash.xxh32_intdigest(_HEAD.pack(length, found), total & _SEED_MASK)
            if head != check:
                self.ending = Ending.DAMAGED
                return
            begin = place + HEADER.size
            end = begin + length
            if end >= written:
                break
            payload = data[begin:end]
            if xxhash.xxh3_64_intdigest(payload, total) >> 1 != found or data[end] != END[0]:
                self.ending = Ending.DAMAGED
                return
            place, total = end + len(END), found
            self.place, self.total = place, total
            if not length:
                self.ending = Ending.SEALED
                return
            yield payload
        if place < len(data):
            self.ending = Ending.TORN
