"""The blocking calls that change nothing. Each is the asyncio client's of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, TypeVar, overload

from tlru.client.reading import PAGE
from tlru.client.replies import Page
from tlru.client.results import Item, Read, Ttl
from tlru.sync.face import Face

T = TypeVar("T")
D = TypeVar("D")


class Reading(Face[T]):
    """How a cache is read."""

    @overload
    def get(
        self,
        key: str,
        default: None = ...,
        *,
        read: Read | None = ...,
        touch: Ttl = ...,
        timeout: float | None = ...,
    ) -> T | None: ...
    @overload
    def get(
        self,
        key: str,
        default: D,
        *,
        read: Read | None = ...,
        touch: Ttl = ...,
        timeout: float | None = ...,
    ) -> T | D: ...
    def get(
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
        return self._run(
            lambda: self._cache.get(key, default, read=read, touch=touch, timeout=timeout)
        )

    def item(
        self, key: str, *, read: Read | None = None, timeout: float | None = None
    ) -> Item[T] | None:
        """The value under a key with all that the cache knows of it, or None."""
        return self._run(lambda: self._cache.item(key, read=read, timeout=timeout))

    def get_many(
        self, keys: Iterable[str], *, read: Read | None = None, timeout: float | None = None
    ) -> dict[str, T]:
        """What there was under these keys; a key with nothing under it is not in the answer."""
        wanted = list(keys)  # in the calling thread: it may be a generator that blocks
        return self._run(lambda: self._cache.get_many(wanted, read=read, timeout=timeout))

    def keys(
        self,
        prefix: str = "",
        *,
        page: int = PAGE,
        read: Read | None = None,
        timeout: float | None = None,
    ) -> Iterator[str]:
        """The keys that begin with a prefix, in order.

        They are fetched a page at a time, so this is no snapshot: a key that comes or goes
        meanwhile may be met or not. `timeout` is for each page.
        """
        for part in self._pages(prefix, False, page, read, timeout):
            yield from (self._cache._own_key(key) for key, _ in part.rows)

    def items(
        self,
        prefix: str = "",
        *,
        page: int = PAGE,
        read: Read | None = None,
        timeout: float | None = None,
    ) -> Iterator[tuple[str, Item[T]]]:
        """The keys that begin with a prefix and what is under them, in order of the keys.

        As with `keys`, this is no snapshot. A value that cannot be read back raises `BadValue`.
        """
        for part in self._pages(prefix, True, page, read, timeout):
            yield from (self._cache._own_item(key, found) for key, found in part.rows)

    def _pages(
        self, prefix: str, values: bool, page: int, read: Read | None, timeout: float | None
    ) -> Iterator[Page]:
        after: str | None = None
        while True:
            ask = partial(self._cache._page, prefix, after, values, page, read, timeout)
            part = self._run(ask)
            yield part
            if not part.more:
                return
            after = part.rows[-1][0]
