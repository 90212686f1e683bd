"""A near copy: what is read is kept in the program's memory until it changes.

It decides when an answer may come from memory, and what happens while the copy cannot be relied on.
Misses are asked for as `get` asks, so what is kept is never older than what this client has seen.
Callers that miss the same key share one read, unless the key has changed since it was begun.
"""

# ruff: noqa: ASYNC109 - as in `reading.py`
from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Any, Final, Literal, TypeVar, overload

from tlru.client.changes import Topic
from tlru.client.client import Client
from tlru.client.copies import Copies, Fill, Slot
from tlru.client.copying import Copy, Keeping, Stale
from tlru.client.results import MISSING, Missing, Reply
from tlru.client.serializers import Serializer, load
from tlru.errors import Timeout, Unavailable

T = TypeVar("T")
D = TypeVar("D")

NEAR_ENTRIES: Final = 10_000


class Near(Copy[T]):
    """Reads at the speed of memory, kept coherent by the cluster; for `async with`."""

    def __init__(
        self,
        client: Client,
        serializer: Serializer[T],
        topic: Topic,
        *,
        prefix: str,
        max_entries: int,
        stale: Stale,
        timeout: float,
    ) -> None:
        check_stale(stale)
        copies: Copies[T] = Copies(
            lambda key, packed: load(serializer, key, packed),
            entries_max=max_entries,
            whole=False,
        )
        super().__init__(copies, topic, "keys")
        self._client = client
        self._serializer = serializer
        self._prefix = prefix
        self._stale = stale
        self._timeout = timeout
        self._under_way: dict[str, tuple[Fill, asyncio.Future[Reply]]] = {}

    def __repr__(self) -> str:
        return f"<tlru near copy of {self._topic}: {len(self._copies.slots)} keys>"

    def __len__(self) -> int:
        """How many keys are kept, those included of which it is known that there is nothing."""
        return len(self._copies.slots)

    @overload
    async def get(
        self, key: str, default: None = ..., *, timeout: float | None = ...
    ) -> T | None: ...
    @overload
    async def get(self, key: str, default: D, *, timeout: float | None = ...) -> T | D: ...
    async def get(self, key: str, default: Any = None, *, timeout: float | None = None) -> Any:
        """The value under a key, or the default: from memory, or from the cache and kept."""
        copies = self._copies
        slot = copies.slots.get(self._prefix + key)
        now = monotonic()
        if slot is not None and now < slot.until and now < copies.coherent_until:
            slot.used = True
            value = slot.value
        else:
            found = self._look(self._prefix + key, now)
            if found is None:
                value = await self._read(self._prefix + key, timeout)
            else:
                value = found.value
        return default if value is MISSING else value

    @overload
    def peek(self, key: str, default: None = ...) -> T | None: ...
    @overload
    def peek(self, key: str, default: D) -> T | D: ...
    def peek(self, key: str, default: Any = None) -> Any:
        """What memory has under a key, without asking anybody; from any thread."""
        found = self.peek_known(key)
        return default if found is None or found.value is MISSING else found.value

    def peek_known(self, key: str) -> Slot | None:
        """What memory knows of a key, be it that there is nothing; None where it knows nothing."""
        copies = self._copies
        slot = copies.slots.get(self._prefix + key)
        now = monotonic()
        if slot is not None and now < slot.until and now < copies.coherent_until:
            slot.used = True
            return slot
        return self._look(self._prefix + key, now)

    def _look(self, full: str, now: float) -> Slot | None:
        """As `peek_known`, for what a quick look does not find."""
        if now >= self._copies.coherent_until:
            if self._stale == "raise":
                raise Unavailable(f"the near copy of {self._topic} is not coherent now")
            keeping = self._keeping
            # What nobody keeps up any more is not worth being served.
            if self._stale == "miss" or keeping is None or keeping.error is not None:
                return None
        return self._copies.look(full, now)

    async def _read(self, full: str, timeout: float | None) -> T | Literal[Missing.MISSING]:
        given = self._timeout if timeout is None else timeout
        keeping = self._keeping
        if keeping is None:
            raise Unavailable(f"{self!r} is not open: use it within `async with`")
        reply = await self._shared_read(keeping, full, given)
        if not reply.get("found"):
            return MISSING
        return load(self._serializer, full, reply["value"])

    async def _shared_read(self, keeping: Keeping[T], full: str, timeout: float) -> Reply:
        known = self._under_way.get(full)
        if known is not None and not known[0].changed:
            try:
                return await asyncio.wait_for(asyncio.shield(known[1]), timeout)
            except TimeoutError:
                raise Timeout(f"get {full!r} was not answered in time") from None
        future = self._client.exchange().get(full, timeout)
        fill = self._copies.begin_fill(full, monotonic())
        if fill is None:
            return await future
        self._under_way[full] = fill, future
        future.add_done_callback(partial(self._filled, keeping, full, fill))
        return await asyncio.shield(future)

    def _filled(
        self, keeping: Keeping[T], full: str, fill: Fill, future: asyncio.Future[Reply]
    ) -> None:
        if self._under_way[full][0] is fill:
            del self._under_way[full]
        failed = future.cancelled() or future.exception() is not None
        self._copies.end_fill(full, fill, None if failed else future.result(), keeping.born())

    # Beginning and end.

    async def open(self) -> Near[T]:
        """Keep it up from now on."""
        if self._keeping is None:
            self._begin(self._client.exchange(), snapshot=False)
        return self

    async def __aenter__(self) -> Near[T]:
        return await self.open()


def check_stale(stale: Stale) -> None:
    """Refuse what is no way to go on without a node."""
    if stale not in ("serve", "miss", "raise"):
        raise ValueError(f'stale is "serve", "miss" or "raise", not {stale!r}')
