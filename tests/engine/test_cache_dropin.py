"""Code written for cachetools runs unchanged on ours: the same scenarios through both, compared."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, MutableMapping
from datetime import datetime, timedelta
from typing import Any

import cachetools
import cachetools.keys
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tlru.cache
from tests.engine.cache_helpers import Clock, unhurried

KEYS = st.sampled_from("abcdef")
SIZES = st.integers(0, 6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set", "setdefault"]), KEYS, SIZES),
        st.tuples(st.sampled_from(["[]", "get", "in", "del", "pop", "pop or 17"]), KEYS, SIZES),
        st.tuples(
            st.sampled_from(["popitem", "len", "currsize", "clear", "items", "pass", "freeze"]),
            KEYS,
            SIZES,
        ),
    ),
    min_size=15,
    max_size=60,
)

DAY = timedelta(days=1)


class Logged:
    """Mixed into both sides: what people do with `popitem` to see what is evicted."""

    evicted: list[Any]

    def popitem(self) -> Any:
        item = super().popitem()  # type: ignore[misc]  # of the cache it is mixed into
        self.evicted.append(item)
        return item


def perform(cache: Any, clock: Clock, unit: Any, step: tuple[str, str, int]) -> Any:
    """What one step gives, or the error that it raises."""
    name, key, size = step
    actions: dict[str, Callable[[], Any]] = {
        "set": lambda: cache.__setitem__(key, (key, size)),
        "setdefault": lambda: cache.setdefault(key, (key, size)),
        "[]": lambda: cache[key],
        "get": lambda: cache.get(key, 17),
        "in": lambda: key in cache,
        "del": lambda: cache.__delitem__(key),
        "pop": lambda: cache.pop(key),
        "pop or 17": lambda: cache.pop(key, 17),
        "popitem": lambda: cache.popitem(),
        "len": lambda: len(cache),
        "currsize": lambda: cache.currsize,
        "clear": lambda: cache.clear(),
        "items": lambda: contents(cache),
        "pass": lambda: clock.advance(size * unit),
        "freeze": lambda: frozen(cache, clock, unit),
    }
    try:
        return actions[name]()
    except (KeyError, ValueError) as error:
        return type(error), str(error).replace("Their", "")


def contents(cache: Any) -> list[Any]:
    """All items, read in one order: theirs become used by `items()`, in no order to rely on."""
    return [(key, cache[key]) for key in sorted(cache)]


def frozen(cache: Any, clock: Clock, unit: Any) -> Any:
    """Nothing ends while the timer is held, however the clock moves on."""
    with cache.timer as outer:
        clock.advance(3 * unit)
        with cache.timer as inner:
            return outer == inner == cache.timer(), len(cache), sorted(cache)


def compare(theirs: Any, ours: Any, clock: Clock, unit: Any, steps: list[Any]) -> None:
    theirs.evicted, ours.evicted = [], []
    for step in steps:
        before = clock.now
        expected = perform(theirs, clock, unit, step)
        clock.now = before
        assert perform(ours, clock, unit, step) == expected, step
        assert sorted(ours) == sorted(theirs)
        ours.check()
    assert len(ours) == len(theirs)
    assert ours.currsize == theirs.currsize
    if ours.getsizeof(("", 2)) == 1:
        # Where sizes differ theirs may evict the very key that is being written, ours does not.
        assert ours.evicted == theirs.evicted
    assert contents(ours) == contents(theirs)
    assert sorted(ours.items()) == contents(theirs)
    while theirs:
        assert ours.popitem() == theirs.popitem()


def second(value: tuple[str, int]) -> int:
    return value[1]


@unhurried
@given(STEPS, st.integers(0, 9), st.booleans())
def test_an_lru_cache_does_what_theirs_does(steps: list[Any], maxsize: int, measured: bool) -> None:
    class TheirLRUCache(Logged, cachetools.LRUCache[str, Any]):
        pass

    class LRUCache(Logged, tlru.cache.LRUCache[str, Any]):
        pass

    arguments = (maxsize, second) if measured else (maxsize,)
    timeless = [step for step in steps if step[0] != "freeze"]
    compare(TheirLRUCache(*arguments), LRUCache(*arguments), Clock(), 1, timeless)


@unhurried
@given(STEPS, st.integers(0, 9), st.integers(1, 9), st.booleans(), st.booleans())
def test_a_ttl_cache_does_what_theirs_does(
    steps: list[Any], maxsize: int, ttl: int, measured: bool, dated: bool
) -> None:
    class TheirTTLCache(Logged, cachetools.TTLCache[str, Any, Any]):
        pass

    class TTLCache(Logged, tlru.cache.TTLCache[str, Any]):
        pass

    clock = Clock(datetime(2030, 1, 1) if dated else 0)
    unit = DAY if dated else 1
    measure = second if measured else None
    theirs = TheirTTLCache(maxsize, ttl * unit, clock, measure)
    compare(theirs, TTLCache(maxsize, ttl * unit, clock, measure), clock, unit, steps)


@unhurried
@given(STEPS, st.integers(0, 9), st.booleans(), st.booleans())
def test_a_tlru_cache_does_what_theirs_does(
    steps: list[Any], maxsize: int, measured: bool, dated: bool
) -> None:
    """The life of a value is its size less one, so that some are over when they come."""

    class TheirTLRUCache(Logged, cachetools.TLRUCache[str, Any, Any]):
        pass

    class TLRUCache(Logged, tlru.cache.TLRUCache[str, Any]):
        pass

    clock = Clock(datetime(2030, 1, 1) if dated else 0)
    unit: Any = DAY if dated else 1

    def ttu(key: str, value: Any, now: Any) -> Any:
        return now + (value[1] - 1) * unit

    measure = second if measured else None
    theirs = TheirTLRUCache(maxsize, ttu, clock, measure)
    compare(theirs, TLRUCache(maxsize, ttu, clock, measure), clock, unit, steps)


@pytest.mark.parametrize("name", ["LRUCache", "TTLCache", "TLRUCache"])
def test_the_arguments_have_their_names_their_order_and_their_defaults(name: str) -> None:
    theirs = inspect.signature(getattr(cachetools, name).__init__).parameters
    ours = inspect.signature(getattr(tlru.cache, name).__init__).parameters
    shared = {p.name: p for p in ours.values() if p.kind is not p.KEYWORD_ONLY}
    assert list(shared) == list(theirs)
    for parameter in theirs.values():
        if parameter.default is not parameter.empty:
            assert shared[parameter.name].default is parameter.default


@pytest.mark.parametrize("name", ["LRUCache", "TTLCache", "TLRUCache"])
def test_every_public_name_of_theirs_is_there(name: str) -> None:
    theirs = {n for n in dir(getattr(cachetools, name)) if not n.startswith("_")}
    assert theirs <= set(dir(getattr(tlru.cache, name)))


def caches(module: Any, clock: Clock) -> list[Any]:
    """One of each of a module's three, with room for three, and a life of ten."""
    return [
        module.LRUCache(3),
        module.TTLCache(3, 10, clock),
        module.TLRUCache(3, lambda key, value, now: now + 10, clock),
    ]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_texts_are_the_same(which: int) -> None:
    clock = Clock()
    texts = []
    for module in (cachetools, tlru.cache):
        cache = caches(module, clock)[which]
        cache.update(a=1, b=2)
        texts.append([repr(cache)])
        with pytest.raises(KeyError) as absent:
            cache["x"]
        with pytest.raises(KeyError) as empty:
            cache.clear() or cache.popitem()
        texts[-1] += [str(absent.value), str(empty.value)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_negative_maxsize_is_refused(which: int) -> None:
    for module in (cachetools, tlru.cache):
        makers = [
            lambda m=module: m.LRUCache(-1),
            lambda m=module: m.TTLCache(-1, 1),
            lambda m=module: m.TLRUCache(-1, None),
        ]
        with pytest.raises(ValueError, match="maxsize must be non-negative"):
            makers[which]()


def test_a_negative_size_is_refused_and_a_size_that_is_no_number_too() -> None:
    cache = tlru.cache.LRUCache[str, float](10, getsizeof=lambda value: value)
    cache["a"] = 3
    with pytest.raises(ValueError, match="non-negative"):
        cache["b"] = -1
    with pytest.raises(ValueError, match="too large"):
        cache["b"] = float("nan")
    assert dict(cache) == {"a": 3}
    cache.check()


def test_the_facts_of_a_cache_can_be_read() -> None:
    def ttu(key: str, value: int, now: float) -> float:
        return now + value

    clock = Clock()
    assert tlru.cache.TTLCache[str, int](5, 10, clock).ttl == 10
    cache = tlru.cache.TLRUCache[str, int](5, ttu, clock)
    assert (cache.ttu, cache.maxsize, cache.currsize, cache.timer()) == (ttu, 5, 0, 0)
    assert cache.getsizeof(7) == 1
    assert tlru.cache.LRUCache[str, int](5, getsizeof=lambda value: value).getsizeof(7) == 7


def test_the_timer_passes_on_what_else_the_wrapped_one_offers() -> None:
    clock = Clock()
    cache = tlru.cache.TTLCache[str, int](5, 10, clock)
    cache.timer.advance(4)
    assert clock.now == cache.timer() == 4
    with pytest.raises(AttributeError):
        _ = cache.timer.nonsense


def test_the_usual_clock_is_monotonic_time() -> None:
    cache = tlru.cache.TTLCache[str, int](5, 3600)
    cache["a"] = 1
    assert 0 < cache.ttl_left("a") <= 3600


# --- the decorators of cachetools ------------------------------------------------------------


def decorated(cache: MutableMapping[Any, Any], **options: Any) -> tuple[Any, list[int]]:
    calls: list[int] = []

    @cachetools.cached(cache, **options)
    def double(n: int) -> int:
        calls.append(n)
        return 2 * n

    return double, calls


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lock": threading.RLock()},
        {"condition": threading.Condition()},
        {"key": cachetools.keys.typedkey},
        {"info": True},
    ],
    ids=["plain", "lock", "condition", "key", "info"],
)
def test_the_decorator_of_cachetools_works_with_ours(options: dict[str, Any]) -> None:
    clock = Clock()
    double, calls = decorated(tlru.cache.TTLCache[Any, int](2, 10, clock), **options)
    assert [double(1), double(1), double(2), double(3), double(1)] == [2, 2, 4, 6, 2]
    assert calls == [1, 2, 3, 1]
    clock.advance(10)
    assert double(1) == 2
    assert calls == [1, 2, 3, 1, 1]
    double.cache_clear()
    assert len(double.cache) == 0


def test_a_value_that_does_not_fit_is_given_without_being_kept() -> None:
    """The decorator relies on ValueError for that."""
    double, calls = decorated(tlru.cache.LRUCache[Any, int](3, getsizeof=lambda value: value))
    assert [double(1), double(2), double(2)] == [2, 4, 4]
    assert calls == [1, 2, 2]


def test_methods_may_be_cached_too() -> None:
    class Doubler:
        def __init__(self) -> None:
            self.cache = tlru.cache.LRUCache[Any, int](2)
            self.calls = 0

        @cachetools.cachedmethod(lambda self: self.cache)
        def double(self, n: int) -> int:
            self.calls += 1
            return 2 * n

    doubler = Doubler()
    assert [doubler.double(4), doubler.double(4)] == [8, 8]
    assert doubler.calls == 1
