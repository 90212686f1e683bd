"""How many connections each address has, so that nobody takes them all."""

from __future__ import annotations

import asyncio
from collections import Counter


def address_of(transport: asyncio.BaseTransport) -> str:
    """Where a connection comes from."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


class Addresses:
    """The open connections by the address that they come from."""

    def __init__(self) -> None:
        self._of: dict[asyncio.BaseTransport, str] = {}
        self._count: Counter[str] = Counter()

    def come(self, transport: asyncio.BaseTransport, most: int | None) -> bool:
        """Count one more; whether its address may have it. Where it may not it counts all the same,
        until it is gone."""
        address = address_of(transport)
        self._of[transport] = address
        self._count[address] += 1
        return most is None or self._count[address] <= most

    def gone(self, transport: asyncio.BaseTransport) -> None:
        """It counts no more."""
        address = self._of.pop(transport, None)
        if address is None:
            return
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]

    def of(self, address: str) -> int:
        """How many it has."""
        return self._count[address]
