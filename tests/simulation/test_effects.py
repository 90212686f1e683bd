"""Names, turns, revisions, fills, evictions: what keeps its promise passes, and no other does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.core.entry import Dot, Entry, Origin
from tests.simulation.effects import (
    Changed,
    Revised,
    Told,
    Turn,
    check_evictions,
    check_fills,
    check_names,
    check_revisions,
    check_turns,
)
from tests.simulation.histories import Event, Violation
from tests.simulation.judgement import check_digest
from tests.simulation.ledger import Ledger
from tlru.engine import events
from tlru.engine.items import Item
from tlru.engine.machine import Applied
from tlru.engine.operations import Incr, Once, encode


def sentence(violation: Violation | None) -> str | None:
    return None if violation is None else violation.sentence


# Names


def test_each_try_of_a_name_has_the_result_of_the_first() -> None:
    one, other = ("s", 1), ("s", 2)
    assert check_names([Told(one, 3, "x"), Told(other, 4, "y"), Told(one, 9, "x")]) is None
    again = check_names([Told(one, 3, "x"), Told(one, 9, "y")])
    assert sentence(again) == "s#1 was answered x at 3, and y at 9"


# Turns


def test_turns_in_order_pass() -> None:
    turns = [Turn(5, 5), Turn(6, 9), Turn(7, 12), Turn(8, gave_up=10), Turn(11)]
    assert check_turns("l", turns) is None


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        (
            [Turn(6, 12), Turn(7, 9)],
            "lock 'l': who asked at 7 had it at 9, and who did at 6 only at 12",
        ),
        ([Turn(6, 12, 8)], "lock 'l': who asked at 6 gave up at 8, and had it at 12"),
    ],
)
def test_who_comes_before_his_turn_is_caught(turns: list[Turn], told: str) -> None:
    assert sentence(check_turns("l", turns)) == told


# Revisions

MEMORY_MS = 10


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9), st.booleans()), max_size=20))
def test_a_key_that_lets_in_the_newest_passes(writes: list[tuple[int, int, bool]]) -> None:
    """While nothing is forgotten the highest revision so far decides."""
    at, newest, seen = 0, -1, []
    for _, rev, deletes in writes:
        seen.append(Revised(at, rev, rev > newest, deletes))
        newest = max(newest, rev)
    assert check_revisions("k", seen, MEMORY_MS) is None


@pytest.mark.parametrize(
    ("writes", "told"),
    [
        (
            [Revised(0, 5, True), Revised(1, 5, True)],
            "'k': set with revision 5 at 1 was let in after 5",
        ),
        (
            [Revised(0, 5, True), Revised(1, None, True, True), Revised(11, 4, True)],
            "'k': set with revision 4 at 11 was let in after 5",
        ),
        (
            [Revised(0, 5, True), Revised(1, 6, False)],
            "'k': set with revision 6 at 1 was refused after 5",
        ),
        (
            [Revised(0, 5, True), Revised(1, 5, True, True)],
            "'k': delete with revision 5 at 1 was let in after 5",
        ),
        (
            [Revised(0, 5, True, True), Revised(11, 4, False)],
            "'k': set with revision 4 at 11 was refused after None",
        ),
    ],
)
def test_a_revision_that_goes_back_or_is_refused_is_caught(
    writes: list[Revised], told: str
) -> None:
    assert sentence(check_revisions("k", writes, MEMORY_MS)) == told


def test_what_a_delete_left_may_be_forgotten_in_time() -> None:
    writes = [Revised(0, 5, True), Revised(1, None, True, True), Revised(12, 4, True)]
    assert check_revisions("k", writes, MEMORY_MS) is None


# Fills


def test_a_fill_over_nothing_new_passes_and_one_over_a_change_is_caught() -> None:
    assert check_fills("k", [Changed(3), Changed(7, since=3), Changed(9, since=8)]) is None
    lost = check_fills("k", [Changed(3), Changed(7, since=2)])
    assert sentence(lost) == "'k': filled at 7, if unchanged since 2, though it changed at 3"


# Evictions

EFFECTS = [
    Event(1, "a"),
    Event(2, "b"),
    Event(3, "a", "touch"),
    Event(4, "b", "evict"),
    Event(6, "a", "evict"),
]
ORDERS = {4: (("b", 2), ("a", 1)), 6: (("a", 3), ("c", 5))}


def test_evictions_as_they_were_ordered_pass() -> None:
    assert check_evictions(ORDERS, EFFECTS) is None
    cleared = [*EFFECTS[:3], Event(4, "", "clear")]
    assert check_evictions({5: (("a", 3), ("b", 2))}, cleared) is None


@pytest.mark.parametrize(
    ("orders", "effects", "told"),
    [
        (
            {4: (("a", 1),)},
            [*EFFECTS[:3], Event(4, "a", "evict")],
            "'a' was evicted at 4: it last changed at 3, and the order names 1",
        ),
        (
            {4: (("b", 2),)},
            EFFECTS[:3],
            "'b' was not evicted at 4: it last changed at 2, and the order names 2",
        ),
        (
            {},
            [*EFFECTS[:3], Event(4, "b", "evict")],
            "'b' was evicted at 4: it last changed at 2, and the order names None",
        ),
    ],
)
def test_another_eviction_than_was_ordered_is_caught(
    orders: dict[int, tuple[tuple[str, int], ...]], effects: list[Event], told: str
) -> None:
    assert sentence(check_evictions(orders, effects)) == told


# What nodes put out

DOT = Dot(Origin("a", "birth"), 1, 1)


def entry(index: int) -> Entry:
    return Entry(index, 1, 10 * index, DOT, None, encode(Incr("k"), Once("s", 1, 0)))


def test_a_node_that_puts_out_something_else_is_caught() -> None:
    """Neither answers nor events are in the digest."""
    event = events.Event(events.EventType.SET, "k", 1, 10)
    ledger = Ledger()
    assert ledger.differs(entry(1), Applied([(DOT, {"value": 1})], [event])) is None
    assert ledger.differs(entry(1), Applied([(DOT, {"value": 1})], [event])) is None
    assert ledger.differs(entry(1), Applied([(DOT, {"value": 2})], [event])) is not None
    assert ledger.differs(entry(1), Applied([(DOT, {"value": 1})], [])) is not None


def test_a_digest_that_leaves_something_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    item = Item("k", b"v", 1, 1, 10, 10, None, None, None)
    assert check_digest([item]) is None
    monkeypatch.setattr("tlru.engine.items._MOMENTS", lambda *moments: b"")
    assert sentence(check_digest([Item(*item.fields())])) == (
        "the digest of 'k' is the same with 2 as field 2"
    )
