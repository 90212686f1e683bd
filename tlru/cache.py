"""Caches for one process: `TLRUCache`, `TTLCache` and `LRUCache`, with the usual clock.

They take the place of the classes of the same names in cachetools: the same arguments in the same
order, the same methods. All logic is in `tlru.engine.cache`, which may know no clock; this module
only says which clock it is when nobody says otherwise, and which arguments each class takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from tlru.engine import cache as engine
from tlru.engine.inspection import Life, TimeToUse
from tlru.engine.removal import OnRemove, Removal
from tlru.engine.stats import CacheStats

__all__ = ["CacheStats", "LRUCache", "Removal", "TLRUCache", "TTLCache"]

K = TypeVar("K")
V = TypeVar("V")


class TLRUCache(engine.TLRUCache[K, V]):
    """A bounded mapping whose every item has a life of its own.

    `ttu(key, value, now)` gives the moment at which an item is over; None or infinity is never.
    """

    def __init__(
        self,
        maxsize: float,
        ttu: TimeToUse[K, V] | None = None,
        timer: Callable[[], Any] = time.monotonic,
        getsizeof: Callable[[V], float] | None = None,
        *,
        ttl: Life | None = None,
        maxentries: float | None = None,
        on_remove: OnRemove[K, V] | None = None,
    ) -> None:
        super().__init__(
            maxsize,
            ttu,
            timer=timer,
            getsizeof=getsizeof,
            ttl=ttl,
            maxentries=maxentries,
            on_remove=on_remove,
        )


class TTLCache(engine.TLRUCache[K, V]):
    """A bounded mapping whose items all live for `ttl`, unless `set` or `touch` says otherwise."""

    def __init__(
        self,
        maxsize: float,
        ttl: Life | None,
        timer: Callable[[], Any] = time.monotonic,
        getsizeof: Callable[[V], float] | None = None,
        *,
        maxentries: float | None = None,
        on_remove: OnRemove[K, V] | None = None,
    ) -> None:
        super().__init__(
            maxsize,
            timer=timer,
            getsizeof=getsizeof,
            ttl=ttl,
            maxentries=maxentries,
            on_remove=on_remove,
        )


class LRUCache(engine.TLRUCache[K, V]):
    """A bounded mapping whose items live until they are evicted, unless `set` says otherwise."""

    def __init__(
        self,
        maxsize: float,
        getsizeof: Callable[[V], float] | None = None,
        *,
        timer: Callable[[], Any] = time.monotonic,
        maxentries: float | None = None,
        on_remove: OnRemove[K, V] | None = None,
    ) -> None:
        super().__init__(
            maxsize,
            timer=timer,
            getsizeof=getsizeof,
            maxentries=maxentries,
            on_remove=on_remove,
        )
