"""Which connection is in service: opening one, leaving it for a better one, and not giving up.

It decides where to connect, when to go elsewhere and how long to wait between attempts; requests
are not its business.

One connection is in service at a time. One that is left by choice stays in service until its
successor is open, so a node that goes away politely costs no request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from peers.resilience import Backoff
from tlru.client import replies
from tlru.client.connection import Connection
from tlru.client.opening import Opened, open_connection
from tlru.client.results import Reply
from tlru.client.servers import Servers
from tlru.client.settings import Settings
from tlru.errors import (
    REFUSING_STATUSES,
    NoQuorum,
    Overloaded,
    Retry,
    TlruError,
    Unauthenticated,
    Unavailable,
)

logger = logging.getLogger("tlru.client")

OTHER_EPOCH: Final = 4410
# What such a node may still answer: `read="any"`, where its operator allows that.
HALF_OF_USE: Final = ("isolated", "syncing")
GOAWAY_WITHIN_MAX_S: Final = 3600.0


class Service(Protocol):
    """What the connection is kept for."""

    def next_number(self) -> int:
        """A number for a request of the keeper's own."""

    def take_up(self, connection: Connection) -> None:
        """This connection is in service now."""

    def pushed(self, connection: Connection, message: Reply) -> None:
        """This came on it in the meantime."""

    def give_up(self, error: TlruError) -> None:
        """Those who wait for a connection are to be told this."""


class Keeper:
    """Keeps one connection in service for as long as its task runs."""

    def __init__(
        self,
        settings: Settings,
        service: Service,
        loop: asyncio.AbstractEventLoop,
        chance: Callable[[], float],
    ) -> None:
        timing = settings.timing
        self.servers = Servers(settings.urls, settings.cache)
        self.down_since: float | None = None
        self.refusal: TlruError | None = None
        self._settings = settings
        self._service = service
        self._loop = loop
        self._chance = chance
        self._backoff = Backoff(chance, first=timing.backoff_first, most=timing.backoff_most)
        self._leaving = Backoff(chance, first=timing.backoff_first, most=timing.backoff_most)
        self._leave_again_at = 0.0
        self._current: Connection | None = None
        self._unwanted = asyncio.Event()
        self._asked_for = asyncio.Event()

    async def run(self) -> None:
        """Keep a connection in service until cancelled."""
        while True:
            opened = await self._open()
            connection = opened.connection
            # Only now: until its successor is open, the one before is still being left.
            self._unwanted.clear()
            self._current = connection
            self.down_since = None
            since = monotonic()
            self._service.take_up(connection)
            for push in opened.pushes:
                self._service.pushed(connection, push)
            if connection.alive:
                await self._unwanted.wait()
            if monotonic() - since >= self._settings.timing.steady:
                self._backoff.reset()
                self._leaving.reset()
            if not connection.alive:
                await self._after_loss(connection)

    # What others tell it.

    def check(self, patience: float) -> None:
        """Refuse a caller for whom waiting has no sense.

        A caller waits for a connection as long as it is willing to wait for an answer. Once the
        outage has lasted for that long already, waiting again would only make the outage slow.
        """
        self._asked_for.set()
        if self.refusal is not None:
            raise replies.retold(self.refusal, self.refusal.message)
        if self.down_since is None or not self.servers.problems:
            return
        if (lasted := monotonic() - self.down_since) >= patience:
            raise Unavailable(f"no server for {lasted:.1f} s now: {self.servers.told()}")

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        if connection is self._current:
            self.down_since = monotonic()
            self._unwanted.set()

    def refused(self, connection: Connection, error: TlruError) -> bool:
        """A node would not do what it was asked; True where it is to be asked nothing more."""
        if connection is not self._current:
            return False
        if isinstance(error, Unauthenticated):
            return callable(self._settings.token) and self._leave(connection)
        if error.retry is not Retry.OTHER:
            return False
        self.servers.learn(error.facts.get("servers"))
        if len(self.servers) == 1:
            return False
        left = self._leave(connection)
        if left:
            self.servers.failed(connection.url, str(error))
        return left and not isinstance(error, Overloaded | NoQuorum)

    def go_away(self, connection: Connection, push: Reply) -> None:
        """A node asks to be left within some seconds; everybody at a moment of their own."""
        self.servers.learn(push.get("servers"))
        within = push.get("within")
        within = float(within) if isinstance(within, int | float) and within > 0 else 0.0
        moment = self._chance() * min(within, GOAWAY_WITHIN_MAX_S)
        self._loop.call_later(moment, self._leave_politely, connection)

    # Leaving.

    def _leave_politely(self, connection: Connection) -> None:
        if connection is not self._current:
            return
        if self._leave(connection):
            self.servers.failed(connection.url, "it asked to be left")
        else:
            moment = max(0.0, self._leave_again_at - monotonic())
            self._loop.call_later(moment, self._leave_politely, connection)

    def _leave(self, connection: Connection) -> bool:
        now = monotonic()
        if self._unwanted.is_set() or now < self._leave_again_at:
            return self._unwanted.is_set()
        self._leave_again_at = now + self._leaving.wait()
        self._unwanted.set()
        return True

    async def _after_loss(self, connection: Connection) -> None:
        if connection.end.code == OTHER_EPOCH:
            return  # the node is well; it began another life
        logger.info("lost %s: %s", connection.url, connection.end.problem)
        self.servers.failed(connection.url, connection.end.problem)
        await asyncio.sleep(self._backoff.wait())

    # Opening.

    async def _open(self) -> Opened:
        refusals = 0
        while True:
            url = self.servers.current()
            try:
                opened = await open_connection(
                    url, self._settings, self._loop, self._service.next_number
                )
                self.servers.learn(opened.greeting.get("servers"))
                self._check_status(opened)
            except TlruError as exc:
                refusals = refusals + 1 if exc.retry is Retry.NO else 0
                await self._after_failure(url, exc, refusals)
            else:
                self.refusal = None
                self.servers.worked(url)
                return opened

    def _check_status(self, opened: Opened) -> None:
        status = opened.greeting.get("status")
        last_resort = status in HALF_OF_USE and self.servers.all_failed()
        if status in REFUSING_STATUSES and not last_resort:
            opened.connection.close()
            raise Unavailable(f"it is {status}", code=str(status))

    async def _after_failure(self, url: str, error: TlruError, refusals: int) -> None:
        logger.info("cannot use %s: %s", url, error)
        self.servers.failed(url, str(error))
        if self.down_since is None and (self._current is None or not self._current.alive):
            self.down_since = monotonic()
        if refusals >= len(self.servers):
            await self._stop_until_asked(error)
        else:
            await asyncio.sleep(self._backoff.wait())

    async def _stop_until_asked(self, error: TlruError) -> None:
        """Every server refuses us: to knock on and on helps nobody. Callers are told at once."""
        self.refusal = error
        self._service.give_up(error)
        await asyncio.sleep(self._settings.timing.backoff_most)
        self._asked_for.clear()
        await self._asked_for.wait()
        self.refusal = None
