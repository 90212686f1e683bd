"""The calls that change nothing."""

# ruff: noqa: ASYNC109 - a call's time goes to the node with it, so a timeout around the call, which
# would only cancel it, cannot take its place.
from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, TypeVar, overload

from tlru.client import replies
from tlru.client.face import Face
from tlru.client.replies import Page
from tlru.client.results import Item, Read, Reply, Ttl, seconds
from tlru.client.serializers import load, unreadable

T = TypeVar("T")
D = TypeVar("D")

PAGE: Final = 1000


class Reading(Face[T]):
    """How a cache is read."""

    @overload
    async def get(
        self,
        key: str,
        default: None = ...,
        *,
        read: Read | None = ...,
        touch: Ttl = ...,
        timeout: float | None = ...,
    ) -> T | None: ...
    @overload
    async def get(
        self,
        key: str,
        default: D,
        *,
        read: Read | None = ...,
        touch: Ttl = ...,
        timeout: float | None = ...,
    ) -> T | D: ...
    async def get(
        self,
        key: str,
        default: Any = None,
        *,
        read: Read | None = None,
        touch: Ttl = None,
        timeout: float | None = None,
    ) -> Any:
        """The value under a key, or the default; `tlru.MISSING` as one tells a stored None apart.

        `touch` gives the item a new life. `read="linear"` is as of now by the leader's word,
        `"any"` also from a node that is cut off, where its operator allows that.
        """
        given = self._timeout if timeout is None else timeout
        if read is None and touch is None:
            reply = await self._client.exchange().get(self._prefix + key, given)
        else:
            fields = {"op": "get", "key": self._prefix + key, "read": read, "touch": seconds(touch)}
            reply = await self._client.exchange().ask(fields, given)
        if not reply.get("found"):
            return default
        try:
            return self._loads(reply["value"])
        except Exception as exc:
            raise unreadable(self._prefix + key, exc) from exc

    async def item(
        self, key: str, *, read: Read | None = None, timeout: float | None = None
    ) -> Item[T] | None:
        """The value under a key with all that the cache knows of it, or None."""
        reply = await self._ask({"op": "get", "key": self._prefix + key, "read": read}, timeout)
        if not reply.get("found"):
            return None
        return replies.item(self._serializer, self._prefix + key, reply)

    async def get_many(
        self, keys: Iterable[str], *, read: Read | None = None, timeout: float | None = None
    ) -> dict[str, T]:
        """What there was under these keys; a key with nothing under it is not in the answer."""

        async def ask(some: Sequence[str]) -> dict[str, T]:
            full = [self._prefix + key for key in some]
            reply = await self._ask({"op": "get_many", "keys": full, "read": read}, timeout)
            return {
                key: load(self._serializer, self._prefix + key, found["value"])
                for key, found in replies.paired(some, reply)
                if found.get("found")
            }

        found: dict[str, T] = {}
        wanted = list(dict.fromkeys(keys))
        for part in await self._in_parts(wanted, ask) if wanted else ():
            found |= part
        return found

    async def keys(
        self,
        prefix: str = "",
        *,
        page: int = PAGE,
        read: Read | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[str]:
        """The keys that begin with a prefix, in order.

        They are fetched a page at a time, so this is no snapshot: a key that comes or goes
        meanwhile may be met or not. `timeout` is for each page.
        """
        after: str | None = None
        while True:
            part = await self._page(prefix, after, False, page, read, timeout)
            for key, _ in part.rows:
                yield self._own_key(key)
            if not part.more:
                return
            after = part.rows[-1][0]

    async def items(
        self,
        prefix: str = "",
        *,
        page: int = PAGE,
        read: Read | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[tuple[str, Item[T]]]:
        """The keys that begin with a prefix and what is under them, in order of the keys.

        As with `keys`, this is no snapshot. A value that cannot be read back raises `BadValue`.
        """
        after: str | None = None
        while True:
            part = await self._page(prefix, after, True, page, read, timeout)
            for key, found in part.rows:
                yield self._own_item(key, found)
            if not part.more:
                return
            after = part.rows[-1][0]

    # One page and what is on it, for those who walk the pages themselves.

    async def _page(
        self,
        prefix: str,
        after: str | None,
        values: bool,
        page: int,
        read: Read | None,
        timeout: float | None,
    ) -> Page:
        """A page of a scan, with keys in full: those after `after`, from the beginning if None."""
        fields = {
            "op": "scan",
            "prefix": self._prefix + prefix,
            "after": after,
            "values": values,
            "limit": min(page, self._exchange().limits.scan),
            "read": read,
        }
        return replies.page(await self._ask(fields, timeout))

    def _own_key(self, key: str) -> str:
        """A key as it is called here: without the prefix of this part of the cache."""
        return key[len(self._prefix) :]

    def _own_item(self, key: str, found: Reply) -> tuple[str, Item[T]]:
        """What a page says of a key."""
        return self._own_key(key), replies.item(self._serializer, key, found)
