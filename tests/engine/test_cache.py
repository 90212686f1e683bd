"""`TLRUCache` beyond cachetools: lives of single items, two budgets, looking without using."""

from __future__ import annotations

import ast
import inspect
import itertools
import math
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tlru.cache
from tests.engine.cache_helpers import Clock, buckets_of
from tlru.cache import CacheStats, LRUCache, Removal, TLRUCache, TTLCache
from tlru.engine import cache as engine
from tlru.engine.store import Store


def test_an_item_may_have_a_life_of_its_own() -> None:
    clock = Clock()
    cache = TTLCache[str, int](9, 10, clock)
    cache["usual"] = 1
    cache.set("short", 2, ttl=3)
    cache.set("long", 3, ttl=30)
    cache.set("for ever", 4, ttl=None)
    cache.set("for ever too", 5, ttl=math.inf)
    cache.set("usual too", 6)
    lives = {key: cache.ttl_left(key) for key in cache}
    assert lives == {
        "usual": 10,
        "short": 3,
        "long": 30,
        "for ever": None,
        "for ever too": None,
        "usual too": 10,
    }
    clock.advance(10)
    assert list(cache) == ["long", "for ever", "for ever too"]


def test_a_ttu_of_none_or_infinity_is_no_expiry() -> None:
    lives: dict[str, float | None] = {"none": None, "infinite": math.inf, "short": 1}
    clock = Clock()
    cache = TLRUCache[str, int](9, lambda key, value, now: lives[key], clock)
    cache.update(none=1, infinite=2, short=3)
    assert [cache.expires(key) for key in cache] == [None, None, 1]
    clock.advance(10**9)
    assert list(cache) == ["none", "infinite"]


def test_a_cache_without_any_life_keeps_until_it_evicts() -> None:
    cache = TLRUCache[str, int](2)
    cache.update(a=1, b=2, c=3)
    assert list(cache.items()) == [("b", 2), ("c", 3)]
    assert cache.ttl_left("b") is None


def test_a_life_is_said_in_one_way_only() -> None:
    with pytest.raises(ValueError, match="either ttu or ttl"):
        TLRUCache[str, int](9, lambda key, value, now: now, ttl=10)


def test_a_touch_begins_the_life_anew_and_is_a_use() -> None:
    clock = Clock()
    cache = TTLCache[str, int](2, 10, clock)
    cache.update(a=1, b=2)
    clock.advance(6)
    assert cache.touch("a")
    assert (cache.ttl_left("a"), cache.ttl_left("b")) == (10, 4)
    assert cache.touch("b", ttl=1)
    assert cache.touch("a", ttl=None)
    clock.advance(1)
    assert not cache.touch("b")
    assert list(cache) == ["a"]
    assert cache.stats().hits == 0


def test_both_budgets_hold_at_once() -> None:
    cache = LRUCache[str, str](10, len, maxentries=3)
    cache.update(a="1", b="1", c="1", d="1")
    assert list(cache) == ["b", "c", "d"]  # three items, though there was room
    cache["e"] = "88888888"
    assert list(cache) == ["c", "d", "e"]
    cache["f"] = "999999999"
    assert list(cache) == ["f"]  # little room, though three items were allowed
    assert (cache.maxsize, cache.maxentries, cache.currsize) == (10, 3, 9)
    assert repr(cache) == "LRUCache({'f': '999999999'}, maxsize=10, currsize=9, maxentries=3)"


def test_a_budget_of_entries_alone() -> None:
    cache = LRUCache[str, int](math.inf, maxentries=2)
    cache.update(a=1, b=2, c=3)
    assert list(cache) == ["b", "c"]


@pytest.mark.parametrize("budget", [{"maxsize": 0}, {"maxsize": 9, "maxentries": 0}])
def test_a_budget_of_nothing_refuses_everything(budget: dict[str, float]) -> None:
    cache = LRUCache[str, int](**budget)  # type: ignore[arg-type]  # only numbers are passed
    with pytest.raises(ValueError, match="value too large"):
        cache["a"] = 1
    assert len(cache) == 0


def test_a_negative_budget_of_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="maxentries must be non-negative"):
        LRUCache[str, int](9, maxentries=-1)


def test_a_size_of_nothing_takes_no_room_but_counts_as_an_item() -> None:
    cache = LRUCache[int, int](0, lambda value: 0, maxentries=2)
    cache.update({1: 1, 2: 2, 3: 3})
    assert list(cache) == [2, 3]


def test_looking_is_no_use() -> None:
    clock = Clock()
    cache = TTLCache[str, int](2, 10, clock)
    cache.update(a=1, b=2)
    assert (cache.peek("a"), cache.peek("x"), cache.peek("x", 17)) == (1, None, 17)
    assert "a" in cache
    assert (cache.expires("a"), cache.ttl_left("a")) == (10, 10)
    cache["c"] = 3
    assert list(cache) == ["b", "c"]
    assert (cache.stats().hits, cache.stats().misses) == (0, 0)


def test_victims_come_in_the_order_in_which_they_would_go() -> None:
    clock = Clock()
    cache = TTLCache[str, int](9, 10, clock)
    cache.set("over", 0, ttl=1)
    cache.update(a=1, b=2, c=3)
    cache["a"]
    clock.advance(1)
    expected = list(cache.victims())
    assert expected == ["b", "c", "a"]
    assert [cache.popitem()[0] for _ in range(3)] == expected


def test_victims_must_be_taken_before_the_cache_is_used() -> None:
    cache = LRUCache[str, int](9)
    cache.update(a=1, b=2, c=3)
    for key in itertools.islice(cache.victims(), 2):
        cache.peek(key)
    victims = cache.victims()
    del cache[next(victims)]
    with pytest.raises(RuntimeError):
        next(victims)


def test_statistics_are_frozen_and_can_be_reset() -> None:
    cache = LRUCache[str, int](2)
    assert cache.stats().hit_rate == 0.0
    cache.update(a=1, b=2, c=3)
    cache["c"] = 4
    cache.get("c")
    cache.get("c")
    cache.get("c")
    cache.get("a")
    stats = cache.stats()
    assert stats == CacheStats(hits=3, misses=1, inserts=3, replacements=1, evictions=1)
    assert stats.hit_rate == 0.75
    with pytest.raises(AttributeError):
        stats.hits = 0  # type: ignore[misc]  # that it is refused is the point
    cache.reset_stats()
    assert cache.stats() == CacheStats()
    assert stats.hits == 3


def test_what_came_in_is_what_left_and_what_is_there() -> None:
    clock = Clock()
    cache = TTLCache[int, int](20, 7, clock)
    for n in range(200):
        cache[n * n % 37] = n
        cache.pop(n % 11, None)
        clock.advance(n % 3)
        if n == 150:
            cache.clear()
    stats = cache.stats()
    left = stats.evictions + stats.expirations + stats.deletions + stats.cleared
    assert min(stats.evictions + stats.expirations, stats.deletions, stats.cleared) > 0
    assert stats.inserts == left + len(cache._entries)


def test_expire_gives_what_is_over_in_the_order_in_which_it_ended() -> None:
    clock = Clock()
    cache = TLRUCache[str, int](9, lambda key, value, now: now + value, clock)
    cache.update(c=3, a=1, b=2, d=4, e=2)
    assert cache.expire() == []
    assert cache.expire(2) == [("a", 1), ("b", 2), ("e", 2)]
    clock.advance(4)
    assert cache.expire() == [("c", 3), ("d", 4)]


START = datetime(2030, 1, 1)


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        (0, 1),
        (0.5, 0.25),
        (Decimal("0.1"), Decimal("0.1")),
        (START, timedelta(hours=1)),
    ],
    ids=["int", "float", "Decimal", "datetime"],
)
def test_time_may_be_of_any_kind_that_orders_and_adds(start: Any, unit: Any) -> None:
    clock = Clock(start)
    cache = TLRUCache[str, int](9, lambda key, value, now: now + value * unit, clock)
    cache.update(a=1, b=2)
    cache.set("c", 3, ttl=3 * unit)
    cache.set("d", 4, ttl=math.inf)
    clock.advance(unit)
    assert [cache.ttl_left(key) for key in cache] == [unit, 2 * unit, None]
    assert cache.expire() == [("a", 1)]
    assert cache.touch("b", ttl=unit / 2)
    clock.advance(unit)
    assert list(cache) == ["c", "d"]
    cache.check()


def test_a_life_that_does_not_fit_the_timer_is_refused_without_a_trace() -> None:
    cache = TTLCache[str, int](9, 10, Clock(START))
    with pytest.raises(TypeError):
        cache["a"] = 1
    cache.set("b", 2, ttl=timedelta(1))
    assert dict(cache) == {"b": 2}
    cache.check()


def test_the_time_can_be_held_still_and_nested() -> None:
    clock = Clock()
    cache = TTLCache[str, int](9, 10, clock)
    cache["a"] = 1
    with cache.timer as outer:
        clock.advance(10)
        with cache.timer as inner:
            assert (outer, inner, cache.timer()) == (0, 0, 0)
        assert cache["a"] == 1
        assert len(cache) == 1
    assert cache.timer() == 10
    assert "a" not in cache


def test_the_time_runs_on_after_an_error_in_the_block() -> None:
    clock = Clock()
    cache = TTLCache[str, int](9, 10, clock)
    with pytest.raises(OSError, match="x"), cache.timer:
        raise OSError("x")
    clock.advance(3)
    assert cache.timer() == 3


def test_two_caches_are_equal_as_mappings_are() -> None:
    one, other = LRUCache[str, int](9), TTLCache[str, int](5, 10)
    one.update(a=1, b=2)
    other.update(b=2, a=1)
    assert one == other == {"a": 1, "b": 2}
    assert one != {"a": 1}


def test_a_cache_that_holds_itself_can_be_shown() -> None:
    cache = LRUCache[str, Any](2)
    cache["self"] = cache
    assert repr(cache) == "LRUCache({'self': ...}, maxsize=2, currsize=1)"


class CountedKey:
    """A key that counts how often it is hashed and compared."""

    work = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        CountedKey.work += 1
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        CountedKey.work += 1
        return isinstance(other, CountedKey) and self.number == other.number


def work(count: int) -> dict[str, float]:
    """Hashes and comparisons of keys for each operation on a full cache of `count`."""
    clock = Clock()
    cache = TTLCache[CountedKey, int](count, 10 * count, clock)
    keys = [CountedKey(n) for n in range(2 * count)]
    for key in keys[:count]:
        clock.advance(1)
        cache[key] = 1
    done = {}
    operations: dict[str, Any] = {
        "get": lambda n: cache.get(keys[n]),
        "miss": lambda n: cache.get(keys[count + n]),
        "overwrite": lambda n: cache.__setitem__(keys[n], 2),
        "evict": lambda n: cache.__setitem__(keys[count + n], 3),
        "delete": lambda n: cache.__delitem__(keys[count + n]),
    }
    for name, operation in operations.items():
        CountedKey.work = 0
        for n in range(count):
            clock.advance(1)
            operation(n)
        done[name] = CountedKey.work / count
    return done


def test_an_operation_looks_at_as_many_keys_in_a_large_cache_as_in_a_small_one() -> None:
    with buckets_of(64):  # so that the thousand has many buckets too
        small, large = work(1_000), work(16_000)
    assert large == pytest.approx(small, abs=1)
    assert max(large.values()) < 12


PUBLIC = [
    name
    for name in dir(engine.TLRUCache)
    if not name.startswith("_") and name not in {"keys", "update"}  # of Mapping
]


@pytest.mark.parametrize("name", [*PUBLIC, "__getitem__", "__setitem__", "__len__", "__iter__"])
def test_every_method_says_what_it_costs(name: str) -> None:
    if name == "getsizeof":
        return  # costs what the user's function costs
    attribute = inspect.getattr_static(engine.TLRUCache, name)
    assert "O(" in (attribute.__doc__ or ""), f"{name} does not say what it costs"


@pytest.mark.parametrize("name", [name for name in dir(Store) if not name.startswith("_")])
def test_every_method_of_the_store_says_what_it_costs(name: str) -> None:
    attribute = inspect.getattr_static(Store, name)
    if inspect.isfunction(attribute):
        assert "O(" in (attribute.__doc__ or "")


@pytest.mark.parametrize(
    "module", ["cache", "expiry", "inspection", "removal", "stats", "store", "timer"]
)
def test_the_engine_of_the_cache_knows_no_clock_and_does_nothing_outside(module: str) -> None:
    path = Path(inspect.getfile(engine)).with_name(f"{module}.py")
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert not imported & {"time", "os", "random", "asyncio", "socket", "threading"}


def test_the_public_module_exports_what_its_users_need() -> None:
    assert set(tlru.cache.__all__) == {
        "CacheStats",
        "LRUCache",
        "Removal",
        "TLRUCache",
        "TTLCache",
    }
    assert [reason.value for reason in Removal] == [
        "expired",
        "evicted",
        "deleted",
        "replaced",
        "cleared",
    ]
