"""`on_remove`: who hears what, in which order, when, and what becomes of errors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.cache_helpers import Clock, Listener
from tlru.cache import LRUCache, Removal, TLRUCache, TTLCache


class Failing(Listener):
    """A listener that fails for some keys, after it has heard."""

    def __init__(self, **errors: BaseException) -> None:
        super().__init__()
        self.errors = errors

    def __call__(self, key: Any, value: Any, reason: Removal) -> None:
        super().__call__(key, value, reason)
        if key in self.errors:
            raise self.errors[key]


def test_every_way_of_leaving_has_its_reason() -> None:
    clock, listener = Clock(), Listener()
    cache = TTLCache[str, int](3, 10, clock, on_remove=listener)
    cache["a"] = 1
    cache["a"] = 2
    cache.update(b=3, c=4, d=5)
    del cache["b"]
    cache.pop("c")
    cache.popitem()
    cache["e"] = 6
    clock.advance(10)
    cache["f"] = 7
    cache["g"] = 8
    cache.touch("g", ttl=0)
    cache.set("f", 9, ttl=-1)
    cache["h"] = 10
    cache.clear()
    assert listener.heard == [
        ("a", 1, Removal.REPLACED),
        ("a", 2, Removal.EVICTED),
        ("b", 3, Removal.DELETED),
        ("c", 4, Removal.DELETED),
        ("d", 5, Removal.EVICTED),
        ("e", 6, Removal.EXPIRED),
        ("g", 8, Removal.EXPIRED),
        ("f", 7, Removal.EXPIRED),
        ("h", 10, Removal.CLEARED),
    ]


def test_one_write_reports_what_was_over_first_then_what_it_evicted_then_what_it_replaced() -> None:
    clock, listener = Clock(), Listener()
    cache = TLRUCache[str, str](
        6, lambda key, value, now: now + len(value), clock, len, on_remove=listener
    )
    cache.update({"x": "1", "y": "22", "z": "333"})
    clock.advance(1)
    cache["z"] = "55555"
    assert listener.heard == [
        ("x", "1", Removal.EXPIRED),
        ("y", "22", Removal.EVICTED),
        ("z", "333", Removal.REPLACED),
    ]


def test_what_was_over_before_clear_is_not_reported_as_cleared() -> None:
    clock, listener = Clock(), Listener()
    cache = TLRUCache[str, int](9, lambda key, value, now: now + value, clock, on_remove=listener)
    cache.update(a=9, b=1, c=9)
    clock.advance(1)
    cache.clear()
    assert [(key, reason) for key, _, reason in listener.heard] == [
        ("b", Removal.EXPIRED),
        ("a", Removal.CLEARED),
        ("c", Removal.CLEARED),
    ]


def test_reads_report_nothing_though_they_meet_what_is_over() -> None:
    clock, listener = Clock(), Listener()
    cache = TTLCache[str, int](9, 1, clock, on_remove=listener)
    cache["a"] = 1
    clock.advance(1)
    assert (cache.get("a"), "a" in cache, cache.peek("a")) == (None, False, None)
    assert next(iter(cache.items()), None) is None
    assert listener.heard == []
    assert len(cache) == 0
    assert listener.heard == [("a", 1, Removal.EXPIRED)]


OPERATIONS: dict[str, Callable[[TTLCache[str, int]], object]] = {
    "set": lambda cache: cache.__setitem__("new", 1),
    "set with a life": lambda cache: cache.set("new", 1, ttl=3),
    "setdefault": lambda cache: cache.setdefault("new", 1),
    "delete": lambda cache: cache.__delitem__("b"),
    "pop": lambda cache: cache.pop("b"),
    "popitem": lambda cache: cache.popitem(),
    "clear": lambda cache: cache.clear(),
    "expire": lambda cache: cache.expire(100),
    "touch": lambda cache: cache.touch("b", ttl=0),
    "len": len,
    "currsize": lambda cache: cache.currsize,
    "repr": repr,
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_a_callback_finds_the_operation_done_and_the_cache_consistent(
    operation: Callable[[TTLCache[str, int]], object],
) -> None:
    """What the first callback sees is what is there after the operation."""
    clock = Clock()
    seen: list[dict[str, int]] = []

    def look(key: str, value: int, reason: Removal) -> None:
        cache.check()
        assert key not in cache
        seen.append(dict(cache.items()))

    cache = TTLCache[str, int](3, 10, clock, on_remove=look)
    cache.set("over", 0, ttl=1)
    cache.update(a=1, b=2)
    clock.advance(1)
    operation(cache)
    assert seen
    assert seen == [dict(cache.items())] * len(seen)


def test_a_callback_may_use_the_cache_and_what_it_causes_comes_last() -> None:
    """Here the first callback writes twice: its own evictions wait until the others are told."""
    clock = Clock()
    heard: list[tuple[str, Removal]] = []
    nested = 0

    def keep_busy(key: str, value: int, reason: Removal) -> None:
        nonlocal nested
        assert nested == 0, "a callback was called from within another"
        nested += 1
        heard.append((key, reason))
        if key == "a":
            cache["p"] = 1
            del cache["p"]
            cache["q"] = 2
        cache.check()
        nested -= 1

    cache = TTLCache[str, int](9, 10, clock, on_remove=keep_busy)
    cache.update(a=1, b=2, c=3)
    cache.clear()
    assert heard == [
        ("a", Removal.CLEARED),
        ("b", Removal.CLEARED),
        ("c", Removal.CLEARED),
        ("p", Removal.DELETED),
    ]
    assert dict(cache) == {"q": 2}


def test_a_callback_may_store_a_replaced_value_under_another_key() -> None:
    def keep_former(key: str, value: int, reason: Removal) -> None:
        if reason is Removal.REPLACED:
            cache[f"former {key}"] = value

    cache = LRUCache[str, int](9, on_remove=keep_former)
    cache["a"] = 1
    cache["a"] = 2
    assert dict(cache) == {"a": 2, "former a": 1}


def test_an_error_from_a_callback_comes_after_everything_is_done() -> None:
    listener = Failing(a=OSError("disk full"))
    cache = LRUCache[str, str](3, len, on_remove=listener)
    cache.update(a="1", b="2", c="3")
    with pytest.raises(OSError, match="disk full"):
        cache["d"] = "333"
    assert dict(cache) == {"d": "333"}
    assert [key for key, _, _ in listener.heard] == ["a", "b", "c"]
    cache.check()


def test_several_errors_come_as_a_group() -> None:
    first, second = OSError("a"), ValueError("c")
    cache = LRUCache[str, int](9, on_remove=Failing(a=first, c=second))
    cache.update(a=1, b=2, c=3)
    with pytest.raises(ExceptionGroup) as caught:
        cache.clear()
    assert caught.value.exceptions == (first, second)
    assert len(cache) == 0


def test_the_error_of_the_operation_itself_is_raised_and_tells_of_the_other() -> None:
    """The KeyError of a `del` must stay one, for that is what its caller waits for."""
    clock = Clock()
    cache = TTLCache[str, int](9, 10, clock, on_remove=Failing(a=OSError("disk full")))
    cache["a"] = 1
    clock.advance(10)
    with pytest.raises(KeyError, match="a") as caught:
        del cache["a"]
    assert caught.value.__notes__ == ["on_remove failed as well: OSError('disk full')"]


def test_a_failing_write_still_reports_what_had_ended_before_it() -> None:
    clock, listener = Clock(), Listener()
    cache = TTLCache[str, int](2, 10, clock, lambda value: value, on_remove=listener)
    cache["a"] = 1
    clock.advance(10)
    with pytest.raises(ValueError, match="too large"):
        cache["b"] = 3
    assert listener.heard == [("a", 1, Removal.EXPIRED)]


def test_an_interrupt_goes_through_and_the_rest_is_told_later() -> None:
    listener = Failing(b=KeyboardInterrupt())
    cache = LRUCache[str, int](9, on_remove=listener)
    cache.update(a=1, b=2, c=3, d=4)
    with pytest.raises(KeyboardInterrupt):
        cache.clear()
    assert [key for key, _, _ in listener.heard] == ["a", "b"]
    cache["e"] = 5
    assert [key for key, _, _ in listener.heard] == ["a", "b", "c", "d"]


def test_the_time_runs_on_while_callbacks_are_called() -> None:
    """`popitem` and `pop` hold the time still for themselves, not for whoever listens."""
    clock = Clock()
    seen: list[float] = []

    def read_time(key: str, value: int, reason: Removal) -> None:
        clock.advance(1)
        seen.append(cache.timer())

    cache = TTLCache[str, int](9, 10, clock, on_remove=read_time)
    cache.update(a=1, b=2, c=3)
    cache.popitem()
    cache.pop("b")
    assert seen == [1, 2]


def test_a_copy_reports_to_the_same_callback() -> None:
    listener = Listener()
    cache = LRUCache[str, int](9, on_remove=listener)
    cache["a"] = 1
    copy.copy(cache).clear()
    assert listener.heard == [("a", 1, Removal.CLEARED)]
    assert "a" in cache


def test_what_a_callback_raises_reaches_only_the_outermost_operation() -> None:
    """A callback that writes does not get the error of a callback that its own write causes."""
    completed: list[str] = []

    def chain(key: str, value: int, reason: Removal) -> None:
        if key == "a":
            cache["b"] = 2  # evicts "x", whose callback fails
            completed.append("a")
        elif key == "x":
            raise OSError("x")

    cache = LRUCache[str, int](2, on_remove=chain)
    cache.update(a=1, x=0)
    with pytest.raises(OSError, match="x"):
        cache["c"] = 3
    assert completed == ["a"]
    assert dict(cache) == {"c": 3, "b": 2}
