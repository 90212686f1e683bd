"""What a session asks of whatever carries it."""

from __future__ import annotations

from typing import Protocol

from tlru.wire.pushes import Push

# Of the close codes.
NOT_AUTHENTICATED = 4401
TOO_FAST = 4429  # for who does not come back later


class Wire(Protocol):
    """What carries a session."""

    def write(self, messages: list[bytes]) -> None:
        """Send encoded messages, joined as the codec joins them."""

    def write_push(self, push: Push) -> None:
        """Send what others are sent too."""

    def close(self, code: int, reason: str) -> None:
        """End the connection."""

    def flush_later(self) -> None:
        """See that `Session.flush` is called at the end of this turn of the loop."""

    def read_on(self, on: bool) -> None:
        """Read from the client, or let it wait."""
