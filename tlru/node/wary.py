"""Addresses that sent a message which unpacks to more than messages may have: nothing compressed is
taken of them for a while.

Whoever sends one bomb sends more, on new connections; each costs as much unpacking as the largest
message. Without compression a bomb is a frame that breaks the rules in its first byte. Others who
come by the same address, a proxy's for one, lose nothing but the compression.

Pure: time is handed in. What is kept is bounded: the address that is forgotten first goes first.
"""

from __future__ import annotations

from typing import Final

WARY_S: Final = 60.0
ADDRESSES_MAX: Final = 1_024


class Wary:
    """Who is to send nothing compressed, and until when."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # in the order in which they end

    def note(self, address: str, now: float) -> None:
        """This address has sent one, now."""
        self._until.pop(address, None)
        self._until[address] = now + WARY_S
        if len(self._until) > ADDRESSES_MAX:
            del self._until[next(iter(self._until))]

    def of(self, address: str, now: float) -> bool:
        """Whether nothing compressed is taken of it."""
        until = self._until.get(address)
        if until is None or until > now:
            return until is not None
        del self._until[address]
        return False
