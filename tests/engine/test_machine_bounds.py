"""Floods fill no table beyond its bound, break no promise, and cost no more than they should."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.core.entry import Dot, Entry
from tests.engine.machine_helpers import ORIGIN, START_MS, Writer, bounds
from tlru.engine import locks, once, tombstones
from tlru.engine.machine import Machine
from tlru.engine.operations import (
    Clear,
    Delete,
    Expire,
    GiveUpWait,
    Incr,
    Lock,
    Once,
    Operation,
    Publish,
    Set,
    Settings,
    Unlock,
    encode,
)

Named = tuple[Operation, Once | None]


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_named_operation_is_never_applied_twice(data: st.DataObject) -> None:
    """Though the table is small and full, results are dropped, and the time to keep them changes.

    Every name publishes to a channel of its own; a client that asks again tells when it asked
    first, as it must.
    """
    write = Writer()
    first_try: dict[tuple[str, int], int] = {}
    published: Counter[str] = Counter()
    with bounds(once, RECORDS_MAX=12, DROPPED_AT_ONCE=3):
        for _ in range(data.draw(st.integers(10, 30))):
            write.pass_time(data.draw(st.sampled_from([0, 1, 300, 3_000, 20_000, 130_000])))
            if data.draw(st.integers(0, 9)) == 0:
                ms = data.draw(st.sampled_from([0, 1_000, 20_000, 120_000, 10**6]))
                write(Settings((("once_ms", ms),)))
            name = (data.draw(st.sampled_from("st")), data.draw(st.integers(0, 8)))
            ahead = data.draw(st.sampled_from([0, 0, 5_000, -2_000]))
            at = first_try.setdefault(name, write.at + ahead)
            done = data.draw(st.sampled_from([None, None, 0, 2, 4]))
            channel = f"{name}"
            write(Publish(channel, b""), Once(*name, at, done))
            published.update(event.key for event in write.last.events)
            assert published[channel] <= 1
            write.machine.check()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "delete", "delete it", "delete all"]),
            st.sampled_from("abcd"),
            st.integers(0, 9),
        ),
        max_size=60,
    )
)
def test_an_older_revision_never_replaces_a_newer_though_the_table_is_full(
    steps: list[tuple[str, str, int]],
) -> None:
    write = Writer()
    highest: dict[str, int] = {}
    with bounds(tombstones, REVS_MAX=2):
        for what, key, rev in steps:
            write.pass_time(10)
            newer = rev > highest.get(key, -1)
            if what == "set":
                reply = write(Set(key, b"\x01", rev=rev))
                assert reply is not None
                assert reply["applied"] is newer
                highest[key] = max(rev, highest.get(key, -1))
            elif what == "delete":
                reply = write(Delete((key,), rev=rev))
                assert reply is not None
                if newer and "error" not in reply:
                    highest[key] = rev
                there = write.machine.read(key, write.at)
                assert there is None or there.rev == highest[key]
            else:
                write(Delete((key,) if what == "delete it" else tuple("abcd")))
            write.machine.check()


def test_floods_keep_the_tables_within_their_bounds() -> None:
    """Each kind of record, many times over what there is room for, one flood after the other."""
    write = Writer()
    with ExitStack() as small:
        small.enter_context(bounds(once, RECORDS_MAX=64, BYTES_MAX=50_000))
        small.enter_context(
            bounds(tombstones, GONE_MAX=64, REVS_MAX=64, CLEARS_MAX=8, DROPPED_AT_ONCE=16)
        )
        small.enter_context(bounds(locks, LOCKS_MAX=16, WAITERS_MAX=64, WAITERS_PER_LOCK_MAX=32))
        for n in range(400):
            at = write.at
            write(Publish("c", b""), Once("one", n, at))
            write(Publish("c", b""), Once(f"session {n}", 0, at))
            write(Set("k", b"x" * 5_000), Once("large", n, at))
            write(Delete((f"absent {n}",)))
            write(Delete((f"absent {n}",), rev=n))
            write(Clear(f"prefix {n}"))
            write(Lock(f"lock {n}", 10**6))
            write(Lock("lock 1", 10**6, wait=10**6))
            write(Lock(f"lock {n % 16}", 10**6, wait=10**6), Once(f"waiter {n}", 0, at))
            write.machine.check()
        machine = write.machine
        assert len(machine.once) <= 64
        assert len(machine.tombstones) <= 128
        assert len(machine.locks) == 16
        assert machine.locks.waiting <= 64
        # And when all of it is over, all of it goes.
        write.pass_time(10**7)
        for _ in range(40):
            write.pass_time(1_000)
            write(Expire(write.at))
        assert len(machine.once) == 0
        assert len(machine.tombstones) == 0
        assert (len(machine.locks), machine.locks.waiting) == (0, 0)
        assert machine.next_due() is None


# -- what floods cost


def one_session(n: int) -> Iterable[Named]:
    return ((Incr("k"), Once("s", i, START_MS)) for i in range(n))


def one_session_that_is_done_with_each(n: int) -> Iterable[Named]:
    yield from one_session(n // 2)
    yield from ((Incr("k"), Once("s", n + i, START_MS, done=i)) for i in range(n // 2))


def one_session_that_is_done_with_all_at_once(n: int) -> Iterable[Named]:
    yield from one_session(n - 1)
    yield Incr("k"), Once("s", n, START_MS, done=n - 1)


def numbers_that_go_down(n: int) -> Iterable[Named]:
    return ((Incr("k"), Once("s", n - i, START_MS, done=0)) for i in range(n))


def a_session_each(n: int) -> Iterable[Named]:
    return ((Incr("k"), Once(f"s{i}", 0, START_MS)) for i in range(n))


def deletes_of_nothing(n: int) -> Iterable[Named]:
    return ((Delete((f"k{i}",)), None) for i in range(n))


def deletes_with_revisions(n: int) -> Iterable[Named]:
    return ((Delete((f"k{i}",), rev=i), None) for i in range(n))


def deletes_of_many(n: int) -> Iterable[Named]:
    return ((Delete(tuple(f"k{i * 100 + j}" for j in range(100))), None) for i in range(n // 100))


def clears_and_questions(n: int) -> Iterable[Named]:
    for i in range(n // 2):
        yield Clear(f"prefix {i}"), None
        yield Set(f"k{i}", b"", condition=("unchanged", 2 * i)), None


def locks_by_the_name(n: int) -> Iterable[Named]:
    return ((Lock(f"l{i}", 1_000), None) for i in range(n))


def waiters_who_take_their_turns(n: int) -> Iterable[Named]:
    yield Lock("l", 10**6), None
    yield from ((Lock("l", 10**6, wait=10**6), None) for _ in range(n // 2))
    yield from ((Unlock("l", START_MS + i), None) for i in range(n // 2))


def waiters_who_give_up_last_first(n: int) -> Iterable[Named]:
    yield Lock("l", 10**6), None
    yield from ((Lock("l", 10**6, wait=10**6), None) for _ in range(n // 2))
    yield from ((GiveUpWait("l", 1, n // 2 + 1 - i), None) for i in range(n // 2))


def items_that_come_and_go(n: int) -> Iterable[Named]:
    for i in range(n // 2):
        yield Set(f"k{i * 7919 % n}", b"", 1_000 + i), None
        yield Delete((f"k{i * 7919 % n}",)), None


def items_under_one_prefix(n: int) -> Iterable[Named]:
    yield from ((Set(f"k{i}", b""), None) for i in range(n))
    yield Set("x", b""), None
    yield Clear("k"), None


FLOODS: list[Callable[[int], Iterable[Named]]] = [
    one_session,
    one_session_that_is_done_with_each,
    one_session_that_is_done_with_all_at_once,
    numbers_that_go_down,
    a_session_each,
    deletes_of_nothing,
    deletes_with_revisions,
    deletes_of_many,
    clears_and_questions,
    locks_by_the_name,
    waiters_who_take_their_turns,
    waiters_who_give_up_last_first,
    items_that_come_and_go,
    items_under_one_prefix,
]
FEW, MANY = 1_000, 10_000


def cost_of(flood: Callable[[int], Iterable[Named]], n: int) -> float:
    """Processor seconds that a machine takes for a flood, and for forgetting it again."""
    entries = [
        Entry(i, 1, START_MS, Dot(ORIGIN, 1, i), None, encode(*named))
        for i, named in enumerate(flood(n), 1)
    ]
    last = len(entries)
    later = START_MS + 10**7
    entries += [
        Entry(i, 1, later + 256 * i, Dot(ORIGIN, 1, i), None, encode(Expire(later + 256 * i)))
        for i in range(last + 1, last + n // 100)
    ]
    machine = Machine()
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        machine.apply(entries)
        return time.process_time() - began
    finally:
        gc.enable()


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_ten_times_the_flood_costs_about_ten_times_as_much(
    flood: Callable[[int], Iterable[Named]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear is 10, with a logarithm 13; what is quadratic would be 100."""
    monkeypatch.setattr(locks, "WAITERS_PER_LOCK_MAX", 10**6)
    # The machine may be disturbed while it measures: one calm try of several is enough.
    assert any(cost_of(flood, MANY) < 40 * cost_of(flood, FEW) for _ in range(5))
