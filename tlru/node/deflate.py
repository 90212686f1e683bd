"""permessage-deflate on the WebSocket of clients: when it is spoken, and what is compressed.

This module decides what of an offer is accepted and which messages are worth the work; what comes
compressed is left as it is here (`unpacking.py`). No context is carried from one message to the
next, either way: so a push is compressed once for all who get it, and a connection holds no window
while it is idle. For the same reason all compress alike: whoever cannot take our window is declined
rather than compressed for by itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from websockets.exceptions import NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.typing import ExtensionParameter

from tlru.wire import frames

# What Python's `websockets` asks a server for; browsers ask for none, and take any.
WINDOW_BITS = 12
LEVEL = 1  # twice as fast as the usual level, for a tenth more bytes
MEMORY_LEVEL = 5

# A smaller message fits into one packet anyway; a larger one would hold up everybody else.
BYTES_MIN = 1 << 10
BYTES_MAX = 1 << 20

# So much of what came is taken apart at once: frames behind one that is being unpacked wait.
PIECE_BYTES = 4 << 10

COMPRESSED = 0x40  # RSV1 in the first byte of a frame
_FLUSHED = b"\x00\x00\xff\xff"  # the end of every flush, which is not sent


class PackedFrame(Frame):
    """The first frame of a message that is compressed."""


class _AsItCame(PerMessageDeflate):
    """Marks what is compressed instead of unpacking it then and there: a few bytes can become very
    many, and all others would wait for them."""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """The frame with its mark. Where no mark may be it is left, to be found wrong."""
        if frame.rsv1 and frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            return PackedFrame(
                frame.opcode, frame.data, frame.fin, rsv2=frame.rsv2, rsv3=frame.rsv3
            )
        return frame


class WithoutContext(ServerPerMessageDeflateFactory):
    """Answers an offer: with no context takeover either way, or not at all."""

    def __init__(self) -> None:
        super().__init__(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=WINDOW_BITS,
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """The answer to one offer. NegotiationError declines it; the client's next has its turn."""
        answer, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits < WINDOW_BITS:
            raise NegotiationError(f"the client's window is smaller than 2^{WINDOW_BITS} bytes")
        return answer, _AsItCame(
            extension.remote_no_context_takeover,
            extension.local_no_context_takeover,
            extension.remote_max_window_bits,
            extension.local_max_window_bits,
        )


def frame(payload: bytes, first: int) -> bytes:
    """One final frame of a node, compressed where that makes it smaller."""
    if BYTES_MIN <= len(payload) <= BYTES_MAX:
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL)
        packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
        if len(packed) < len(payload):
            return frames.frame(packed.removesuffix(_FLUSHED), first | COMPRESSED)
    return frames.frame(payload, first)
