"""A message that came compressed becomes what it says, step by step.

Pure. A few kilobytes can become megabytes, and until they have nobody else is served: so whoever
unpacks makes a little of it at a time, and others have their turn in between. What goes beyond the
bound is given up there, however much more it would have been.
"""

from __future__ import annotations

import zlib
from typing import Final

_FLUSHED: Final = b"\x00\x00\xff\xff"  # the end of every flush, which is not sent
_TAKEN_AT_ONCE: Final = 4 << 10  # of what came: what a step leaves of it is copied


class UnpackedTooLarge(Exception):
    """The message is larger than messages may be."""


class Damaged(Exception):
    """It is not compressed as its sender says."""


class Unpacking:
    """One message on its way."""

    def __init__(self, packed: bytes, bytes_max: int) -> None:
        self._packed = packed + _FLUSHED
        self._at = 0
        self._rest = b""  # taken, and not looked at yet
        self._bytes_max = bytes_max
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._parts: list[bytes] = []
        self.made = 0  # bytes so far

    def step(self, bytes_max: int) -> bytes | None:
        """Make up to so many bytes more; the whole message when nothing is left to be made.
        UnpackedTooLarge or Damaged where there will be none."""
        left = bytes_max
        while left > 0:
            room = min(left, self._bytes_max + 1 - self.made)
            part = self._inflate(room)
            self._parts.append(part)
            self.made += len(part)
            if self.made > self._bytes_max:
                raise UnpackedTooLarge
            left -= len(part)
            # Where all was asked for that there was, more may be held back.
            if len(part) < room and not self._rest and self._at >= len(self._packed):
                return b"".join(self._parts)
        return None

    def _inflate(self, room: int) -> bytes:
        if self._inflater.eof:  # the sender has said that this is all
            # What was still to be taken when the end came up is passed over, like all behind it.
            self._at, self._rest = len(self._packed), b""
            return b""
        if not self._rest:
            self._rest = self._packed[self._at : self._at + _TAKEN_AT_ONCE]
            self._at += len(self._rest)
        try:
            part = self._inflater.decompress(self._rest, room)
        except zlib.error as exc:
            raise Damaged from exc
        self._rest = self._inflater.unconsumed_tail
        return part
