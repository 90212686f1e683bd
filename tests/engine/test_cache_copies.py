"""Copies and pickles: the same items, order, lives and counts, and nothing shared that changes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.cache_helpers import Clock, Listener, buckets_of, unhurried
from tlru.cache import LRUCache, TLRUCache, TTLCache


def ten_more(key: str, value: Any, now: float) -> float:
    return now + 10


def length(value: str) -> int:
    return len(value)


Copy = Callable[[Any], Any]


def pickled(protocol: int) -> Copy:
    return lambda cache: pickle.loads(pickle.dumps(cache, protocol))


COPIES: dict[str, Copy] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": pickled(p) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}


class Named(TTLCache[str, str]):
    """A subclass with an attribute of its own."""

    def __init__(self, name: str, maxsize: float, ttl: float, timer: Clock) -> None:
        super().__init__(maxsize, ttl, timer, length)
        self.name = name


def make(kind: str, clock: Clock) -> Any:
    match kind:
        case "LRU":
            return LRUCache[str, str](6, length, maxentries=4)
        case "TTL":
            return TTLCache[str, str](6, 10, clock, length)
        case "TLRU":
            return TLRUCache[str, str](6, ten_more, clock, length, maxentries=4)
        case _:
            return Named("mine", 6, 10, clock)


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("kind", ["LRU", "TTL", "TLRU", "Named"])
def test_a_copy_has_everything_and_shares_nothing(kind: str, duplicate: Copy) -> None:
    clock = Clock()
    cache = make(kind, clock)
    cache.update(a="1", b="22", c="333")
    clock.advance(3)
    cache["a"]
    other = duplicate(cache)
    assert type(other) is type(cache)
    assert list(other.items()) == [("b", "22"), ("c", "333"), ("a", "1")]
    for fact in ("maxsize", "maxentries", "currsize", "ttl", "ttu"):
        assert getattr(other, fact) == getattr(cache, fact)
    assert [other.ttl_left(key) for key in other] == [cache.ttl_left(key) for key in cache]
    assert other.stats() == cache.stats()
    other["d"] = "4444"
    other.check()
    cache.check()
    assert list(other) == ["a", "d"]
    assert list(cache) == ["b", "c", "a"]
    assert other.stats() != cache.stats()
    if kind == "Named":
        assert other.name == "mine"


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())
def test_a_copy_made_while_the_time_is_held_has_a_time_that_runs(duplicate: Copy) -> None:
    clock = Clock()
    cache = TTLCache[str, str](6, 10, clock)
    with cache.timer:
        other = duplicate(cache)
        other.timer.advance(4)
        assert (cache.timer(), other.timer()) == (0, 4)


@unhurried
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | st.integers(1, 3)), max_size=30),
    st.integers(2, 4),
)
def test_a_copy_lets_things_expire_in_the_same_order(
    writes: list[tuple[str, int | None]], bucket: int
) -> None:
    """Also where several are over at the same moment."""
    with buckets_of(bucket):
        cache = LRUCache[str, int](99, timer=Clock())
        for number, (key, ttl) in enumerate(writes):
            cache.set(key, number, ttl=ttl)
            cache.get(writes[number // 2][0])
        other = copy.copy(cache)
        other.check()
        assert list(other.items()) == list(cache.items())
        assert other.expire(2) == cache.expire(2)
        assert other.expire(9) == cache.expire(9)


def test_a_deep_copy_has_values_of_its_own_and_a_shallow_one_has_not() -> None:
    cache = LRUCache[str, list[int]](9)
    cache["a"] = [1]
    assert copy.copy(cache)["a"] is cache["a"]
    deep = copy.deepcopy(cache)
    assert (deep["a"], deep["a"] is cache["a"]) == ([1], False)


def test_a_cache_that_holds_itself_can_be_copied_and_pickled() -> None:
    cache = LRUCache[str, Any](9)
    cache["self"] = cache
    for duplicate in (copy.deepcopy, pickled(pickle.HIGHEST_PROTOCOL)):
        other = duplicate(cache)
        assert other["self"] is other
        other.check()


def test_a_callback_is_pickled_with_the_cache() -> None:
    cache = LRUCache[str, int](9, on_remove=Listener())
    cache["a"] = 1
    other = pickle.loads(pickle.dumps(cache))
    other.clear()
    assert len(cache) == 1


def test_what_is_over_when_a_pickle_is_read_is_absent() -> None:
    clock = Clock()
    cache = TTLCache[str, int](9, 10, clock)
    cache["a"] = 1
    other = pickle.loads(pickle.dumps(cache))
    other.timer.advance(10)
    assert "a" not in other
    assert len(other) == 0
    assert len(cache) == 1
