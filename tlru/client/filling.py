"""Filling the cache from elsewhere: what `get_or_set` does when the cache has no answer.

One load at a time: within the program by sharing a task, within the cluster by a lock. What was
loaded is stored only if nobody has set, deleted or cleared the key since it was missed, so a value
that was invalidated while it was being loaded is not kept.

It fails open. A cache that is away, slow or full costs its users a load each, never an error,
unless they ask for one. What is wrong with the call itself (a bad key, a value that cannot be
written) and what the loader raises is always raised.

Stale values: the item lives for `ttl + stale` seconds. Its reader knows the `ttl`, and the reply
says when it was set and what time it is, so nothing more is stored to know that it is due.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

from tlru.client.client import Client
from tlru.client.exchange import Exchange
from tlru.client.locks import Lock
from tlru.client.requests import Kind
from tlru.client.results import MISSING, Missing, Reply
from tlru.client.serializers import Serializer, dump, load
from tlru.errors import BadRequest, BadValue, TlruError

logger = logging.getLogger("tlru.client")

T = TypeVar("T")
R = TypeVar("R")
OnError: TypeAlias = Literal["load", "raise", "default"]
Loader: TypeAlias = Callable[[], T | Awaitable[T]]

LEASE_S: Final = 10.0  # of the lock around a load; it is renewed for as long as the load takes
LOCK_SUFFIX: Final = "#load"
LOCK_CHARS_MAX: Final = 200
FNV_FIRST: Final = 0xCBF29CE484222325
FNV_PRIME: Final = 0x100000001B3
FNV_MASK: Final = (1 << 64) - 1
WARN_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """What a look at the key has found, and where the node was then."""

    value: T | Literal[Missing.MISSING]
    due: bool
    """Nothing is there, or what is there has outlived its time and is being replaced."""
    epoch: str | None
    pos: int


@dataclass(frozen=True, slots=True)
class Filling(Generic[T]):
    """One key, and how it is filled."""

    client: Client
    serializer: Serializer[T]
    key: str
    load: Loader[T]
    ttl: float | None
    stale: float
    on_error: OnError
    default: Any
    wait: float
    timeout: float
    background: bool = True
    """Whether a stale value is replaced in the background, or by the one who has met it."""

    async def get(self) -> T:
        """The value: from the cache, or loaded and kept there."""
        try:
            look = await self._look()
        except BadRequest:
            raise
        except TlruError as exc:
            return await self._without_cache(exc)
        if not look.due:
            return cast(T, look.value)
        flights = self.client.flights()
        if look.value is MISSING:
            return cast(T, await flights.join(self.key, lambda: self._fill(look)))
        if self.background:
            flights.launch(self.key, lambda: self._refresh(look.value))
            return look.value
        if self.key in flights:
            return look.value
        return cast(T, await flights.join(self.key, lambda: self._refresh(look.value)))

    async def refresh(self) -> T:
        """Load the value anew, whatever the cache has, and keep it there.

        Whoever asks for this wants the cache changed, so if it cannot be changed that is raised.
        """
        look = await self._look()
        value = await self._loaded()
        return await self._keep(look, value)

    # The steps.

    async def _look(self) -> Look[T]:
        exchange = self.client.exchange()
        reply = await exchange.get(self.key, self.timeout)
        epoch, pos = exchange.session.epoch, reply.get("pos", 0)
        if not reply.get("found"):
            return Look(MISSING, True, epoch, pos)
        try:
            value = load(self.serializer, self.key, reply["value"])
        except BadValue as exc:
            logger.warning("loading it anew: %s", exc)
            return Look(MISSING, True, epoch, pos)
        return Look(value, self._is_due(reply), epoch, pos)

    def _is_due(self, reply: Reply) -> bool:
        if self.ttl is None or self.stale <= 0:
            return False
        age_ms = reply.get("time", 0) - reply.get("at", 0)
        return bool(age_ms >= self.ttl * 1000)

    async def _fill(self, look: Look[T]) -> T:
        """Load what nobody has, or take it from whoever was faster."""
        lock = self._lock(self.wait)
        held = await self._attempt(lock.acquire())
        try:
            if held:
                # Somebody may have loaded it between our look and our turn.
                look = await self._attempt(self._look()) or look
                if not look.due:
                    return cast(T, look.value)
            return await self._keep(look, await self._loaded())
        finally:
            await self._release(lock)

    async def _refresh(self, stale: Any) -> Any:
        """Replace a value that is due, unless somebody else does; a failure leaves it as it is."""
        lock = self._lock(0)
        if not await self._attempt(lock.acquire()):
            return stale
        try:
            look = await self._attempt(self._look())
            if look is None or not look.due:
                return stale if look is None else look.value
            return await self._keep(look, await self._loaded())
        except Exception:
            logger.warning("%r could not be refreshed and is served stale", self.key, exc_info=True)
            return stale
        finally:
            await self._release(lock)

    async def _loaded(self) -> T:
        loaded = self.load()
        return await loaded if inspect.isawaitable(loaded) else loaded

    async def _keep(self, look: Look[T] | None, value: T) -> T:
        """Keep the value, unless the key has met a write since the look."""
        data = dump(self.serializer, self.key, value)
        exchange = self.client.exchange()
        if look is None or look.epoch != exchange.session.epoch:
            return value
        fields = {
            "op": "set",
            "key": self.key,
            "value": data,
            "ttl": None if self.ttl is None else self.ttl + max(0.0, self.stale),
            "if": {"unchanged": look.pos},
            "timeout": self.timeout,
        }
        await self._attempt(self._asked(exchange, fields))
        return value

    async def _asked(self, exchange: Exchange, fields: dict[str, Any]) -> Reply:
        return await exchange.ask(fields, self.timeout, Kind.PLAIN, bound=True)

    # The lock.

    def _lock(self, wait: float) -> Lock:
        return Lock(
            self.client,
            lock_name(self.key),
            ttl=LEASE_S,
            wait=wait,
            renew=True,
            timeout=self.timeout,
        )

    async def _release(self, lock: Lock) -> None:
        if lock.held:
            await self._attempt(lock.release())

    # Failing open.

    async def _without_cache(self, error: TlruError) -> T:
        if self.on_error == "raise":
            raise error
        if self.on_error == "default":
            return cast(T, self.default)
        self._warn(error)
        return cast(T, await self.client.flights().join(self.key, self._loaded))

    async def _attempt(self, step: Awaitable[R]) -> R | None:
        """What a step gives, or None where the cache fails it and its user can do without."""
        try:
            return await step
        except BadRequest:
            raise
        except TlruError as exc:
            if self.on_error == "raise":
                raise
            self._warn(exc)
            return None

    def _warn(self, error: TlruError) -> None:
        now = time.monotonic()
        if now >= self.client.complain_again_at:
            self.client.complain_again_at = now + WARN_EVERY_S
            logger.warning("going on without the cache: %s", error)


def lock_name(key: str) -> str:
    """The name of the lock around loading a key. It has the key's beginning, hence its rights."""
    if len(key) > LOCK_CHARS_MAX:
        key = f"{key[:LOCK_CHARS_MAX]}#{_fnv(key.encode()):016x}"
    return key + LOCK_SUFFIX


def _fnv(data: bytes) -> int:
    """FNV-1a of 64 bits: the same in any language, so that clients of all of them meet at one lock.
    Two keys that have it in common only wait for each other."""
    hashed = FNV_FIRST
    for byte in data:
        hashed = (hashed ^ byte) * FNV_PRIME & FNV_MASK
    return hashed
