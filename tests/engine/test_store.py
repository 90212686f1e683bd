"""The store: what is kept, in the order of its use, and how much that is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.engine.cache_helpers import buckets_of, unhurried
from tlru.engine.expiry import Entry
from tlru.engine.store import Store

KEYS = st.sampled_from("abcdefghij")
EXPIRIES = st.integers(0, 9) | st.none()
SIZES = st.integers(0, 5)


class StoreAgainstDict(RuleBasedStateMachine):
    """A store beside a plain dict of (expires, size) that is kept in the order of use."""

    @initialize(bucket=st.integers(2, 4))
    def begin(self, bucket: int) -> None:
        self.store: Store[str, Entry] = Store(tie=lambda key: key)
        self.plain: dict[str, tuple[int | None, int]] = {}
        self.patch = buckets_of(bucket)
        self.patch.__enter__()

    @rule(key=KEYS, expires=EXPIRIES, size=SIZES)
    def put(self, key: str, expires: int | None, size: int) -> None:
        there = self.store.entries.get(key)
        assert self.store.put(key, Entry(expires, size)) is there
        assert there is None or there.indexed is None
        self.plain.pop(key, None)
        self.plain[key] = (expires, size)

    @rule(key=KEYS, expires=EXPIRIES, size=SIZES)
    def renew(self, key: str, expires: int | None, size: int) -> None:
        entry = self.store.entries.get(key)
        if entry is not None:
            self.store.renew(key, entry, expires, size)
            del self.plain[key]
            self.plain[key] = (expires, size)

    @rule(key=KEYS, expires=EXPIRIES)
    def reschedule(self, key: str, expires: int | None) -> None:
        if key in self.plain:
            self.store.reschedule(key, self.store.entries[key], expires)
            self.plain[key] = (expires, self.plain[key][1])

    @rule(key=KEYS)
    def use(self, key: str) -> None:
        if key in self.plain:
            self.store.entries.move_to_end(key)
            self.plain[key] = self.plain.pop(key)

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        entry = self.store.remove(key)
        assert (entry and (entry.expires, entry.size)) == self.plain.pop(key, None)

    @rule()
    def pop_oldest(self) -> None:
        if self.plain:
            key, entry = self.store.pop_oldest()
            assert key == next(iter(self.plain))
            assert (entry.expires, entry.size) == self.plain.pop(key)
        else:
            with pytest.raises(KeyError):
                self.store.pop_oldest()

    @rule(now=st.integers(0, 9), limit=st.integers(0, 4) | st.none())
    def due(self, now: int, limit: int | None) -> None:
        over = sorted((at, k) for k, (at, _) in self.plain.items() if at is not None and at <= now)
        taken = self.store.due(now, limit)
        assert [(entry.expires, key) for key, entry in taken] == over[:limit]
        for key, entry in taken:
            assert entry.indexed is None
            del self.plain[key]

    @rule()
    def next_expiry(self) -> None:
        times = [at for at, _ in self.plain.values() if at is not None]
        assert self.store.next_expiry() == min(times, default=None)

    @rule()
    def clear(self) -> None:
        entries = list(self.store.entries.values())
        self.store.clear()
        assert all(entry.indexed is None for entry in entries)
        self.plain.clear()

    @invariant()
    def the_store_holds_what_the_dict_holds_in_the_same_order(self) -> None:
        kept = [(key, (e.expires, e.size)) for key, e in self.store.entries.items()]
        assert kept == list(self.plain.items())
        assert len(self.store) == len(self.plain)
        assert self.store.size == sum(size for _, size in self.plain.values())
        self.store.check()

    def teardown(self) -> None:
        self.patch.__exit__(None, None, None)


StoreAgainstDict.TestCase.settings = unhurried
TestStoreAgainstDict = StoreAgainstDict.TestCase


def test_an_entry_that_was_removed_may_be_put_again() -> None:
    store: Store[str, Entry] = Store()
    entry = Entry(5)
    store.put("a", entry)
    store.remove("a")
    store.put("a", entry)
    store.check()
    assert store.next_expiry() == 5


def test_an_entry_that_is_kept_may_not_be_put_again() -> None:
    """Its old size is lost, so the sum of the sizes could not be kept."""
    store: Store[str, Entry] = Store()
    entry = Entry(5)
    store.put("a", entry)
    with pytest.raises(AssertionError, match="put twice"):
        store.put("a", entry)


@unhurried
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_an_empty_store_weighs_exactly_nothing(sizes: list[float]) -> None:
    """Sums of fractions drift; what is left must not be taken for something."""
    store: Store[int, Entry] = Store()
    for key, size in enumerate(sizes):
        store.put(key, Entry(None, size))  # any number will do
        store.check()
    while store.entries:
        store.pop_oldest()
    assert store.size == 0
    for key, size in enumerate(sizes):
        store.put(key, Entry(key, size))
    store.due(len(sizes))
    assert store.size == 0
    for key, size in enumerate(sizes):
        store.put(key, Entry(key, size))
    for key in range(len(sizes)):
        store.remove(key)
    assert store.size == 0


def corrupt_size(store: Store[str, Entry]) -> None:
    store.size += 1


def corrupt_expiry(store: Store[str, Entry]) -> None:
    store.entries["a"].expires = 1  # behind the back of the index


def corrupt_index(store: Store[str, Entry]) -> None:
    store.entries["a"].indexed = None


def corrupt_entries(store: Store[str, Entry]) -> None:
    del store.entries["a"]
    store.size -= 1


@pytest.mark.parametrize("corrupt", [corrupt_size, corrupt_expiry, corrupt_index, corrupt_entries])
@pytest.mark.parametrize("others", [0, 40])
def test_check_finds_what_is_wrong(corrupt: object, others: int) -> None:
    """The check is what the other tests trust, so it must be able to fail; near and far."""
    store: Store[str, Entry] = Store()
    with buckets_of(4):
        for n in range(others):
            store.put(f"other {n}", Entry(n % 7 + 2))
        store.put("a", Entry(9))
        store.check()
        assert callable(corrupt)
        corrupt(store)
        with pytest.raises((AssertionError, KeyError)):
            store.check()
