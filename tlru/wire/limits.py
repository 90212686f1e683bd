"""The limits that a node tells its clients, by the names they have in `hello.limits`.

Pure data. Every limit on what a stranger controls has its name here; the node's options set them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# Of a name that a client chooses for its `once` session.
SESSION_CHARS_MAX = 64
CLIENT_NAME_CHARS_MAX = 256
MIME_CHARS_MAX = 255
REV_CHARS_MAX = 1_024
PREFIX_BYTES_MAX = 1_024

# Lists and objects in one message: each costs an allocation, and a message could be millions of
# empty ones. Where more keys may be named in a request, `set_many` may have more.
CONTAINERS_MAX = 1 << 16

TTL_S_MIN, TTL_S_MAX = 0.001, 315_360_000
TIMEOUT_S_MAX = 3_600
NUMBER_MAX = (1 << 53) - 1  # every number of the protocol, its sign aside


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one node; the defaults are the protocol's."""

    message_bytes: int = 4 << 20
    push_bytes: int = 256 << 10
    value_bytes: int = 1 << 20
    key_bytes: int = 1_024
    batch: int = 1_024
    keys: int = 10_000
    scan: int = 1_000
    feeds: int = 1_024
    in_flight: int = 4_096
    waits: int = 64
    hello_s: float = 10
    ping_s: float = 20
    mark_s: float = 5
    once_s: float = 120
    tombstone_s: float = 120

    @property
    def containers(self) -> int:
        """How many lists and objects a message may hold."""
        return max(CONTAINERS_MAX, 4 * self.keys)

    def to_wire(self) -> dict[str, Any]:
        """As `hello` tells them."""
        return asdict(self)
