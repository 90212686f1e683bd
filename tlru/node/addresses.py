"""How many connections each address has, so that nobody takes them all.

This module decides how many that may be where nobody has said: half of all. A second address always
finds a place, and a proxy or a gateway, by which all clients have one address, still brings in as
many as most nodes ever have. What comes from this machine is not bounded so: its users are no
strangers, and a proxy that runs here is usually the only one who comes at all.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import Counter
from typing import Final

from peers.mesh.status import Complaints

SHARE: Final = 0.5  # of all connections

logger = logging.getLogger(__name__)


def usual(address: str, connections: int) -> int | None:
    """How many an address may have where nobody has said; None is no bound."""
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return None  # no address: a socket of this machine
    mapped = getattr(here, "ipv4_mapped", None)
    return None if (mapped or here).is_loopback else max(1, int(connections * SHARE))


def address_of(transport: asyncio.BaseTransport) -> str:
    """Where a connection comes from."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


class Addresses:
    """The open connections by the address that they come from."""

    def __init__(self) -> None:
        self._of: dict[asyncio.BaseTransport, str] = {}
        self._count: Counter[str] = Counter()
        self._complaints = Complaints(time.monotonic)

    def come(self, transport: asyncio.BaseTransport, most: int | None, connections: int) -> bool:
        """Count one more; whether its address may have it, where `most` is what one may have, or
        `connections` is what all may. Where it may not it counts all the same, until it is gone."""
        address = address_of(transport)
        self._of[transport] = address
        self._count[address] += 1
        if most is None:
            most = usual(address, connections)
        if most is None or self._count[address] <= most:
            return True
        if self._complaints.may("many"):
            logger.warning(
                "%s has %d connections, and gets no more; if it is a proxy, set "
                "connections_per_address higher",
                address,
                most,
            )
        return False

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
