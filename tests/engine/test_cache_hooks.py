"""Subclasses: the methods that people override are the ways that everything goes."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from tests.engine.cache_helpers import Clock, Listener
from tlru.cache import LRUCache, Removal, TLRUCache, TTLCache


class Evictions(LRUCache[Any, Any]):
    """Writes down what is evicted, as the documentation of cachetools shows it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.evicted: list[Any] = []

    def popitem(self) -> tuple[Any, Any]:
        key, value = super().popitem()
        self.evicted.append(key)
        return key, value


def test_every_eviction_goes_through_popitem() -> None:
    cache = Evictions(4, getsizeof=lambda value: value, maxentries=3)
    cache.update(a=1, b=1, c=1)
    cache["d"] = 1  # one item too many
    cache["e"] = 3  # too large for the rest
    cache["e"] = 4
    cache.set("f", 2, ttl=5)
    assert cache.evicted == ["a", "b", "c", "d", "e"]
    assert dict(cache) == {"f": 2}
    cache.check()


def test_a_popitem_may_choose_another_victim() -> None:
    class MostRecent(LRUCache[str, int]):
        def popitem(self) -> tuple[str, int]:
            key = list(self)[-1]
            return key, self.pop(key)

    listener = Listener()
    cache = MostRecent(2, on_remove=listener)
    cache.update(a=1, b=2, c=3)
    assert dict(cache) == {"a": 1, "c": 3}
    assert listener.heard == [("b", 2, Removal.DELETED)]


def test_a_popitem_may_remove_the_key_that_is_being_written() -> None:
    class MostRecent(LRUCache[str, int]):
        def popitem(self) -> tuple[str, int]:
            key = list(self)[-1]
            return key, self.pop(key)

    cache = MostRecent(5, getsizeof=lambda value: value)
    cache.update(a=3, b=2)
    cache["b"] = 5
    assert dict(cache) == {"b": 5}
    cache.check()


def test_a_popitem_that_fails_leaves_the_cache_consistent() -> None:
    class Failing(LRUCache[str, int]):
        def popitem(self) -> tuple[str, int]:
            super().popitem()
            raise OSError("disk full")

    listener = Listener()
    cache = Failing(2, on_remove=listener)
    cache.update(a=1, b=2)
    with pytest.raises(OSError, match="disk full"):
        cache["c"] = 3
    assert dict(cache) == {"b": 2}
    assert listener.heard == [("a", 1, Removal.EVICTED)]
    cache.check()


def test_a_callback_waits_for_the_write_although_popitem_is_overridden() -> None:
    seen: list[dict[str, int]] = []

    class Plain(LRUCache[str, int]):
        def popitem(self) -> tuple[str, int]:
            return super().popitem()

    cache = Plain(2, on_remove=lambda key, value, reason: seen.append(dict(cache.items())))
    cache.update(a=1, b=2, c=3)
    assert seen == [{"b": 2, "c": 3}]


@pytest.mark.parametrize("write", ["set", "len", "currsize", "popitem", "repr", "del", "touch"])
def test_what_expires_goes_through_expire(write: str) -> None:
    class Expirations(TTLCache[str, int]):
        expired: list[Any]

        def expire(self, time: Any = None) -> list[tuple[str, int]]:
            over = super().expire(time)
            self.expired += over
            return over

    clock = Clock()
    cache = Expirations(9, 10, clock)
    cache.expired = []
    cache["a"] = 1
    clock.advance(5)
    cache["b"] = 2
    clock.advance(5)
    operations: dict[str, Any] = {
        "set": lambda: cache.__setitem__("c", 3),
        "len": lambda: len(cache),
        "currsize": lambda: cache.currsize,
        "popitem": cache.popitem,
        "repr": lambda: repr(cache),
        "del": lambda: cache.__delitem__("b"),
        "touch": lambda: cache.touch("b"),
    }
    operations[write]()
    assert cache.expired == [("a", 1)]


def test_an_overridden_expire_is_called_though_nothing_is_over() -> None:
    """As in cachetools, where people use it to see the time pass; `len` comes there too."""

    class Counting(LRUCache[str, int]):
        calls = 0

        def expire(self, time: Any = None) -> list[tuple[str, int]]:
            self.calls += 1
            return super().expire(time)

    cache = Counting(9)
    cache["a"] = 1
    cache.set("b", 2)
    assert cache.calls == 2
    assert (len(cache), cache.calls) == (2, 3)
    cache.get("a")
    assert cache.calls == 3


def test_deletes_and_evictions_go_through_delitem() -> None:
    class Deletions(LRUCache[str, int]):
        deleted: list[str]

        def __delitem__(self, key: str) -> None:
            super().__delitem__(key)
            self.deleted.append(key)

    listener = Listener()
    cache = Deletions(3, on_remove=listener)
    cache.deleted = []
    cache.update(a=1, b=2, c=3, d=4)
    cache.pop("b")
    cache.popitem()
    del cache["d"]
    assert cache.deleted == ["a", "b", "c", "d"]
    assert listener.heard == [
        ("a", 1, Removal.EVICTED),
        ("b", 2, Removal.DELETED),
        ("c", 3, Removal.EVICTED),
        ("d", 4, Removal.DELETED),
    ]
    assert (cache.stats().evictions, cache.stats().deletions) == (2, 2)


class Packed(LRUCache[str, bytes]):
    """Keeps its values packed."""

    def __getitem__(self, key: str) -> bytes:
        return zlib.decompress(super().__getitem__(key))

    def __setitem__(self, key: str, value: bytes) -> None:
        super().__setitem__(key, zlib.compress(value))


def test_every_read_goes_through_an_overridden_getitem() -> None:
    cache = Packed(9)
    assert cache.setdefault("a", b"1") == b"1"
    assert cache.setdefault("a", b"2") == b"1"
    assert cache["a"] == cache.get("a") == b"1"
    assert cache.get("b") is None
    assert list(cache.items()) == [("a", b"1")]
    assert list(cache.values()) == [b"1"]
    assert dict(cache) == {"a": b"1"}
    assert cache.pop("a") == b"1"
    assert cache.pop("a", None) is None


def test_a_walk_through_an_overridden_getitem_leaves_out_what_ends_meanwhile() -> None:
    class Slow(TTLCache[str, int]):
        def __getitem__(self, key: str) -> int:
            clock.advance(2)
            return super().__getitem__(key)

    clock = Clock()
    cache = Slow(9, 3, clock)
    cache.update(a=1, b=2, c=3)
    assert list(cache.items()) == [("a", 1)]


def test_get_asks_an_overridden_contains() -> None:
    class Hidden(LRUCache[str, int]):
        def __contains__(self, key: object) -> bool:
            return key != "secret" and super().__contains__(key)

    cache = Hidden(9)
    cache.update(secret=1, open=2)
    assert (cache.get("secret"), cache.get("open")) == (None, 2)
    assert cache.pop("secret", 17) == 17


def test_missing_supplies_what_is_absent_for_brackets_only() -> None:
    class Squares(TTLCache[int, int]):
        def __missing__(self, key: int) -> int:
            self[key] = key * key
            return key * key

    clock = Clock()
    cache = Squares(2, 10, clock)
    assert cache[3] == 9
    assert cache.get(4) is None
    assert cache.pop(4, None) is None
    assert 4 not in cache
    assert list(cache) == [3]
    clock.advance(10)
    assert cache[3] == 9
    assert cache.expires(3) == 20
    assert (cache.stats().hits, cache.stats().misses) == (0, 4)


def test_missing_need_not_store_what_it_gives() -> None:
    class Zero(LRUCache[str, int]):
        def __missing__(self, key: str) -> int:
            return 0

    cache = Zero(2)
    assert cache["a"] == 0
    assert len(cache) == 0


@pytest.mark.parametrize("static", [True, False])
def test_getsizeof_may_be_overridden(static: bool) -> None:
    class Static(LRUCache[str, str]):
        @staticmethod
        def getsizeof(value: str) -> int:
            return len(value)

    class Method(LRUCache[str, str]):
        def getsizeof(self, value: str) -> int:
            return len(value)

    cache = (Static if static else Method)(4)
    cache.update(a="1", b="22", c="22")
    assert (cache.currsize, dict(cache)) == (4, {"b": "22", "c": "22"})
    with pytest.raises(ValueError, match="too large"):
        cache["d"] = "55555"


def test_a_function_that_is_handed_in_wins_over_an_overridden_getsizeof() -> None:
    class Counted(LRUCache[str, str]):
        def getsizeof(self, value: str) -> int:
            return 1

    cache = Counted(4, getsizeof=len)
    cache["a"] = "333"
    assert cache.currsize == 3


def test_setdefault_and_update_go_through_an_overridden_setitem() -> None:
    class Upper(LRUCache[str, str]):
        def __setitem__(self, key: str, value: str) -> None:
            super().__setitem__(key.upper(), value)

    cache = Upper(9)
    cache.update(a="1")
    cache.setdefault("b", "2")
    assert dict(cache) == {"A": "1", "B": "2"}


def test_a_hook_that_comes_from_a_mixin_counts_too() -> None:
    class Shouting:
        heard: list[Any]

        def popitem(self) -> Any:
            item = super().popitem()  # type: ignore[misc]  # of the cache it is mixed into
            self.heard.append(item)
            return item

    class Cache(Shouting, TTLCache[str, int]):
        pass

    cache = Cache(1, 10, Clock())
    cache.heard = []
    cache.update(a=1, b=2)
    assert cache.heard == [("a", 1)]


def test_a_ttu_may_use_the_cache() -> None:
    """Whatever it does is done before the write goes on, which counts on nothing from before."""

    def ttu(key: str, value: int, now: float) -> float:
        if key == "a":
            cache.pop("b", None)
            cache["c"] = 3
        elif key == "d":
            cache["d2"] = 5
        return now + 10

    clock = Clock()
    cache = TLRUCache[str, int](3, ttu, clock)
    cache["b"] = 2
    cache["a"] = 1
    assert dict(cache) == {"c": 3, "a": 1}
    cache["d"] = 4
    assert dict(cache) == {"a": 1, "d2": 5, "d": 4}
    cache.check()


def test_a_ttu_that_removes_the_item_makes_a_touch_find_nothing() -> None:
    def ttu(key: str, value: int, now: float) -> float:
        if clock.now:
            cache.pop(key, None)
        return now + 10

    clock = Clock()
    cache = TLRUCache[str, int](3, ttu, clock)
    cache["a"] = 1
    clock.advance(1)
    assert cache.touch("a") is False
    assert len(cache) == 0
    cache.check()


def test_a_getsizeof_may_use_the_cache() -> None:
    def size(value: int) -> int:
        if value == 2:
            cache["a"] = 1
        return value

    cache = LRUCache[str, int](3, size)
    cache["a"] = 2
    assert (dict(cache), cache.currsize) == ({"a": 2}, 2)
    cache.check()
