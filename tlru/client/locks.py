"""Locks that the whole cluster respects.

A lock is held for a time, and kept alive from the background until it is let go. Whoever holds it
has a `fence`, a number that grows with every holder: a store that refuses numbers below the highest
it has seen is safe even from a holder that slept through its time.

A lock that was granted to somebody who had gone meanwhile is given back at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextvars import Context
from time import monotonic
from types import TracebackType
from typing import Any, Final

from tlru.client.client import Client
from tlru.client.exchange import Exchange
from tlru.client.requests import Kind
from tlru.client.results import Reply, Ttl, seconds
from tlru.errors import Timeout, TlruError

logger = logging.getLogger("tlru.client")

PARK_S: Final = 60.0  # a request waits so long for its turn at the node, and is then made again
RENEW_AT: Final = 1 / 3  # of its time a lock is given new time


class LockLost(TlruError):
    """A lock was no longer held when it was let go, or checked: somebody else may have had it."""

    code = "lock_lost"


class Lock:
    """A lock, held between `async with` and its end."""

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        ttl: Ttl,
        wait: float | None,
        renew: bool,
        timeout: float,
    ) -> None:
        life = seconds(ttl)
        if life is None:
            raise ValueError("a lock needs a time to live: who holds it may die")
        self.name = name
        self._client = client
        self._ttl = life
        self._wait = math.inf if wait is None else wait
        self._renewing = renew
        self._timeout = timeout
        self._fence: int | None = None
        self._until = -math.inf
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def fence(self) -> int:
        """The number of this holding, higher than any before. Raises `LockLost` if not held."""
        if self._fence is None:
            raise LockLost(f"the lock {self.name!r} is not held")
        return self._fence

    @property
    def held(self) -> bool:
        """Whether it is held, as far as can be told without asking."""
        return self._fence is not None and monotonic() < self._until

    def check(self) -> None:
        """Raise `LockLost` unless it is held, as far as can be told without asking."""
        if not self.held:
            raise LockLost(f"the lock {self.name!r} is not held any more")

    async def acquire(self, wait: float | None = None) -> bool:
        """Take the lock, waiting up to `wait` seconds (or as it was made); whether it is held."""
        if self._fence is not None:
            raise RuntimeError(f"the lock {self.name!r} is held already, by this very object")
        exchange = self._exchange = self._client.exchange()
        until = monotonic() + (self._wait if wait is None else wait)
        while True:
            left = max(0.0, until - monotonic())
            reply = await self._ask(exchange, min(left, PARK_S))
            if reply.get("held"):
                self._take(exchange, reply)
                return True
            if left <= PARK_S:
                return False

    async def release(self) -> None:
        """Let it go. Raises `LockLost` if it was not held any more."""
        fence = self.fence
        self._stop_renewing()
        self._fence = None
        reply = await self._tell("unlock", fence)
        if not reply.get("released"):
            raise LockLost(f"the lock {self.name!r} was not held any more when it was let go")

    async def renew(self, ttl: Ttl = None) -> None:
        """Give it new time from now on. Raises `LockLost` if it is not held any more."""
        life = seconds(ttl) or self._ttl
        # From before the question, so that nobody believes to hold it for longer than is true.
        since = monotonic()
        reply = await self._tell("renew", self.fence, ttl=life)
        if not reply.get("held"):
            self._until = -math.inf
            raise LockLost(f"the lock {self.name!r} is not held any more")
        self._until = since + life

    async def __aenter__(self) -> Lock:
        if not await self.acquire():
            raise Timeout(
                f"the lock {self.name!r} was not free within {self._wait:g} s", outcome_known=True
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._fence is None:
            return  # let go within
        try:
            await self.release()
        except LockLost:
            if error is None:
                raise
        except TlruError as exc:
            logger.warning("the lock %r could not be let go, and will run out: %s", self.name, exc)

    # Asking.

    async def _ask(self, exchange: Exchange, wait: float) -> Reply:
        fields = {"op": "lock", "name": self.name, "ttl": self._ttl, "timeout": self._timeout}
        if wait > 0:
            fields["wait"] = wait
        asked = exchange.ask(fields, wait + self._timeout, Kind.NAMED)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise

    def _give_back(self, asked: asyncio.Future[Reply]) -> None:
        """Nobody waits for the lock any more. If it was granted all the same, let it go."""
        if asked.cancelled() or asked.exception() is not None:
            return
        reply = asked.result()
        if not reply.get("held") or self._exchange is None:
            return
        fields = {"op": "unlock", "name": self.name, "fence": reply["fence"]}
        try:
            told = self._exchange.ask(fields, self._timeout, Kind.NAMED)
        except TlruError:
            return  # closed: the lock will run out
        told.add_done_callback(_take_note)

    async def _tell(self, op: str, fence: int, **fields: Any) -> Reply:
        exchange = self._client.exchange()
        fields = {"op": op, "name": self.name, "fence": fence, "timeout": self._timeout, **fields}
        told = exchange.ask(fields, self._timeout, Kind.NAMED)
        told.add_done_callback(_take_note)
        # A caller that is cancelled while it lets the lock go must not keep it by that.
        return await asyncio.shield(told)

    # Keeping it.

    def _take(self, exchange: Exchange, reply: Reply) -> None:
        self._fence = int(reply["fence"])
        self._until = monotonic() + self._ttl
        if self._renewing:
            # In a context of its own: what is done while it is held is no part of the trace
            # in which it was taken.
            make = exchange.loop.create_task
            self._task = Context().run(make, self._keep(), name=f"tlru lock {self.name}")

    async def _keep(self) -> None:
        """Renew it again and again; a failure is tried again as long as there is time left."""
        while True:
            await asyncio.sleep(self._ttl * RENEW_AT)
            try:
                await self.renew()
            except LockLost:
                return
            except TlruError as exc:
                if not self.held:
                    return
                logger.warning("the lock %r could not be renewed yet: %s", self.name, exc)

    def _stop_renewing(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None


def _take_note(told: asyncio.Future[Reply]) -> None:
    """Look at the outcome, which nobody may be waiting for any more."""
    if not told.cancelled():
        told.exception()
