"""When and where a node is dialled: its addresses in turn, with backoff, behind a breaker.

It decides nothing about links that are there: it dials while it is told that there is none.

Invariant: at most one attempt is under way; none is left when `run` ends.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from peers.breaker import Breaker
from peers.core.membership import NodeId
from peers.mesh.ends import Close, End
from peers.mesh.greeting import Side
from peers.mesh.link import Host, Link
from peers.mesh.settings import split_address
from peers.mesh.status import PeerState
from peers.resilience import Backoff

ADDRESSES_TRIED_MAX: Final = 16  # of one node


class Dialler:
    """Keeps one node within reach. `node` is empty where only an address is known."""

    def __init__(
        self, host: Host, node: NodeId, addresses: tuple[str, ...], complain: Callable[[End], None]
    ) -> None:
        self.node = node
        self.addresses = addresses[:ADDRESSES_TRIED_MAX]
        self.problem: End | None = None  # of the last attempt
        self.address = ""  # that was tried last
        self.attempt: Link | None = None
        timing = host.settings.timing
        self._host, self._complain = host, complain
        self._timing = timing
        self._backoff = Backoff(
            random.random, first=timing.backoff_first_s, most=timing.backoff_most_s
        )
        self._breaker = Breaker(
            failures_max=timing.breaker_failures_max, open_s=timing.breaker_open_s
        )
        self._loop = asyncio.get_running_loop()
        self._told: int | None = None  # the code of the last complaint
        self._link: Link | None = None
        self._next = 0.0
        self._dialling = False
        self._woken = asyncio.Event()

    # -- how it stands

    @property
    def state(self) -> PeerState:
        """What it is doing, where there is no link."""
        if self._dialling:
            return PeerState.DIALLING
        refused = self.problem is not None and self.problem.refused
        return PeerState.REFUSED if refused else PeerState.WAITING

    @property
    def next_s(self) -> float | None:
        """Seconds until the next attempt."""
        return None if self._dialling else max(0.0, self._next - time.monotonic())

    @property
    def circuit(self) -> str:
        """How it stands with its breaker, in a word."""
        return self._breaker.circuit.value

    # -- what it is told

    def up(self, link: Link) -> None:
        """There is a link, whoever dialled."""
        self._link, self.problem, self._told = link, None, None
        self._breaker.succeeded()
        if self.attempt is not None and self.attempt is not link:
            self.attempt.close(Close.DUPLICATE, "there is another link with this node already")
        self._woken.set()

    def down(self, link: Link, end: End) -> None:
        """It is gone."""
        if self._link is not link:
            return
        self._link, self.problem = None, end
        if time.monotonic() - link.since >= self._timing.steady_s:
            self._backoff.reset()
        self._next = time.monotonic() + self._wait(end)
        self._woken.set()

    def hurry(self) -> None:
        """It is known to be back: try at once."""
        now = time.monotonic()
        self._next = now
        self._breaker.hurry(now)
        self._woken.set()

    def move(self, addresses: tuple[str, ...]) -> None:
        """It is elsewhere from now on."""
        addresses = addresses[:ADDRESSES_TRIED_MAX]
        if addresses != self.addresses:
            self.addresses = addresses
            self.hurry()

    # -- what it does

    async def run(self) -> None:
        """Dial whenever there is no link, until cancelled."""
        while True:
            now = time.monotonic()
            if self._link is not None or not self.addresses:
                await self._pause(None)
            elif self._next > now:
                await self._pause(self._next - now)
            elif not self._breaker.allows(now):
                self._next = now + max(self._breaker.wait(now), self._timing.backoff_first_s)
            else:
                await self._round()

    async def _round(self) -> None:
        """Try each address once, the one that worked last before the others."""
        self._dialling = True
        problem: End | None = None
        try:
            for address in self.addresses:
                end = await self._dial(address)
                if end is None:
                    self._prefer(address)
                if self._link is not None:
                    return
                if problem is None or not problem.refused:
                    problem = end
        finally:
            self._dialling = False
        self._failed(problem or End(Close.ABNORMAL, "the link ended at once", ours=False))

    def _failed(self, end: End) -> None:
        now = time.monotonic()
        self.problem = end
        self._breaker.failed(now)
        self._next = now + self._wait(end)
        # Once, and not with every attempt.
        if end.code not in (self._told, Close.DUPLICATE):
            self._told = end.code
            self._complain(end)

    def _wait(self, end: End) -> float:
        known = end.code == Close.DUPLICATE and not self.node  # whoever is there is linked already
        if end.refused or known:
            return self._timing.refused_s * (1 + random.random()) / 2
        return self._backoff.wait()

    def _prefer(self, address: str) -> None:
        if address in self.addresses:
            rest = (each for each in self.addresses if each != address)
            self.addresses = (address, *rest)

    async def _dial(self, address: str) -> End | None:
        """Try one address; how it ended, or None where it led to the link."""
        self.address = address
        link = Link(self._host, Side.DIALLER, address, self)
        self.attempt = link
        try:
            try:
                await self._connect(link, *split_address(address))
            except asyncio.CancelledError:
                link.connection_lost(None)  # which not every event loop says by itself
                raise
            except (OSError, ValueError, UnicodeError) as exc:
                link.connection_lost(exc)
                said = str(exc) or f"no answer within {self._timing.connect_s:g} s"
                return End(Close.ABNORMAL, f"{address} cannot be reached: {said}", ours=True)
            if self._link is not None:
                link.close(Close.DUPLICATE, "there is another link with this node already")
            await link.settled
            return None if self._link is link else link.end
        finally:
            self.attempt = None
            if not link.settled.done():
                link.abort()  # this attempt was cancelled, or it came to nothing

    async def _connect(self, link: Link, host: str, port: int) -> None:
        context = self._host.settings.tls_dial
        named = None if context is None else host
        async with asyncio.timeout(self._timing.connect_s):
            await self._loop.create_connection(
                lambda: link, host, port, ssl=context, server_hostname=named
            )

    async def _pause(self, seconds: float | None) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
