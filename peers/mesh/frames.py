"""The WebSocket frames that nodes send each other, taken apart and put together.

Pure. After the upgrade, which `websockets` does, a link speaks a plain part of RFC 6455: final
frames, no extensions. Its general parser costs several times as much for each frame, and copies a
large payload once more.

Invariants: an announced length above the limit is refused before anything is kept for it; what is
kept of an incomplete frame is about the bytes that came of it.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from peers.errors import LinkError
from peers.mesh.ends import Close

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build of websockets without its C part
    from websockets.utils import apply_mask

TEXT: Final = 0x81
BINARY: Final = 0x82
CLOSE: Final = 0x88
PING: Final = 0x89
PONG: Final = 0x8A
_SMALL: Final = frozenset((TEXT, CLOSE, PING, PONG))
SMALL_BYTES_MAX: Final = 125  # of a frame that is no message of the owner

_MASKED: Final = 0x80
_MEDIUM: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")
_SHORT: Final = tuple(bytes((BINARY, second)) for second in range(256))  # headers of most messages
_MASKS_AT_ONCE: Final = 1024  # random bytes are asked of the system for so many frames together
_PIECES_MAX: Final = 1024  # a piece takes more than its bytes: so many are made one

Frame = tuple[int, bytes]


class FrameReader:
    """Frames from the bytes of one direction, however they are cut."""

    __slots__ = ("_body", "_first", "_flag", "_lumps", "_mask", "_missing", "_tail", "bytes_max")

    def __init__(self, *, masked: bool, bytes_max: int) -> None:
        self.bytes_max = bytes_max  # of one message
        self._flag = _MASKED if masked else 0
        self._tail = b""  # less than a header
        # Of a frame whose header is known, while some of its payload is still to come.
        self._first = 0
        self._mask = b""
        self._body: list[bytes] = []
        self._lumps = 0  # how many of its first pieces have been joined from smaller ones
        self._missing = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with these bytes. LinkError where they are none."""
        frames: list[Frame] = []
        at = 0
        if self._missing:
            at = self._missing
            if len(data) < at:
                self._keep(data)
                return frames
            frames.append(self._whole_body(data[:at]))
        elif self._tail:
            data = self._tail + data
        end, flag = len(data), self._flag
        while end - at >= 2:
            first, length, start = data[at], data[at + 1] ^ flag, at + 2
            if length >= 126:
                if length > 127:
                    raise LinkError(Close.PROTOCOL, "a frame is not masked as it should be")
                start += 2 if length == 126 else 8
                if start > end:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
            if first != BINARY or length > self.bytes_max:
                self._judge(first, length)
            body = start + 4 if flag else start
            if body > end:
                break
            stop = body + length
            if stop > end:
                self._first, self._mask = first, data[start:body]
                self._missing = length
                self._keep(data[body:])
                at = end
                break
            payload = data[body:stop]
            frames.append((first, apply_mask(payload, data[start:body]) if flag else payload))
            at = stop
        self._tail = data[at:]
        return frames

    def _judge(self, first: int, length: int) -> None:
        if first not in _SMALL and first != BINARY:
            raise LinkError(
                Close.PROTOCOL, f"a frame begins with {first:#04x}, which nodes do not say"
            )
        limit = self.bytes_max if first == BINARY else SMALL_BYTES_MAX
        if length > limit:
            raise LinkError(Close.TOO_BIG, f"a frame of {length} bytes, where {limit} are the most")

    def _keep(self, piece: bytes) -> None:
        self._missing -= len(piece)
        body = self._body
        body.append(piece)
        if len(body) - self._lumps >= _PIECES_MAX:
            body[self._lumps :] = [b"".join(body[self._lumps :])]
            self._lumps += 1

    def _whole_body(self, last: bytes) -> Frame:
        self._body.append(last)
        payload = b"".join(self._body)
        self._body.clear()
        self._missing = self._lumps = 0
        if self._flag:
            payload = apply_mask(payload, self._mask)
        return self._first, payload


class FrameWriter:
    """Makes the frames of one direction: those of the side that dialled have masks."""

    __slots__ = ("_at", "_masked", "_masks")

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._masks = b""
        self._at = 0

    def parts(self, first: int, payload: bytes) -> tuple[bytes, bytes]:
        """A frame as its header and its payload, which where there is no mask is not copied."""
        length, flag = len(payload), _MASKED if self._masked else 0
        if length < 126:
            header = _SHORT[flag | length] if first == BINARY else bytes((first, flag | length))
        elif length < 1 << 16:
            header = _MEDIUM.pack(first, flag | 126, length)
        else:
            header = _LONG.pack(first, flag | 127, length)
        if not flag:
            return header, payload
        # RFC 6455 wants each mask to be unforeseeable. To ask the system for each would cost more
        # than all the rest of a small frame.
        at = self._at
        if at == len(self._masks):
            self._masks, at = os.urandom(4 * _MASKS_AT_ONCE), 0
        self._at = at + 4
        mask = self._masks[at : at + 4]
        return header + mask, apply_mask(payload, mask)
