"""Whole WebSocket data frames in one piece: the short way past the general parser.

Pure. Nearly every message is one unfragmented frame, and arrives in one read, with others behind
it or not. Taking such frames apart here, and putting one together, costs a fifth of what
`websockets`' protocol needs for it, which was most of the time of a lone request. What is not
exactly whole data frames is None here and goes the general way, which also judges what is wrong.
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


def whole(data: bytes, first: int, masked: bool) -> list[bytes] | None:
    """The payloads, if `data` is exactly one frame that begins with `first`, or several of them;
    else None."""
    payloads: list[bytes] = []
    at, end = 0, len(data)
    flag = MASKED if masked else 0
    while at < end:
        if end - at < 2 or data[at] != first:
            return None
        length, start = data[at + 1] ^ flag, at + 2
        if length == _TWO_BYTES:
            start += 2
            length = int.from_bytes(data[start - 2 : start], "big")
            if length < _SHORT:
                return None  # not the shortest way to say it: the general parser judges that
        elif length > _TWO_BYTES:
            return None  # long, or the mask is not as it should be
        body = start + 4 if masked else start
        at = body + length
        if at > end:
            return None
        payload = data[body:at]
        payloads.append(apply_mask(payload, data[start:body]) if masked else payload)
    return payloads or None


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
