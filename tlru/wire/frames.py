"""Whole WebSocket data frames in one piece: the short way past the general parser.

Pure. Nearly every message is one unfragmented frame that arrives in one read. Taking such a frame
apart here, and putting one together, costs a fifth of what `websockets`' protocol needs for it,
which was most of the time of a lone request. Whatever is not exactly one whole data frame is None
here and goes the general way, which also judges everything that is wrong.
"""

from __future__ import annotations

import struct

from websockets.protocol import OPEN, Protocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build of websockets without its C part
    from websockets.utils import apply_mask

TEXT, BINARY = 0x81, 0x82  # the first byte of a final frame
MASKED = 0x80  # the flag in the second byte
_SHORT, _TWO_BYTES, _EIGHT_BYTES = 126, 126, 127

_MEDIUM = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")


def between_frames(protocol: Protocol) -> bool:
    """Whether the general parser is at rest: open, between two frames, and between two messages.

    Only then does a frame that is taken past it leave it with nothing missing.
    """
    return protocol.state is OPEN and not protocol.reader.buffer and protocol.current_size is None


def whole(data: bytes, first: int, masked: bool) -> bytes | None:
    """The payload, if `data` is exactly one frame that begins with `first`; else None."""
    if len(data) < 2 or data[0] != first:
        return None
    flag = MASKED if masked else 0
    length, start = data[1] ^ flag, 2
    if length == _TWO_BYTES:
        length, start = int.from_bytes(data[2:4], "big"), 4
        if length < _SHORT:
            return None  # not the shortest way to say it, which the general parser refuses or not
    elif length > _TWO_BYTES:
        return None  # long, or the mask is not as it should be
    if not masked:
        return data[start:] if len(data) == start + length else None
    if len(data) != start + 4 + length:
        return None
    return apply_mask(data[start + 4 :], data[start : start + 4])


def frame(payload: bytes, first: int, mask: bytes = b"") -> bytes:
    """One final frame; a client's has a mask of four random bytes."""
    flag = MASKED if mask else 0
    length = len(payload)
    if length < _SHORT:
        header = bytes((first, flag | length))
    elif length < 1 << 16:
        header = _MEDIUM.pack(first, flag | _TWO_BYTES, length)
    else:
        header = _LONG.pack(first, flag | _EIGHT_BYTES, length)
    return b"".join((header, mask, apply_mask(payload, mask))) if mask else header + payload
