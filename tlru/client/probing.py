"""How far away servers are: measured now and then, in the background, and cheaply.

It decides when to measure and how. Whom, and what follows, `servers.py` says.

What is measured is how long a TCP connection takes to be made, which costs a server next to
nothing: no TLS, no upgrade, no request. One server after another, a bounded number a round, rounds
at random distances: ten thousand clients that look at three servers once a minute are 500
connections a second for the whole cluster, spread evenly; and those that are near their server look
at no other.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from tlru.client.servers import ROUNDS, Servers
from tlru.client.settings import Timing

WITHIN_S: Final = 2.0  # for one server; who is farther than that is not near
ADDRESSES_MAX: Final = 4  # of one name


class Prober:
    """Measures the way to servers for as long as its task runs."""

    def __init__(
        self,
        servers: Servers,
        timing: Timing,
        chance: Callable[[], float],
        move_to: Callable[[str], None],
    ) -> None:
        self._servers = servers
        self._timing = timing
        self._chance = chance
        self._move_to = move_to

    async def run(self) -> None:
        """Round after round: the first few soon, so that one has something to go by."""
        rounds = 0
        while True:
            timing = self._timing
            distance = timing.measure_first if rounds < ROUNDS else timing.measure_every
            # Half of it is by chance, so that those who began together do not go on together.
            await asyncio.sleep(distance * (0.5 + self._chance()))
            rounds += await self._round()

    async def _round(self) -> bool:
        """Whether there was anybody to measure."""
        urls = self._servers.to_measure(monotonic())
        for url in urls:
            taken = await round_trip(url)
            self._servers.measured(url, taken, monotonic())
        if urls and (better := self._servers.better(monotonic())) is not None:
            self._move_to(better)
        return bool(urls)


async def round_trip(url: str) -> float | None:
    """Seconds that a TCP connection to this address takes; None where none can be had."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        async with asyncio.timeout(WITHIN_S):
            # Not a part of the way: names are looked up before the clock runs.
            found = await asyncio.get_running_loop().getaddrinfo(
                parts.hostname, port, type=socket.SOCK_STREAM
            )
            for family, kind, proto, _, address in found[:ADDRESSES_MAX]:
                if (taken := await _connect(family, kind, proto, address)) is not None:
                    return taken
    except (OSError, ValueError):
        pass  # ValueError: a name that no name server could be asked for
    return None


async def _connect(family: int, kind: int, proto: int, address: tuple[object, ...]) -> float | None:
    with socket.socket(family, kind, proto) as sock:
        sock.setblocking(False)
        since = monotonic()
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError:
            return None
        return monotonic() - since
