"""Fetching a JWKS from its address: how often, how large, how long, and what a failure means.

Keys that were fetched stay in force while the address cannot be reached: else whoever runs it
would decide with every pause whether the cache lives. A token with a key that is not known has the
address asked at once, since keys change when they are first used; but strangers make such tokens
too, so not more often than every `UNKNOWN_EVERY_S`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import aiohttp

from tlru.access import keys
from tlru.access.keys import Key
from tlru.access.static import WrongTokens

logger = logging.getLogger(__name__)

WITHIN_S: Final = 5.0  # for the whole of an answer
UNKNOWN_EVERY_S: Final = 10.0
AGAIN_S: Final = 5.0  # after a failure, where that is sooner than the usual time


class Fetching:
    """The keys at one address."""

    def __init__(self, url: str, every_s: float, changed: Callable[[], None]) -> None:
        self._url, self._every_s, self._changed = url, every_s, changed
        self.keys: tuple[Key, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._fetch: asyncio.Task[bool] | None = None
        self._fetched_at: float | None = None

    def is_for(self, url: str | None, every_s: float) -> bool:
        """Whether it does what is wanted already."""
        return (url, every_s) == (self._url, self._every_s)

    def take_over(self, other: Fetching) -> None:
        """Go by what another has fetched from the same address, until there is something newer."""
        if other._url == self._url:
            self.keys = other.keys

    def start(self) -> None:
        """Fetch now and then."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep())

    def leave(self) -> None:
        """Fetch nothing more; nobody waits for what is under way."""
        for task in (self._task, self._fetch):
            if task is not None:
                task.cancel()

    async def stop(self) -> None:
        """The same, and wait until that is so."""
        self.leave()
        running = [task for task in (self._task, self._fetch) if task is not None]
        if running:
            await asyncio.wait(running)

    async def _keep(self) -> None:
        while True:
            well = await asyncio.shield(self._one())
            await asyncio.sleep(self._every_s if well else min(AGAIN_S, self._every_s))

    @property
    def may_fetch(self) -> bool:
        """Whether an unknown key is a reason to look now."""
        if self._fetch is not None and not self._fetch.done():
            return True
        now = asyncio.get_running_loop().time()
        return self._fetched_at is None or now - self._fetched_at >= UNKNOWN_EVERY_S

    async def fetch_for_unknown(self) -> bool:
        """Look whether there is a key more; False where that was done a moment ago."""
        return self.may_fetch and await asyncio.shield(self._one())

    def _one(self) -> asyncio.Task[bool]:
        """The fetch that is under way, or another: all who wait share it."""
        if self._fetch is None or self._fetch.done():
            loop = asyncio.get_running_loop()
            self._fetched_at = loop.time()
            self._fetch = loop.create_task(self._get())
        return self._fetch

    async def _get(self) -> bool:
        try:
            found = keys.parse(await self._body(), public_only=True)
        except (WrongTokens, aiohttp.ClientError, TimeoutError, OSError) as exc:
            why = str(exc) or type(exc).__name__
            logger.warning(
                "the keys of jwt_keys_url could not be fetched, so those from before stay: %s", why
            )
            return False
        if found != self.keys:
            self.keys = found
            logger.info("signed tokens are checked with other keys", extra={"keys": len(found)})
            self._changed()
        return True

    async def _body(self) -> bytes:
        """The answer, within its bounds. A redirect is not followed: the address is a decision."""
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise WrongTokens(f"it answers {response.status}")
            taken = bytearray()
            async for chunk in response.content.iter_any():
                taken += chunk
                if len(taken) > keys.FILE_BYTES_MAX:
                    raise WrongTokens(f"it answers with more than {keys.FILE_BYTES_MAX} bytes")
            return bytes(taken)
