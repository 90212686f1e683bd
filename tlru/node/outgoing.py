"""What a session says, until it is on its way: encoded, gathered, and written together.

Answers that come later than their requests were taken, since other nodes had to be asked, come all
at once, and whether or not the client reads. What is more than a little of them is held back as it
is, its values being those of the cache, and encoded when it is the session's turn and its client
reads.

Invariant: of what is encoded the transport holds no more, beyond what it takes, than one message or
`OUT_BYTES_MAX`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import perf_counter as clock
from typing import Final

from tlru.node.session_wire import Wire
from tlru.wire.batches import together
from tlru.wire.codec import Codec, Message
from tlru.wire.pushes import Push

OUT_BYTES_MAX: Final = 256 << 10
SLICE_BYTES: Final = 64 << 10  # in a slice of a turn, and of late ones in a turn
COUNTED_BYTES: Final = 8 << 10  # what is less takes next to no time to write

# Of a long message, so many answers leave together: the client works on them while we go on. At 64
# requests a message this more than doubled what a client and a node on two cores do together.
REPLIES_AT_ONCE: Final = 16
ALIKE_AT_ONCE: Final = 64  # of those that are made at once


class Outgoing:
    """Messages of one session, on their way to its client."""

    __slots__ = (
        "_codec",
        "_held",
        "_parts",
        "_wire",
        "blocked",
        "bytes",
        "bytes_max",
        "late_bytes",
        "said_bytes",
    )

    def __init__(self, codec: Codec, wire: Wire, bytes_max: int) -> None:
        self.bytes_max = bytes_max  # of a WebSocket message, where that can be
        self.blocked = False  # the transport takes no more
        self.bytes = 0  # that are encoded, and not written
        self.said_bytes = 0  # that were encoded ever
        self.late_bytes = 0  # the same out of turn, since the session had its own
        self._codec = codec
        self._wire = wire
        self._parts: list[bytes] = []
        self._held: deque[Message | Push] = deque()

    @property
    def waits(self) -> bool:
        """Whether something is to be written."""
        return bool(self._parts)

    @property
    def held_back(self) -> bool:
        """Whether something is not even encoded."""
        return bool(self._held)

    @property
    def goes_on(self) -> bool:
        """Whether some of that can be said now."""
        return bool(self._held) and not self.blocked

    def say(self, message: Message, *, late: bool = False) -> None:
        """Say something; write, where much has gathered. `late`: it is not the session's turn. What
        nobody asked for (a list of servers, a goodbye) is little, and does not wait."""
        wait = self.blocked or self._held or (late and self.late_bytes >= SLICE_BYTES)
        if wait and "push" not in message:
            self._held.append(message)
            return
        size = self._encode(message)
        if late:
            self.late_bytes += size

    def hold(self, push: Push) -> None:
        """Say this after what is held back."""
        self._held.append(push)

    def say_one(self) -> None:
        """Say the first of what was held back."""
        first = self._held.popleft()
        if isinstance(first, Push):
            self.write()
            self._wire.write_push(first)
        else:
            self._encode(first)

    def say_all(self) -> None:
        """Say what is held back as far as the transport takes it: nothing comes after it."""
        while self.goes_on:
            self.say_one()
        self.write()

    def _encode(self, message: Message) -> int:
        data = self._codec.encode(message)
        self._parts.append(data)
        self.bytes += len(data)
        self.said_bytes += len(data)
        if len(self._parts) >= REPLIES_AT_ONCE or self.bytes >= OUT_BYTES_MAX:
            self.write()
        return len(data)

    def say_alike(self, requests: Sequence[int], fields: Message) -> None:
        """Answer several requests with the same fields, which are few."""
        replies = self._codec.encode_alike(requests, fields)
        for first in range(0, len(replies), ALIKE_AT_ONCE):
            part = replies[first : first + ALIKE_AT_ONCE]
            self._parts += part
            self.bytes += sum(map(len, part))
            if len(self._parts) >= REPLIES_AT_ONCE:
                self.write()

    def write(self) -> float:
        """Write what has gathered: few WebSocket messages, each of at most `bytes_max` if it can
        be. How long that took, in seconds, where it was much."""
        if not self._parts:
            return 0.0
        parts, self._parts = self._parts, []
        size, self.bytes, began = self.bytes, 0, clock()
        separator = self._codec.separator
        if size <= self.bytes_max:
            self._wire.write([separator.join(parts)])
        else:
            self._wire.write(together(parts, separator, self.bytes_max))
        return clock() - began if size > COUNTED_BYTES else 0.0

    def clear(self) -> None:
        """Nobody is there to hear any of it."""
        self._held.clear()
        self._parts, self.bytes = [], 0
