"""The expiry index: the exact order of (expires, tie), whatever happened before."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.cache_helpers import buckets_of, unhurried
from tlru.engine.expiry import BUCKET_MAX, NEAR_MAX, Entry
from tlru.engine.store import Store

KEYS = st.text("abcdefgh", min_size=1, max_size=2)
TIMES = st.integers(0, 12)


def by_key() -> Store[str, Entry]:
    """A store whose order is (expires, key), as the replicated machine has it."""
    return Store(tie=lambda key: key)


def drain(store: Store[str, Entry], now: Any, limits: list[int]) -> list[tuple[Any, str]]:
    """All that is over at `now`, taken out in portions."""
    taken = []
    for limit in [*limits, None]:
        portion = store.due(now, limit)
        assert limit is None or len(portion) <= limit
        taken += [(entry.expires, key) for key, entry in portion]
    return taken


@unhurried
@given(
    content=st.dictionaries(KEYS, TIMES, max_size=40),
    histories=st.tuples(
        *[st.lists(st.tuples(KEYS, TIMES | st.none()), min_size=10, max_size=60)] * 2
    ),
    shuffles=st.tuples(st.randoms(use_true_random=False), st.randoms(use_true_random=False)),
    now=TIMES,
    limits=st.lists(st.integers(0, 3), max_size=8),
    bucket=st.integers(2, 5),
)
def test_the_order_depends_on_what_is_stored_and_not_on_how_it_came_there(
    content: dict[str, int],
    histories: tuple[list[tuple[str, int | None]], ...],
    shuffles: tuple[random.Random, random.Random],
    now: int,
    limits: list[int],
    bucket: int,
) -> None:
    """Two stores with the same items but different pasts give them out alike, in any portions."""
    drained = []
    with buckets_of(bucket):
        for history, shuffle in zip(histories, shuffles, strict=True):
            store = by_key()
            for step, (key, expires) in enumerate(history):
                store.put(key, Entry(expires))
                if step % 7 == 0:
                    store.next_expiry()
            for key in [key for key in store.entries if key not in content]:
                store.remove(key)
            final = list(content.items())
            shuffle.shuffle(final)
            for key, expires in final:
                store.put(key, Entry(expires))
            store.check()
            drained.append(drain(store, now, limits))
            store.check()
    expected = sorted((expires, key) for key, expires in content.items() if expires <= now)
    assert drained == [expected, expected]


@unhurried
@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "put", "move", "remove", "due", "next"]), KEYS, TIMES),
        min_size=30,
        max_size=150,
    ),
    st.integers(2, 5),
)
def test_the_index_agrees_with_sorting_everything_anew(
    steps: list[tuple[str, str, int]], bucket: int
) -> None:
    """Every answer is that of a plain dictionary that is sorted at each question."""
    store, plain = by_key(), dict[str, int]()
    with buckets_of(bucket):
        for step, key, time in steps:
            if step == "put":
                store.put(key, Entry(time))
                plain[key] = time
            elif step == "move" and key in plain:
                store.reschedule(key, store.entries[key], time)
                plain[key] = time
            elif step == "remove":
                removed = store.remove(key)
                assert (removed and removed.expires) == plain.pop(key, None)
            elif step == "due":
                limit = time % 4
                expected = sorted((at, k) for k, at in plain.items() if at <= time)[:limit]
                assert [(e.expires, k) for k, e in store.due(time, limit)] == expected
                for _, gone in expected:
                    del plain[gone]
            elif step == "next":
                assert store.next_expiry() == min(plain.values(), default=None)
            store.check()


def test_an_expiry_equal_to_now_is_over() -> None:
    store = by_key()
    store.put("a", Entry(10))
    assert store.due(9) == []
    assert [key for key, _ in store.due(10)] == ["a"]


def test_equal_times_come_in_the_order_of_first_insertion_without_a_tie() -> None:
    """Overwriting a key does not send it to the end of its moment."""
    store: Store[str, Entry] = Store()
    for key in ("b", "a", "c", "b"):
        store.put(key, Entry(5))
    assert [key for key, _ in store.due(5)] == ["b", "a", "c"]


def test_a_prolonged_life_is_not_over_at_its_former_end() -> None:
    store = by_key()
    store.put("a", Entry(5))
    store.put("b", Entry(7))
    store.put("a", Entry(9))
    assert [key for key, _ in store.due(8)] == ["b"]
    assert store.next_expiry() == 9


def test_a_shortened_life_is_over_at_its_new_end() -> None:
    store = by_key()
    store.put("a", Entry(9))
    store.put("b", Entry(7))
    store.reschedule("a", store.entries["a"], 5)
    assert store.next_expiry() == 5
    assert [key for key, _ in store.due(9)] == ["a", "b"]


def test_a_life_may_become_endless_and_finite_again() -> None:
    store = by_key()
    store.put("a", Entry(5))
    store.reschedule("a", store.entries["a"], None)
    assert store.due(100) == []
    assert store.next_expiry() is None
    store.reschedule("a", store.entries["a"], 3)
    assert [key for key, _ in store.due(3)] == ["a"]


def test_an_expiry_that_does_not_compare_is_refused_and_changes_nothing() -> None:
    """A datetime among numbers raises, whether it is new, in the place of another, or a change."""
    store = by_key()
    first = Entry(5)
    store.put("a", first)
    moment: Any = datetime(2030, 1, 1)
    with pytest.raises(TypeError):
        store.put("b", Entry(moment))
    with pytest.raises(TypeError):
        store.put("a", Entry(moment))
    with pytest.raises(TypeError):
        store.reschedule("a", store.entries["a"], moment)
    assert dict(store.entries) == {"a": first}
    assert first.expires == 5
    store.check()


def test_times_may_be_datetimes() -> None:
    store = by_key()
    start = datetime(2030, 1, 1)
    for day, key in ((3, "c"), (1, "a"), (2, "b")):
        store.put(key, Entry(start + timedelta(days=day)))
    assert [key for key, _ in store.due(start + timedelta(days=2))] == ["a", "b"]
    assert store.next_expiry() == start + timedelta(days=3)


def test_one_look_that_finds_nothing_is_enough() -> None:
    """Each write of a cache asks whether `soonest` has come: what went away must not ask twice."""
    store = by_key()
    with buckets_of(2):
        for time in range(1, 20):
            store.put(str(time), Entry(time))
        for time in range(1, 10):
            store.remove(str(time))
        assert store.index.soonest == 1
        assert store.due(5) == []
        assert store.index.soonest == 10
        store.clear()
        assert store.index.soonest is None


def test_no_bucket_outgrows_its_limit_when_everything_is_over_at_the_same_moment() -> None:
    """Half a million entries of one moment must not be sorted in one step; nor may these."""
    store = by_key()
    keys = [f"{n:05}" for n in range(5 * (BUCKET_MAX + NEAR_MAX))]
    random.Random(1).shuffle(keys)
    for key in keys:
        store.put(key, Entry(60))
    store.check()
    assert [key for key, _ in store.due(60, 10)] == [f"{n:05}" for n in range(10)]
    store.check()
    assert len(store.due(60)) == len(keys) - 10


def test_no_bucket_outgrows_its_limit_when_every_life_is_prolonged() -> None:
    """All entries move to one later region: it is divided as they arrive, not when it is due."""
    store = by_key()
    keys = [f"{n:05}" for n in range(5 * (BUCKET_MAX + NEAR_MAX))]
    for at, key in enumerate(keys):
        store.put(key, Entry(at))
    for key in keys:
        store.reschedule(key, store.entries[key], 1_000_000)
    assert store.due(999_999) == []
    store.check()
    assert [key for key, _ in store.due(1_000_000)] == keys


class CountedTime(int):
    """A moment that counts how often moments are compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        CountedTime.compared += 1
        return int.__lt__(self, other)

    def __le__(self, other: int) -> bool:
        CountedTime.compared += 1
        return int.__le__(self, other)

    def __eq__(self, other: object) -> bool:
        CountedTime.compared += 1
        return int.__eq__(self, other)

    __hash__ = int.__hash__


def comparisons(count: int, pattern: str) -> float:
    """Comparisons of moments for each operation of `pattern`, with `count` entries kept."""
    chance = random.Random(7)
    store: Store[int, Entry] = Store()
    CountedTime.compared = 0
    now = 0
    for n in range(count):
        store.put(n, Entry(CountedTime(chance.randrange(1, 10 * count))))
    for step in range(count):
        key = chance.randrange(count)
        match pattern:
            case "new keys":
                store.pop_oldest()
                store.put(count + step, Entry(CountedTime(now + chance.randrange(1, 10 * count))))
            case "overwrite":
                store.put(key, Entry(CountedTime(now + chance.randrange(1, 10 * count))))
            case "prolong":
                store.put(key, Entry(CountedTime(now + 10 * count)))
            case "shorten":
                store.put(key, Entry(CountedTime(10 * count - step)))
        now += 5
        store.due(CountedTime(now))
    return CountedTime.compared / (2 * count)


@pytest.mark.parametrize("pattern", ["new keys", "overwrite", "prolong", "shorten"])
def test_an_operation_costs_a_logarithm_of_what_is_kept(pattern: str) -> None:
    """Each doubling of what is kept costs at most three comparisons more."""
    with buckets_of(64):  # so that the thousand has many buckets too
        few, many = comparisons(1_000, pattern), comparisons(16_000, pattern)
    assert many - few <= 3 * math.log2(16_000 / 1_000)
    assert many <= 3 * math.log2(16_000)
