"""Where cachetools, in one release or another, does what its users do not expect; ours must not.

Each docstring says what happens there. Their behaviour itself is not asserted: they may mend it.
"""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.cache_helpers import Clock, Listener, unhurried
from tlru.cache import LRUCache, Removal, TLRUCache, TTLCache


class Thing:
    """A key or value whose end can be observed."""


def ttu(key: Any, life: float, now: float) -> float:
    return now + life


def test_a_value_that_is_already_over_ends_the_one_before() -> None:
    """In cachetools 5 the old value stayed and was served on."""
    cache = TLRUCache[str, float](5, ttu, Clock())
    cache["a"] = 10
    cache["a"] = 0
    assert "a" not in cache
    assert (len(cache), cache.currsize) == (0, 0)
    cache["b"] = -1  # and where there is none before, nothing happens
    assert "b" not in cache
    cache.check()


def test_deleting_what_is_over_raises_once_and_leaves_nothing_behind() -> None:
    """An absent key is a KeyError, and then the item is gone in truth."""
    clock = Clock()
    cache = TTLCache[str, int](5, 10, clock)
    cache["a"] = 1
    clock.advance(10)
    with pytest.raises(KeyError):
        del cache["a"]
    assert cache.expire() == []
    cache.check()


def test_an_iterator_that_is_left_alone_does_not_stop_the_time() -> None:
    """There the timer stands still for as long as somebody holds an unfinished iterator."""
    clock = Clock()
    cache = TTLCache[str, int](5, 10, clock)
    cache.update(a=1, b=2)
    unfinished = iter(cache)
    assert next(unfinished) == "a"
    clock.advance(10)
    assert cache.timer() == 10
    assert "a" not in cache
    assert list(unfinished) == []


def test_what_ends_during_a_walk_is_left_out_and_raises_nothing() -> None:
    clock = Clock()
    cache = TLRUCache[str, float](9, ttu, clock)
    cache.update({"a": 9, "b": 2, "c": 9})
    seen = []
    for key, value in cache.items():
        seen.append((key, value))
        clock.advance(2)
    assert seen == [("a", 9), ("c", 9)]


def test_a_walk_does_not_mind_what_is_done_to_the_cache_meanwhile() -> None:
    """There a write in the loop raises RuntimeError, or shows a key twice, or not at all."""
    cache = LRUCache[int, int](99)
    cache.update({n: n for n in range(5)})
    seen = []
    for key in cache:
        seen.append(key)
        cache[key]  # use it: the order of use changes
        cache[key + 10] = key
        cache.pop(key + 1, None)
    assert seen == [0, 2, 4]


def test_a_walk_over_the_items_uses_nothing() -> None:
    """There `items()` makes every item used, in an order that means nothing."""
    cache = LRUCache[str, int](3)
    cache.update(a=1, b=2, c=3)
    assert list(cache.items()) == [("a", 1), ("b", 2), ("c", 3)]
    assert ("b", 2) in cache.items()
    assert ("b", 3) not in cache.items()
    odd: Any = "b"
    assert odd not in cache.items()
    assert 2 in cache.values()
    assert 4 not in cache.values()
    assert next(iter(cache.items())) == ("a", 1)
    assert cache.stats().hits == 0
    cache["d"] = 4
    assert "a" not in cache


def test_a_copy_is_independent_of_the_original() -> None:
    """There `copy.copy` gives a second cache around the same tables, and both break."""
    cache = TTLCache[str, int](2, 10, Clock())
    cache.update(a=1, b=2)
    other = copy.copy(cache)
    other["c"] = 3
    assert dict(cache) == {"a": 1, "b": 2}
    assert dict(other) == {"b": 2, "c": 3}
    cache.check()
    other.check()


def test_a_value_that_grows_does_not_evict_itself() -> None:
    """There the key that is written may be "evicted" first, which whoever listens believes."""
    listener = Listener()
    cache = LRUCache[str, str](5, len, on_remove=listener)
    cache.update(a="1", b="22", c="22")
    cache["a"] = "333"
    assert listener.heard == [("b", "22", Removal.EVICTED), ("a", "1", Removal.REPLACED)]
    assert dict(cache) == {"c": "22", "a": "333"}


@unhurried
@given(
    st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1)), max_size=60),
    st.floats(0, 1, exclude_min=True),
)
def test_sizes_that_are_fractions_never_make_the_cache_evict_from_nothing(
    writes: list[tuple[int, float]], maxsize: float
) -> None:
    """There what is left of rounding can keep a value out, with a KeyError from an empty cache."""
    cache = LRUCache[int, float](maxsize, getsizeof=lambda value: value)
    for key, size in writes:
        if size > maxsize:
            with pytest.raises(ValueError, match="too large"):
                cache[key] = size
        else:
            cache[key] = size
            assert cache[key] == size
        cache.check()


def test_nothing_remains_of_what_is_gone() -> None:
    """There deleted and evicted keys stay in a heap until enough of them have gathered."""
    gc.disable()
    try:
        clock = Clock()
        cache = TLRUCache[Any, Any](4, lambda key, value, now: now + 100, clock)
        keys = [Thing() for _ in range(9)]
        ends = [weakref.ref(key) for key in keys]
        for key in keys[:6]:
            cache[key] = Thing()
        del cache[keys[3]]
        cache.set(keys[4], Thing(), ttl=5)
        cache.pop(keys[5])
        clock.advance(5)
        cache.expire()
        assert list(cache) == [keys[2]]
        keys.clear()
        del key
        assert [end() is not None for end in ends] == [n == 2 for n in range(9)]
        cache.clear()
        assert not any(end() for end in ends)
    finally:
        gc.enable()


def test_a_replaced_value_is_let_go_at_once() -> None:
    cache = TTLCache[str, Thing](4, 100, Clock())
    thing = Thing()
    end = weakref.ref(thing)
    cache["a"] = thing
    del thing
    cache["a"] = Thing()
    assert end() is None


def test_a_popitem_that_removes_nothing_is_told_so() -> None:
    """There the write that needs room never returns."""

    class Stubborn(LRUCache[str, int]):
        def popitem(self) -> tuple[str, int]:
            return "a", 1

    cache = Stubborn(1)
    cache["a"] = 1
    with pytest.raises(RuntimeError, match=r"Stubborn\.popitem\(\) made no room"):
        cache["b"] = 2
    assert dict(cache) == {"a": 1}
    cache.check()


@pytest.mark.parametrize("failing", ["ttu", "getsizeof", "timer"])
def test_an_error_from_a_function_that_was_handed_in_changes_nothing(failing: str) -> None:
    broken = False

    def fail(name: str) -> None:
        if broken and name == failing:
            raise RuntimeError(name)

    def life(key: str, value: int, now: float) -> float:
        fail("ttu")
        return now + 10

    def size(value: int) -> int:
        fail("getsizeof")
        return value

    def timer() -> float:
        fail("timer")
        return 0.0

    listener = Listener()
    cache = TLRUCache[str, int](6, life, timer, size, on_remove=listener)
    cache.update(a=1, b=2, c=3)
    broken = True
    for key, value in (("a", 6), ("d", 4)):
        with pytest.raises(RuntimeError, match=failing):
            cache[key] = value
        with pytest.raises(RuntimeError, match=failing):
            cache.setdefault("e", value)
    if failing != "getsizeof":
        with pytest.raises(RuntimeError, match=failing):
            cache.touch("a")
    broken = False
    cache.check()
    assert list(cache.items()) == [("a", 1), ("b", 2), ("c", 3)]
    assert listener.heard == []


def test_a_value_too_large_leaves_everything_as_it_was() -> None:
    listener = Listener()
    cache = LRUCache[str, str](3, len, on_remove=listener)
    cache.update(a="1", b="2")
    for key in ("a", "new"):
        with pytest.raises(ValueError, match="value too large"):
            cache[key] = "4444"
    assert list(cache.items()) == [("a", "1"), ("b", "2")]
    assert listener.heard == []


def test_a_key_that_cannot_be_one_is_refused_without_a_trace() -> None:
    cache = TTLCache[Any, int](3, 10, Clock())
    with pytest.raises(TypeError):
        cache[[]] = 1
    with pytest.raises(TypeError):
        cache.get([])
    cache.check()
    assert len(cache) == 0
