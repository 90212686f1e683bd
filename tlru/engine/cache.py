"""`TLRUCache`: what is kept, for how long, and what has to go first.

A mapping of bounded size. Every item may have a life of its own (its *time to use*, reckoned when
it is stored); what is over is absent. When a new item does not fit, the least recently used live
items are evicted until it does.

Stays away from clocks: the timer is handed in (`tlru.cache` adds the usual one). Not thread-safe:
where threads share a cache, a lock must be held around every call, reads too, for a read moves the
item to the end of the order of use.

Invariant, between any two calls and whatever fails in one: the sizes of the items sum to at most
`maxsize`, there are at most `maxentries` of them, and no item that is over can be seen. Functions
that are handed in (`ttu`, `getsizeof`, `timer`) are called before any live item changes, so an
exception from one leaves all of them as they were; `on_remove` is called when all is done
(`removal.py`).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypeVar, cast, overload

from tlru.engine.expiry import Ordered
from tlru.engine.inspection import InspectableCache, Life, TimeToUse
from tlru.engine.removal import OnRemove, Removal, RemovalQueue
from tlru.engine.stats import Counters
from tlru.engine.store import Store
from tlru.engine.timer import FreezableTimer
from tlru.engine.valued import Item

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class _Unset(enum.Enum):
    UNSET = "unset"


UNSET: Final = _Unset.UNSET
INFINITY: Final = math.inf
Unset: TypeAlias = Literal[_Unset.UNSET]


class TLRUCache(InspectableCache[K, V]):
    """A mapping that forgets: what is over at once, what is used least when it is full.

    `maxsize` bounds the sum of the sizes of the items (each 1, or what `getsizeof` says of the
    value), `maxentries` their number. `ttu(key, value, now)` gives the moment at which an item is
    over, or else each lives for `ttl`, or for ever. `on_remove(key, value, reason)` hears of each
    value that leaves.
    """

    # Which of the methods that other methods go through a subclass has overridden. Found out once
    # for each class, so that a cache with nothing overridden takes the short way for one attribute.
    _delete_hooked: ClassVar[bool] = False
    _evict_hooked: ClassVar[bool] = False
    _size_hooked: ClassVar[bool] = False

    # The item that `popitem` is removing by way of an overridden `__delitem__`.
    _victim: Item[V] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)

        def hooked(name: str) -> bool:
            return getattr(cls, name) is not getattr(TLRUCache, name)

        cls._lookup_hooked = hooked("__getitem__") or hooked("__contains__")
        cls._delete_hooked = hooked("__delitem__")
        cls._evict_hooked = hooked("popitem") or cls._delete_hooked
        cls._expire_hooked = hooked("expire")
        cls._size_hooked = hooked("getsizeof")

    def __init__(
        self,
        maxsize: float,
        ttu: TimeToUse[K, V] | None = None,
        *,
        timer: Callable[[], Ordered],
        getsizeof: Callable[[V], float] | None = None,
        ttl: Life | None = None,
        maxentries: float | None = None,
        on_remove: OnRemove[K, V] | None = None,
    ) -> None:
        if maxsize < 0:
            raise ValueError("maxsize must be non-negative")
        if maxentries is not None and maxentries < 0:
            raise ValueError("maxentries must be non-negative")
        if ttu is not None and ttl is not None:
            raise ValueError("give either ttu or ttl: each says when an item is over")
        self._maxsize = maxsize
        self._maxentries = INFINITY if maxentries is None else maxentries
        self._ttu = ttu
        self._ttl = ttl
        self._getsizeof = getsizeof
        self._measured = getsizeof is not None or self._size_hooked
        self._timer = FreezableTimer(timer)
        self._counts = Counters()
        self._removals: RemovalQueue[K, V] = RemovalQueue(on_remove)
        self._use_store(Store())

    # --- reading -----------------------------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        """The value of a key, which becomes the most recently used; else `__missing__`. O(1)."""
        entries = self._entries
        item = entries.get(key)
        if item is not None:
            expires = item.expires
            if expires is None or self._timer.read_now() < expires:
                entries.move_to_end(key)
                self._counts.hits += 1
                return item.value
        self._counts.misses += 1
        return self.__missing__(key)

    def __missing__(self, key: K) -> V:
        """What `cache[key]` gives for an absent key: a KeyError, unless a subclass knows better."""
        raise KeyError(key)

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: V) -> V: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value of a key, which becomes the most recently used, or `default`. O(1)."""
        if self._lookup_hooked:
            return self._get_through_hooks(key, default)
        # Not by way of `__getitem__`: a call and, for a miss, an exception would double the cost.
        entries = self._entries
        item = entries.get(key)
        if item is not None:
            expires = item.expires
            if expires is None or self._timer.read_now() < expires:
                entries.move_to_end(key)
                self._counts.hits += 1
                return item.value
        self._counts.misses += 1
        return default

    def _get_through_hooks(self, key: K, default: Any) -> Any:
        with self._timer:
            if key in self:
                return self[key]
        self._counts.misses += 1
        return default

    # --- writing -----------------------------------------------------------------------------

    def __setitem__(self, key: K, value: V) -> None:
        """Store a value for the usual life; it becomes the most recently used. O(log n).

        ValueError if it can never fit. A value whose life is over already is not stored, and ends
        the one that it would have replaced.
        """
        if self._removals.callback is None:
            self._put(key, value, UNSET)
        else:
            with self._removals:
                self._put(key, value, UNSET)

    def set(self, key: K, value: V, *, ttl: Life | Unset | None = UNSET) -> None:
        """Store a value as `cache[key] = value` does, for a life of its own. O(log n).

        `ttl` counts from now, None is for ever; without it the life is the usual one.
        """
        with self._removals:
            self._put(key, value, ttl)

    def _put(self, key: K, value: V, ttl: Life | Unset | None) -> None:
        """Store a value. The one way in, and written out in full because every write takes it."""
        now = self._timer.read_now()
        soonest = self._index.soonest
        if self._expire_hooked or (soonest is not None and not now < soonest):
            self.expire(now)
        if ttl is UNSET and self._ttu is not None:
            expires = self._ttu(key, value, now)
        else:
            expires = self._after(now, ttl)
        if expires is not None:
            if not now < expires:
                self._end(key)
                return
            if expires == INFINITY:
                expires = None
        size = self._measure(value) if self._measured else 1
        # Written so that a size that does not compare (nan) is refused too.
        if not size <= self._maxsize:
            raise ValueError("value too large")
        store, entries = self._store, self._entries
        item = entries.get(key)
        if item is None:
            if store.size + size > self._maxsize or len(entries) >= self._maxentries:
                item = self._make_room(key, size)
        elif size > item.size and store.size + size - item.size > self._maxsize:
            item = self._make_room(key, size)
        if item is None:
            store.put(key, Item(value, expires, size))
            self._counts.inserts += 1
        else:
            replaced = item.value
            store.renew(key, item, expires, size)
            item.value = value
            self._counts.replacements += 1
            if self._removals.callback is not None:
                self._removals.add(key, replaced, Removal.REPLACED)

    def _after(self, now: Ordered, ttl: Life | Unset | None) -> Ordered | None:
        life = self._ttl if ttl is UNSET else ttl
        # Asked before adding: a datetime cannot take an infinite number of seconds.
        return None if life is None or life == INFINITY else now + life

    def _measure(self, value: V) -> int:
        size: Any = self.getsizeof(value) if self._getsizeof is None else self._getsizeof(value)
        if size < 0:
            raise ValueError("value size must be non-negative")
        return cast(int, size)  # or another number: the store only adds sizes up

    def _make_room(self, key: K, size: int) -> Item[V] | None:
        """Evict the least recently used until an item of that size fits under that key.

        Called when it does not fit. Returns what the key holds then, which hooks may have changed.
        """
        if self._maxentries < 1:
            raise ValueError("value too large")
        store, entries = self._store, self._entries
        if key in entries:
            entries.move_to_end(key)  # it is being used, so it must not make room for itself
        while True:
            if self._evict_hooked:
                self._evict_through_hooks()
            else:
                victim, removed = store.pop_oldest()
                self._counts.evictions += 1
                if self._removals.callback is not None:
                    self._removals.add(victim, removed.value, Removal.EVICTED)
            item = entries.get(key)
            if item is None:
                if store.size + size <= self._maxsize and len(entries) < self._maxentries:
                    return None
            elif store.size + size - item.size <= self._maxsize:
                return item

    def _evict_through_hooks(self) -> None:
        before = self._store.size, len(self._entries)
        self.popitem()
        after = self._store.size, len(self._entries)
        if after[0] >= before[0] and after[1] >= before[1]:
            raise RuntimeError(
                f"{type(self).__name__}.popitem() made no room: it must remove an item"
            )

    def __delitem__(self, key: K) -> None:
        """Remove a key; KeyError if it is absent. O(log n)."""
        with self._removals:
            self._purge()
            item = self._store.remove(key)
            if item is None:
                raise KeyError(key)
            evicted = item is self._victim
            self._gone(key, item, Removal.EVICTED if evicted else Removal.DELETED)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: V) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = UNSET) -> Any:
        """Remove a key and return its value; `default`, or KeyError, if it is absent. O(log n)."""
        with self._removals, self._timer:
            if key in self:
                value = self[key]
                del self[key]
                return value
            self._purge()
            self._counts.misses += 1
        if default is UNSET:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[K, V]:
        """Remove and return the live item least recently used; KeyError if empty. O(log n).

        Eviction goes through this method, so a subclass may override it to see what is evicted.
        """
        with self._removals, self._timer:
            self._purge()
            if not self._entries:
                raise KeyError(f"{type(self).__name__} is empty")
            if self._delete_hooked:
                return self._popitem_through_hooks()
            key, item = self._store.pop_oldest()
            self._gone(key, item, Removal.EVICTED)
            return key, item.value

    def _popitem_through_hooks(self) -> tuple[K, V]:
        key = next(iter(self._entries))
        item = self._entries[key]
        self._victim = item
        try:
            del self[key]
        finally:
            self._victim = None
        return key, item.value

    @overload
    def setdefault(self: TLRUCache[K, D | None], key: K, default: None = None) -> D | None: ...
    @overload
    def setdefault(self, key: K, default: V) -> V: ...
    def setdefault(self, key: K, default: Any = None) -> Any:
        """The value of a key; if it is absent, `default`, which is stored. O(log n)."""
        with self._removals, self._timer:
            if key in self:
                return self[key]
            self._counts.misses += 1
            self[key] = default
            return default

    def touch(self, key: K, *, ttl: Life | Unset | None = UNSET) -> bool:
        """Begin the life of a key anew, as a use of it; False if it is absent. O(log n).

        `ttl` is as in `set`. A life of nothing, or less, ends the item.
        """
        with self._removals:
            self._purge()
            now = self._timer.read_now()
            item = self._entries.get(key)
            if item is None:
                return False
            if ttl is UNSET and self._ttu is not None:
                expires = self._ttu(key, item.value, now)
            else:
                expires = self._after(now, ttl)
            if self._entries.get(key) is not item:
                return False  # `ttu` itself took the item away or replaced it
            if expires is not None and not now < expires:
                self._end(key)
                return True
            self._store.reschedule(key, item, None if expires == INFINITY else expires)
            self._entries.move_to_end(key)
            return True

    def expire(self, time: Ordered | None = None) -> list[tuple[K, V]]:
        """Remove and return what is over now, or at `time`, in the order in which it ended.

        O(log n) for each item returned, amortised. Every write comes here first if something is
        over, and always if a subclass overrides it, which it may to see what expires.
        """
        with self._removals:
            over = self._store.due(self._timer.read_now() if time is None else time)
            for key, item in over:
                self._gone(key, item, Removal.EXPIRED)
            return [(key, item.value) for key, item in over]

    def clear(self) -> None:
        """Remove everything. O(n)."""
        with self._removals:
            self._purge()
            self._counts.cleared += len(self._entries)
            if self._removals.callback is not None:
                for key, item in self._entries.items():
                    self._removals.add(key, item.value, Removal.CLEARED)
            self._store.clear()

    def _end(self, key: K) -> None:
        """End the life of a key now."""
        item = self._store.remove(key)
        if item is not None:
            self._gone(key, item, Removal.EXPIRED)

    def _gone(self, key: K, item: Item[V], reason: Removal) -> None:
        self._counts.count(reason)
        if self._removals.callback is not None:
            self._removals.add(key, item.value, reason)

    def reset_stats(self) -> None:
        """Count from nothing again. O(1)."""
        self._counts = Counters()
