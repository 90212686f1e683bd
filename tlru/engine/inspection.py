"""What can be learnt of a cache without using it: its items, their lives, its budgets and counts.

Stays away from changing anything but for one thing: `len`, `currsize` and `repr` first remove what
is over, for they could not tell the truth otherwise. Nothing here makes an item more recently used
or counts as a lookup, walking over `items()` and `values()` included.

Invariant: no item that is over is shown, and what goes away while somebody walks is left out.
"""

from __future__ import annotations

import math
import reprlib
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterator, MutableMapping, ValuesView
from datetime import timedelta
from operator import itemgetter
from typing import Any, ClassVar, TypeAlias, TypeVar, overload

from tlru.engine.expiry import ExpiryIndex, Ordered
from tlru.engine.removal import RemovalQueue
from tlru.engine.stats import CacheStats, Counters
from tlru.engine.store import Store
from tlru.engine.timer import FreezableTimer
from tlru.engine.valued import Item

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

# Added to what the timer gives: seconds for `time.monotonic`, a timedelta for `datetime.now`.
Life: TypeAlias = float | timedelta
# (key, value, now) -> the moment at which the item is over; None or math.inf: never.
TimeToUse: TypeAlias = Callable[[K, V, Any], Ordered | None]

_ABSENT: Any = object()


class InspectableCache(MutableMapping[K, V]):
    """The part of `TLRUCache` that looks; its constructor and all that changes are there."""

    # A subclass reads keys in its own way (unpacking values, say), so a walk must too.
    _lookup_hooked: ClassVar[bool] = False
    _expire_hooked: ClassVar[bool] = False

    _maxsize: float
    _maxentries: float
    _ttu: TimeToUse[K, V] | None
    _ttl: Life | None
    _getsizeof: Callable[[V], float] | None
    _timer: FreezableTimer
    _counts: Counters
    _removals: RemovalQueue[K, V]
    _store: Store[K, Item[V]]
    # The store's own two, kept at hand for what every read and write needs.
    _entries: OrderedDict[K, Item[V]]
    _index: ExpiryIndex[K]

    def _use_store(self, store: Store[K, Item[V]]) -> None:
        self._store, self._entries, self._index = store, store.entries, store.index

    @abstractmethod
    def expire(self, time: Ordered | None = None) -> list[tuple[K, V]]:
        """Remove and return what is over."""

    def _purge(self) -> None:
        """Remove what is over, if anything is."""
        now = self._timer.read_now()
        soonest = self._index.soonest
        if self._expire_hooked or (soonest is not None and not now < soonest):
            self.expire(now)

    def _live(self, key: Any) -> Item[V] | None:
        item = self._entries.get(key)
        if item is None or item.expires is None or self._timer.read_now() < item.expires:
            return item
        return None

    # --- one key -----------------------------------------------------------------------------

    def __contains__(self, key: object) -> bool:
        """True if the key is there and not over. O(1)."""
        return self._live(key) is not None

    @overload
    def peek(self, key: K) -> V | None: ...
    @overload
    def peek(self, key: K, default: D) -> V | D: ...
    def peek(self, key: K, default: Any = None) -> Any:
        """The value of a key or `default`, without using it. O(1)."""
        item = self._live(key)
        return default if item is None else item.value

    def expires(self, key: K) -> Any:
        """The moment at which a key is over, None for never; KeyError if it is absent. O(1)."""
        item = self._live(key)
        if item is None:
            raise KeyError(key)
        return item.expires

    def ttl_left(self, key: K) -> Any:
        """How long a key lives on, None for ever; KeyError if it is absent. O(1)."""
        with self._timer as now:
            item = self._live(key)
        if item is None:
            raise KeyError(key)
        return None if item.expires is None else item.expires - now

    # --- all keys ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many items there are. O(1); removes what is over first."""
        self._purge()
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        """The keys, least recently used first; the cache may change meanwhile. O(n)."""
        return (key for key, _ in self._walk_items())

    def items(self) -> ItemsView[K, V]:
        """A view of the (key, value) pairs, least recently used first. O(1)."""
        return CacheItems(self)

    def values(self) -> ValuesView[V]:
        """A view of the values, least recently used first. O(1)."""
        return CacheValues(self)

    def victims(self) -> Iterator[K]:
        """The keys in the order in which they would be evicted. O(1) for each.

        Nothing is copied, so the iterator raises a RuntimeError if the cache was written, or read
        by anything but what only looks, since it began. Take what is wanted first (`islice`).
        """
        now = self._timer.read_now()
        for key, item in self._entries.items():
            if item.expires is None or now < item.expires:
                yield key

    def _walk(self) -> Iterator[tuple[K, V]]:
        return self._walk_hooked() if self._lookup_hooked else self._walk_items()

    def _walk_items(self) -> Iterator[tuple[K, V]]:
        # Over a copy of the keys, for every read changes the order of use.
        for key in list(self._entries):
            item = self._live(key)
            if item is not None:
                yield key, item.value

    def _walk_hooked(self) -> Iterator[tuple[K, V]]:
        for key in self:
            try:
                value = self[key]
            except KeyError:  # it was over, or went away, between the two
                continue
            yield key, value

    @reprlib.recursive_repr("...")
    def __repr__(self) -> str:
        """The items and budgets as text. O(n)."""
        self._purge()
        items = {key: item.value for key, item in self._entries.items()}
        budgets = f"maxsize={self._maxsize!r}, currsize={self._store.size!r}"
        if self._maxentries != math.inf:
            budgets += f", maxentries={self._maxentries!r}"
        return f"{type(self).__name__}({items!r}, {budgets})"

    # --- the cache itself --------------------------------------------------------------------

    @property
    def maxsize(self) -> float:
        """The most that the sizes of all items may sum to. O(1)."""
        return self._maxsize

    @property
    def maxentries(self) -> float | None:
        """The most items there may be, None for as many as `maxsize` allows. O(1)."""
        return None if self._maxentries == math.inf else self._maxentries

    @property
    def currsize(self) -> float:
        """The sum of the sizes of all items. O(1); removes what is over first."""
        self._purge()
        size: float = self._store.size
        return size

    @property
    def timer(self) -> FreezableTimer:
        """The timer; `with cache.timer:` holds the time still. O(1)."""
        return self._timer

    @property
    def ttu(self) -> TimeToUse[K, V] | None:
        """The function that says when an item is over. O(1)."""
        return self._ttu

    @property
    def ttl(self) -> Any:
        """The usual life of an item; None is for ever, or as `ttu` says. O(1)."""
        return self._ttl

    def getsizeof(self, value: V) -> float:
        """The size of a value: 1, unless a function was given or a subclass overrides this."""
        return 1 if self._getsizeof is None else self._getsizeof(value)

    def stats(self) -> CacheStats:
        """What the cache has done so far. O(1)."""
        return self._counts.snapshot()

    def check(self) -> None:
        """Walk all of it and assert that it is consistent; for tests. O(n log n)."""
        self._store.check()
        size, most = self._store.size, self._maxsize
        # A sum of fractions is as exact as floats are.
        assert size <= most or math.isclose(size, most), "the items are larger than maxsize"
        assert len(self._entries) <= self._maxentries, "there are more items than maxentries"
        assert all(item.size >= 0 for item in self._entries.values()), "a size is negative"

    # --- copies ------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle or a copy needs: a copy has items, lives and counts of its own. O(n)."""
        state = self.__dict__.copy()
        for derived in ("_store", "_entries", "_index"):
            del state[derived]
        state["_removals"] = self._removals.callback
        state["_timer"] = self._timer.wrapped
        state["_counts"] = self._counts.copy()
        state["_items"] = [
            (key, item.value, item.expires, item.size, self._index.tie_of(key, item))
            for key, item in self._entries.items()
        ]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        items = state.pop("_items")
        self.__dict__.update(state)
        self._removals = RemovalQueue(state["_removals"])
        self._timer = FreezableTimer(state["_timer"])
        store: Store[K, Item[V]] = Store()
        # First in the order of their ties, which are given out anew, then in the order of use.
        for key, value, expires, size, _ in sorted(items, key=itemgetter(4)):
            store.put(key, Item(value, expires, size))
        for key, *_ in items:
            store.entries.move_to_end(key)
        self._use_store(store)


class CacheItems(ItemsView[K, V]):
    """The live (key, value) pairs of a cache."""

    __slots__ = ()
    _mapping: InspectableCache[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._walk()

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        found = self._mapping._live(item[0])
        return found is not None and bool(found.value is item[1] or found.value == item[1])


class CacheValues(ValuesView[V]):
    """The live values of a cache."""

    __slots__ = ()
    _mapping: InspectableCache[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping._walk())

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)
