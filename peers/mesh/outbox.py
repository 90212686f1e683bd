"""What waits to leave over one link: bounded, gathered in a turn of the loop, written at once.

It decides what is dropped because the other node does not read, and when it has read nothing for so
long that the link is not worth keeping.

Invariant: what is queued is at most the bound, or one message, and what the mesh itself says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from peers.mesh.frames import BINARY, FrameWriter

MESSAGE_OVERHEAD_BYTES: Final = 128  # what a queued message takes beyond its bytes
JOIN_BYTES_MAX: Final = 64 << 10  # larger parts are handed over as they are, not copied once more


class Outbox:
    """The queue of one link."""

    __slots__ = (
        *("_buffered", "_bytes", "_bytes_max", "_handed", "_left", "_moved", "_moved_handed"),
        *("_parts", "_transport", "_wake", "_writer"),
    )

    def __init__(self, writer: FrameWriter, bytes_max: int, wake: Callable[[], None]) -> None:
        self._writer, self._bytes_max = writer, bytes_max
        self._wake = wake  # has `flush` called at the end of this turn
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._bytes = 0  # of these, overhead included
        self._buffered = 0  # by the transport, when the first of these came
        # For who reads nothing: how much was handed over and left when there was a look, and since
        # when none of it has moved.
        self._handed = self._moved_handed = self._left = 0
        self._moved = 0.0

    def open(self, transport: asyncio.Transport) -> None:
        """From now on there is somebody to write to."""
        self._transport = transport

    def queued(self) -> int:
        """Bytes that wait."""
        left = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._bytes + left

    @property
    def full(self) -> bool:
        """Whether the bound is met."""
        return self.queued() >= self._bytes_max

    def put(self, data: bytes) -> bool:
        """Queue a message of the owner's; False where there is no room for it."""
        if not self._parts:
            self._buffered = self.queued()
            self._wake()
        size = len(data) + MESSAGE_OVERHEAD_BYTES
        queued = self._buffered + self._bytes
        if queued and queued + size > self._bytes_max:
            return False
        self._parts += self._writer.parts(BINARY, data)
        self._bytes += size
        return True

    def say(self, first: int, payload: bytes) -> None:
        """Queue something of the mesh's own, which goes whatever else is queued."""
        if not self._parts:
            self._buffered = self.queued()
            self._wake()
        self._parts += self._writer.parts(first, payload)
        self._bytes += len(payload) + MESSAGE_OVERHEAD_BYTES

    def flush(self) -> None:
        """Write what has gathered."""
        parts, transport = self._parts, self._transport
        if not parts or transport is None:
            return
        self._parts, size, self._bytes = [], self._bytes, 0
        if transport.is_closing():
            return
        if size <= JOIN_BYTES_MAX:
            joined = b"".join(parts)
            self._handed += len(joined)
            transport.write(joined)
        else:
            gathered = _gathered(parts)
            self._handed += sum(map(len, gathered))
            transport.writelines(gathered)

    def drop(self) -> None:
        """Nobody is there any more."""
        self._parts, self._bytes = [], 0

    def still_for(self, now: float) -> float:
        """For how long nothing of what waits has left."""
        assert self._transport is not None, "there is somebody to write to"
        left = self._transport.get_write_buffer_size()
        # What has left since the last look: what was handed over, less what waits more than then.
        if not left or self._handed - self._moved_handed > left - self._left:
            self._moved = now
        self._moved_handed, self._left = self._handed, left
        return now - self._moved


def _gathered(parts: list[bytes]) -> list[bytes]:
    """Small parts that follow each other joined, large ones as they are."""
    gathered: list[bytes] = []
    run: list[bytes] = []
    for part in parts:
        if len(part) <= JOIN_BYTES_MAX:
            run.append(part)
            continue
        if run:
            gathered.append(b"".join(run))
            run = []
        gathered.append(part)
    return [*gathered, b"".join(run)] if run else gathered
