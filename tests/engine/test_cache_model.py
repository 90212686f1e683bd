"""`TLRUCache` against a model that is plain enough to be read: every method, every clock."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.engine.cache_helpers import Clock, Listener, buckets_of, unhurried
from tlru.engine.cache import TLRUCache
from tlru.engine.removal import Removal
from tlru.engine.stats import CacheStats

COUNTED_AS = {
    Removal.EXPIRED: "expirations",
    Removal.EVICTED: "evictions",
    Removal.DELETED: "deletions",
    Removal.REPLACED: "replacements",
    Removal.CLEARED: "cleared",
}


class Value(NamedTuple):
    """A value that says how long it wants to live and how large it is."""

    name: int
    life: float | None
    size: int


@dataclass
class Kept:
    """What the model knows of an item; `tie` numbers the keys as they are given an expiry."""

    value: Value
    expires: float | None
    size: int
    tie: int


class Model:
    """What the cache promises, done the slow way: everything is looked at each time."""

    def __init__(
        self,
        clock: Clock,
        maxsize: float,
        maxentries: float,
        life_of: Callable[[Value], float | None],
        size_of: Callable[[Value], int],
    ) -> None:
        self.clock = clock
        self.maxsize = maxsize
        self.maxentries = maxentries
        self.life_of = life_of
        self.size_of = size_of
        self.items: dict[str, Kept] = {}  # least recently used first
        self.heard: list[tuple[str, Value, Removal]] = []
        self.counts = dict.fromkeys(CacheStats.__dataclass_fields__, 0)
        self.ties = 0

    def remove(self, key: str, reason: Removal) -> Value:
        value = self.items.pop(key).value
        self.report(key, value, reason)
        return value

    def report(self, key: str, value: Value, reason: Removal) -> None:
        self.heard.append((key, value, reason))
        self.counts[COUNTED_AS[reason]] += 1

    def live(self, key: str, now: float | None = None) -> Kept | None:
        item = self.items.get(key)
        now = self.clock.now if now is None else now
        return item if item and (item.expires is None or item.expires > now) else None

    def expire(self, now: float | None = None) -> list[tuple[str, Value]]:
        over = [key for key in self.items if self.live(key, now) is None]
        over.sort(key=lambda key: (self.items[key].expires, self.items[key].tie))
        return [(key, self.remove(key, Removal.EXPIRED)) for key in over]

    def look_up(self, key: str) -> Value | None:
        item = self.live(key)
        self.counts["misses" if item is None else "hits"] += 1
        if item is None:
            return None
        self.items[key] = self.items.pop(key)
        return item.value

    def expiry(self, life: float | None) -> tuple[bool, float | None]:
        """Whether such a life is over at once, and when it is over."""
        if life is None or life == math.inf:
            return False, None
        return life <= 0, self.clock.now + life

    def tie(self, expires: float | None, before: Kept | None) -> int:
        if expires is None:
            return 0
        if before is not None and before.expires is not None:
            return before.tie
        self.ties += 1
        return self.ties

    def put(self, key: str, value: Value, life: float | None) -> bool:
        """Store a value; False if it can never fit."""
        self.expire()
        over, expires = self.expiry(life)
        if over:
            if key in self.items:
                self.remove(key, Removal.EXPIRED)
            return True
        size = self.size_of(value)
        if size > self.maxsize or self.maxentries < 1:
            return False
        before = self.items.pop(key, None)
        while (
            sum(item.size for item in self.items.values()) + size > self.maxsize
            or len(self.items) + 1 > self.maxentries
        ):
            self.remove(next(iter(self.items)), Removal.EVICTED)
        self.items[key] = Kept(value, expires, size, self.tie(expires, before))
        if before is None:
            self.counts["inserts"] += 1
        else:
            self.report(key, before.value, Removal.REPLACED)
        return True

    def touch(self, key: str, life: float | None) -> bool:
        self.expire()
        item = self.items.get(key)
        if item is None:
            return False
        over, expires = self.expiry(life)
        if over:
            self.remove(key, Removal.EXPIRED)
            return True
        item.tie = self.tie(expires, item)
        item.expires = expires
        self.items[key] = self.items.pop(key)
        return True


KEYS = st.sampled_from("abcdefgh")
LIVES = st.none() | st.integers(-1, 8) | st.just(math.inf)
VALUES = st.builds(Value, st.integers(0, 99), LIVES, st.integers(0, 5))


class CacheAgainstModel(RuleBasedStateMachine):
    """Each rule does the same to a cache and to the model, and compares what comes back."""

    @initialize(
        maxsize=st.integers(0, 12) | st.just(math.inf),
        maxentries=st.none() | st.integers(0, 5),
        lives=st.sampled_from(["ttu", "ttl", "for ever"]),
        ttl=st.integers(-1, 6),
        measured=st.booleans(),
        listened=st.booleans(),
        bucket=st.integers(2, 4),
    )
    def begin(
        self,
        maxsize: float,
        maxentries: int | None,
        lives: str,
        ttl: int,
        measured: bool,
        listened: bool,
        bucket: int,
    ) -> None:
        self.patch = buckets_of(bucket)
        self.patch.__enter__()
        self.clock = Clock()
        self.listener = Listener() if listened else None

        def ttu(key: str, value: Value, now: float) -> float | None:
            return None if value.life is None else now + value.life

        self.cache: TLRUCache[str, Value] = TLRUCache(
            maxsize,
            ttu if lives == "ttu" else None,
            timer=self.clock,
            ttl=ttl if lives == "ttl" else None,
            getsizeof=(lambda value: value.size) if measured else None,
            maxentries=maxentries,
            on_remove=self.listener,
        )
        self.model = Model(
            self.clock,
            maxsize,
            math.inf if maxentries is None else maxentries,
            {"ttu": lambda value: value.life, "ttl": lambda _: ttl, "for ever": lambda _: None}[
                lives
            ],
            (lambda value: value.size) if measured else lambda _: 1,
        )

    # --- time ---

    @rule(by=st.integers(1, 5))
    def time_passes(self, by: int) -> None:
        self.clock.advance(by)

    @rule()
    def expire(self) -> None:
        assert self.cache.expire() == self.model.expire()

    @rule(ahead=st.integers(-3, 6))
    def expire_as_of(self, ahead: int) -> None:
        time = self.clock.now + ahead
        assert self.cache.expire(time) == self.model.expire(time)

    # --- writes ---

    def fits(self, stored: bool, store: Callable[[], None]) -> None:
        if stored:
            store()
        else:
            with pytest.raises(ValueError, match="value too large"):
                store()

    @rule(key=KEYS, value=VALUES)
    def set_item(self, key: str, value: Value) -> None:
        stored = self.model.put(key, value, self.model.life_of(value))
        self.fits(stored, lambda: self.cache.__setitem__(key, value))

    @rule(key=KEYS, value=VALUES, ttl=LIVES)
    def set_with_a_life(self, key: str, value: Value, ttl: float | None) -> None:
        stored = self.model.put(key, value, ttl)
        self.fits(stored, lambda: self.cache.set(key, value, ttl=ttl))

    @rule(key=KEYS, value=VALUES)
    def setdefault(self, key: str, value: Value) -> None:
        found = self.model.look_up(key)
        if found is None:
            stored = self.model.put(key, value, self.model.life_of(value))
            self.fits(stored, lambda: self.gave(self.cache.setdefault(key, value), value))
        else:
            assert self.cache.setdefault(key, value) == found

    def gave(self, got: Value, expected: Value) -> None:
        assert got == expected

    @rule(key=KEYS)
    def touch(self, key: str) -> None:
        item = self.model.live(key)
        life = None if item is None else self.model.life_of(item.value)
        assert self.cache.touch(key) == self.model.touch(key, life)

    @rule(key=KEYS, ttl=LIVES)
    def touch_with_a_life(self, key: str, ttl: float | None) -> None:
        assert self.cache.touch(key, ttl=ttl) == self.model.touch(key, ttl)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.model.expire()
        if key in self.model.items:
            del self.cache[key]
            self.model.remove(key, Removal.DELETED)
        else:
            with pytest.raises(KeyError):
                del self.cache[key]

    @rule(key=KEYS, lenient=st.booleans())
    def pop(self, key: str, lenient: bool) -> None:
        found = self.model.look_up(key)
        self.model.expire()
        if found is not None:
            assert self.cache.pop(key) == found
            self.model.remove(key, Removal.DELETED)
        elif lenient:
            assert self.cache.pop(key, 17) == 17
        else:
            with pytest.raises(KeyError):
                self.cache.pop(key)

    @rule()
    def popitem(self) -> None:
        self.model.expire()
        if self.model.items:
            key = next(iter(self.model.items))
            assert self.cache.popitem() == (key, self.model.remove(key, Removal.EVICTED))
        else:
            with pytest.raises(KeyError, match="TLRUCache is empty"):
                self.cache.popitem()

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.expire()
        for key in list(self.model.items):
            self.model.remove(key, Removal.CLEARED)

    # --- reads ---

    @rule(key=KEYS)
    def get_item(self, key: str) -> None:
        found = self.model.look_up(key)
        if found is None:
            with pytest.raises(KeyError, match=key):
                self.cache[key]
        else:
            assert self.cache[key] == found

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        found = self.model.look_up(key)
        assert self.cache.get(key, 17) == (17 if found is None else found)

    @rule(key=KEYS)
    def look_without_use(self, key: str) -> None:
        item = self.model.live(key)
        assert (key in self.cache) == (item is not None)
        assert self.cache.peek(key, 17) == (17 if item is None else item.value)
        if item is None:
            for question in (self.cache.expires, self.cache.ttl_left):
                with pytest.raises(KeyError, match=key):
                    question(key)
        else:
            left = None if item.expires is None else item.expires - self.clock.now
            assert self.cache.expires(key) == item.expires
            assert self.cache.ttl_left(key) == left

    @rule()
    def measure(self) -> None:
        self.model.expire()
        assert len(self.cache) == len(self.model.items)
        assert self.cache.currsize == sum(item.size for item in self.model.items.values())

    @rule()
    def show(self) -> None:
        self.model.expire()
        values = {key: item.value for key, item in self.model.items.items()}
        size = sum(item.size for item in self.model.items.values())
        bound = "" if self.cache.maxentries is None else f", maxentries={self.cache.maxentries}"
        assert repr(self.cache) == (
            f"TLRUCache({values}, maxsize={self.cache.maxsize}, currsize={size}{bound})"
        )

    # --- all of it ---

    @rule()
    def reset_stats(self) -> None:
        self.cache.reset_stats()
        self.model.counts = dict.fromkeys(self.model.counts, 0)

    @rule()
    def go_on_with_a_copy(self) -> None:
        """A copy has the same items, order, lives and counts, and shares nothing that changes."""
        original, self.cache = self.cache, copy.copy(self.cache)
        original.clear()
        if self.listener is not None:
            self.listener.take()

    @invariant()
    def what_was_heard_is_what_happened_in_order(self) -> None:
        if self.listener is not None:
            assert self.listener.take() == self.model.heard
        self.model.heard.clear()

    @invariant()
    def the_cache_is_consistent_and_shows_what_the_model_shows(self) -> None:
        self.cache.check()
        # By way of iter(): list() asks for the length first, which removes what is over.
        live = {k: item.value for k, item in self.model.items.items() if self.model.live(k)}
        assert list(iter(self.cache.items())) == list(live.items())
        assert list(iter(self.cache.values())) == list(live.values())
        assert list(iter(self.cache)) == list(live)
        assert list(self.cache.victims()) == list(live)
        assert self.cache.stats() == CacheStats(**self.model.counts)

    def teardown(self) -> None:
        self.patch.__exit__(None, None, None)


CacheAgainstModel.TestCase.settings = settings(unhurried, max_examples=150, stateful_step_count=50)
TestCacheAgainstModel: Any = CacheAgainstModel.TestCase
