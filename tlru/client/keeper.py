"""Which connection is in service: opening one, leaving it for a better one, and not giving up.

It decides where to connect, when to go elsewhere and how long to wait between attempts; requests
are not its business.

One connection is in service at a time. One that is left by choice stays in service until its
successor is open, so a node that goes away politely costs no request; and one that is left only for
a nearer server stays if that cannot be had.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Protocol

from peers.resilience import Backoff
from tlru.client import replies
from tlru.client.coming_back import after_of
from tlru.client.connection import Connection
from tlru.client.listing import EXAMPLE
from tlru.client.opening import Opened, open_connection
from tlru.client.probing import Prober
from tlru.client.requests import Request
from tlru.client.results import Reply
from tlru.client.servers import Servers
from tlru.client.servers_file import ServersFile, UnusableError
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
MEND: Final = f"write it like {EXAMPLE}, or name a server in `connect`"


class Service(Protocol):
    """What the connection is kept for."""

    def next_number(self) -> int:
        """A number for a request of the keeper's own."""

    def has_left(self, epoch: str) -> bool:
        """Whether this epoch is known to be over."""

    @property
    def watched(self) -> bool:
        """Whether a connection is wanted though nobody asks for anything."""

    def opening(self) -> list[Request]:
        """What is to be asked for together with `hello`."""

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
        self.servers = Servers(
            settings.servers,
            settings.cache,
            chance=chance,
            region=settings.region,
            zone=settings.zone,
        )
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
        self._unwanted = False  # the current one is being left, or has been lost
        self._better: str | None = None  # where to go instead, if one can
        self._news = asyncio.Event()  # either has changed
        self._asked_for = asyncio.Event()
        self._prober = Prober(self.servers, timing, chance, self._move_to)
        self._file: ServersFile | None = None
        if settings.servers_file is not None:
            self._file = ServersFile(settings.servers_file, settings.cache)

    async def run(self) -> None:
        """Keep a connection in service until cancelled."""
        try:
            await self._keep()
        except RuntimeError:
            # Its loop was closed under it, and it is being collected: there is nothing to cancel
            # its tasks on, and nobody to be told.
            if not self._loop.is_closed():
                raise

    async def _keep(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._prober.run(), name="tlru client: round trips")
            if self._file is not None:
                await self._read_file(self._file)
                tasks.create_task(self._file.run(), name="tlru client: file of servers")
            opened = await self._open()
            while True:
                opened = await self._serve(opened) or await self._open()

    async def _serve(self, opened: Opened) -> Opened | None:
        """Have a connection in service until it ends or is left; for a nearer one, which is given,
        or for whichever can be had."""
        connection = opened.connection
        # Only now: until its successor is open, the one before is still being left.
        self._unwanted, self._better = False, None
        self._news.clear()
        self._current = connection
        self.down_since = None
        since = monotonic()
        self._service.take_up(connection)
        self._tell_link(connection.url)
        for push in opened.pushes:
            self._service.pushed(connection, push)
        connection.resume()
        nearer = await self._until_left(connection)
        if monotonic() - since >= self._settings.timing.steady:
            self._backoff.reset()
            self._leaving.reset()
            self.servers.lasted(connection.url)
        if not connection.alive and connection.end.code != OTHER_EPOCH:
            logger.info("lost %s: %s", connection.url, connection.end.problem)
            wait = self._backoff.wait() if nearer is None else 0.0
            self._failed(connection.url, connection.end.problem, connection.end.after, wait)
            if nearer is None:
                await asyncio.sleep(wait)
        return nearer  # where it ended with its epoch, the node is well: it began another life

    async def _until_left(self, connection: Connection) -> Opened | None:
        while connection.alive and not self._unwanted:
            await self._news.wait()
            self._news.clear()
            if self._better is None or self._unwanted:
                continue
            url, self._better = self._better, None
            try:
                return await self._try(url)
            except TlruError as exc:
                logger.info("stay with %s; cannot use %s: %s", connection.url, url, exc)
                self.servers.failed(url, str(exc), monotonic())
        return None

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

    def wanted(self) -> None:
        """Somebody would use a connection, without a call of theirs that waits for it."""
        self._asked_for.set()

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        if connection is self._current:
            self.down_since = monotonic()
            self._unwanted = True
            self._news.set()
            self._tell_link(None, connection.end.problem)

    def learn(self, entries: Any) -> None:
        """A node tells of all the servers there are."""
        if self.servers.learn(entries) and self._file is not None:
            self._file.keep(self.servers.listed)

    def refused(self, connection: Connection, error: TlruError) -> bool:
        """A node would not do what it was asked; True where it is to be asked nothing more."""
        if connection is not self._current:
            return False
        if isinstance(error, Unauthenticated):
            return callable(self._settings.token) and self._leave(connection)
        if error.retry is not Retry.OTHER:
            return False
        self.servers.learn(error.facts.get("servers"), whole=False)
        if not self.servers.elsewhere(connection.url):
            return False
        left = self._leave(connection)
        if left:
            self._failed(connection.url, str(error), after_of(error), 0.0)
        return left and not isinstance(error, Overloaded | NoQuorum)

    def go_away(self, connection: Connection, push: Reply) -> None:
        """A node asks to be left within some seconds; everybody at a moment of their own."""
        self.servers.learn(push.get("servers"), whole=False)
        within = push.get("within")
        within = float(within) if isinstance(within, int | float) and within > 0 else 0.0
        moment = self._chance() * min(within, GOAWAY_WITHIN_MAX_S)
        self._loop.call_later(moment, self._leave_politely, connection)

    # Leaving.

    def _leave_politely(self, connection: Connection) -> None:
        if connection is not self._current:
            return
        if self._leave(connection):
            self.servers.failed(connection.url, "it asked to be left", monotonic())
        else:
            moment = max(0.0, self._leave_again_at - monotonic())
            self._loop.call_later(moment, self._leave_politely, connection)

    def _leave(self, connection: Connection) -> bool:
        now = monotonic()
        if self._unwanted or now < self._leave_again_at:
            return self._unwanted
        self._leave_again_at = now + self._leaving.wait()
        self._unwanted = True
        self._news.set()
        return True

    def _move_to(self, url: str) -> None:
        """Another server is clearly better: go there, if it can be had."""
        self._better = url
        self._news.set()

    def _tell_link(self, server: str | None, why: str = "") -> None:
        on_link = self._settings.on_link
        if on_link is None:
            return
        try:
            on_link(server, why)
        except Exception:  # of the program's own; the connection is not to suffer for it
            logger.exception("%r has failed on %r", on_link, server)

    # Opening.

    async def _open(self) -> Opened:
        tries = Tries()
        while True:
            url = self.servers.next(monotonic())
            if rest := self.servers.rest(url, monotonic()):
                await asyncio.sleep(rest)
            try:
                return await self._try(url)
            except TlruError as exc:
                tries.failed(exc, len(self.servers))
                await self._after_failure(url, exc, tries)

    async def _try(self, url: str) -> Opened:
        """A connection to this server, if it serves."""
        timing, every = self._settings.timing, self.servers
        # Callers wait: who does not answer at once can be come back to, after the others.
        patient = len(every) == 1 or every.all_failed()
        patience = timing.open if patient else min(timing.open, timing.open_elsewhere)
        opened = await open_connection(
            url,
            self._settings,
            self._loop,
            self._service.next_number,
            patience,
            self._service.opening,
        )
        try:
            self._check(opened)
        except TlruError:
            opened.connection.close()
            raise
        self.refusal = None
        every.worked(url, str(opened.greeting.get("node", "")))
        self.learn(opened.greeting.get("servers"))
        return opened

    def _check(self, opened: Opened) -> None:
        status, told = opened.greeting.get("status"), opened.greeting.get("servers")
        last_resort = self.servers.all_failed()
        if status in REFUSING_STATUSES and not (status in HALF_OF_USE and last_resort):
            # It may be new, or cut off, and not know everybody.
            self.servers.learn(told, whole=False)
            raise Unavailable(f"it is {status}", code=str(status))
        # Reads that follow it there would go backwards; unless nobody knows better, any more.
        if self._service.has_left(opened.connection.epoch) and not last_resort:
            raise Unavailable(f"it is still in epoch {opened.connection.epoch}, which is over")

    async def _after_failure(self, url: str, error: TlruError, tries: Tries) -> None:
        logger.info("cannot use %s: %s", url, error)
        wait = self._backoff.wait()
        self._failed(url, str(error), after_of(error), wait)
        if self.down_since is None and (self._current is None or not self._current.alive):
            self.down_since = monotonic()
        refusal = tries.verdict(len(self.servers))
        if refusal is not None:
            await self._stop_until_asked(refusal)
        else:
            await asyncio.sleep(wait)

    def _failed(self, url: str, problem: str, after: float, wait: float) -> None:
        """What it has said of coming back is obeyed, and not by all at the same moment."""
        rest_s = after + wait if after else 0.0
        self.servers.failed(url, problem, monotonic(), rest_s=rest_s)

    async def _stop_until_asked(self, error: TlruError) -> None:
        """No server takes us: to knock on and on helps nobody. Callers are told at once."""
        self.refusal = error
        self._service.give_up(error)
        await asyncio.sleep(self._settings.timing.backoff_most)
        if not self._service.watched:
            self._asked_for.clear()
            await self._asked_for.wait()
        self.refusal = None

    # The file of servers.

    async def _read_file(self, file: ServersFile) -> None:
        """Take up the servers of the file. Without any there is nothing to do but tell why."""
        while True:
            try:
                found = await file.read()
            except UnusableError as exc:
                if not len(self.servers):
                    why = f"no server is known: {exc}; {MEND}"
                    await self._stop_until_asked(Unavailable(why))
                    continue
                if not exc.absent:
                    file.warn(str(exc))
            else:
                self.servers.name(found.own)
                self.servers.recall(found.told)
            return


class Tries:
    """How the servers answered since there was a connection: whether one has refused us for good.

    Once each has had its turn that is the answer, also where others are away: callers would wait
    for them in vain. It is forgotten when all have failed otherwise since."""

    def __init__(self) -> None:
        self._failures = 0
        self._refusal: TlruError | None = None
        self._since = 0  # attempts after it that were no refusals

    def failed(self, error: TlruError, servers: int) -> None:
        """An attempt at one of so many servers."""
        self._failures += 1
        if error.retry is Retry.NO:
            self._refusal, self._since = error, 0
            return
        self._since += 1
        if self._since >= servers:
            self._refusal = None

    def verdict(self, servers: int) -> TlruError | None:
        """What callers are to be told, if anything."""
        return self._refusal if self._failures >= servers else None
