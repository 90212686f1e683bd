"""Copies against a model: whatever comes when, nothing is read that the cluster had left behind.

Fills are asked for, answered as of any position that they may be answered at, and their answers
come before or after the events around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tlru.client.changes import Place
from tlru.client.copies import OVER, Copies, Fill
from tlru.client.results import MISSING, Reply
from tlru.errors import BadValue

KEYS = ("a1", "a2", "b")
EPOCH = "1-e"
BOUND = 2


def loaded(key: str, packed: bytes) -> bytes:
    """What a value of these tests is: its own bytes."""
    if packed == b"?":
        raise BadValue(f"{key} cannot be read")
    return packed


@dataclass
class Asked:
    """A fill under way, and its answer once there is one."""

    key: str
    fill: Fill
    seen: int  # by the client, so it is answered as of this or later
    reply: Reply | None = None


class Nears(RuleBasedStateMachine):
    """A copy that is filled on demand, and a feed that is behind the log by what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Reply] = []
        self.states: list[dict[str, tuple[bytes, int]]] = [{}]  # by version: values and versions
        self.told = 0
        self.now = 0.0
        self.asked: list[Asked] = []
        self.copies: Copies[bytes] = Copies(loaded, entries_max=BOUND, whole=False)
        self.copies.begin(Place(EPOCH, 0), anew=False)
        self.copies.trust(math.inf)

    def happen(self, kind: str, key: str) -> None:
        version = len(self.states)
        state = dict(self.states[-1])
        if kind == "set":
            state[key] = b"%d" % version, version
        elif kind == "clear":
            state = {each: value for each, value in state.items() if not each.startswith(key)}
        else:
            state.pop(key, None)
        self.states.append(state)
        self.log.append({"type": kind, "key": key, "version": version, "at": 0})

    @rule(key=st.sampled_from(KEYS), kind=st.sampled_from(("set", "set", "set", "delete", "evict")))
    def write(self, key: str, kind: str) -> None:
        self.happen(kind, key)

    @rule(prefix=st.sampled_from(("", "a")))
    def clear(self, prefix: str) -> None:
        self.happen("clear", prefix)

    @rule(count=st.integers(1, 5))
    def tell(self, count: int) -> None:
        """The next events come."""
        upto = min(self.told + count, len(self.log))
        self.copies.events(Place(EPOCH, upto), self.log[self.told : upto], 0.0)
        self.told = upto

    @rule(key=st.sampled_from(KEYS))
    def ask(self, key: str) -> None:
        fill = self.copies.begin_fill(key, self.now)
        if fill is not None:
            self.asked.append(Asked(key, fill, self.told))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """A node answers, as of where it is; the answer is under way."""
        asked = data.draw(st.sampled_from(self.asked))
        if asked.reply is None:
            pos = data.draw(st.integers(asked.seen, len(self.log)))
            value = self.states[pos].get(asked.key)
            asked.reply = {"found": value is not None, "pos": pos, "time": 0}
            if value is not None:
                asked.reply |= {"value": value[0], "version": value[1]}

    @precondition(lambda self: any(asked.reply for asked in self.asked))
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """An answer comes."""
        asked = data.draw(st.sampled_from([each for each in self.asked if each.reply]))
        self.asked.remove(asked)
        self.copies.end_fill(asked.key, asked.fill, asked.reply, 0.0)

    @rule(key=st.sampled_from(KEYS))
    def read(self, key: str) -> None:
        self.copies.look(key, self.now)

    @rule(skip=st.integers(0, 3), seldom=st.integers(0, 3))
    def begin_anew(self, skip: int, seldom: int) -> None:
        """Events are missed, and nobody knows which."""
        if not seldom:
            self.told = min(len(self.log), self.told + skip)
            self.copies.begin(Place(EPOCH, self.told), anew=True)
            self.copies.trust(math.inf)

    @invariant()
    def nothing_is_older_than_what_was_told(self) -> None:
        self.copies.check()
        for key in KEYS:
            slot = self.copies.slots.get(key)
            if slot is not None:
                value = slot.value if slot.packed is None else slot.packed
                since = self.states[self.told :]
                assert value in [state.get(key, (MISSING,))[0] for state in since]


TestNears = Nears.TestCase
TestNears.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# -- what the machine cannot say


def a_near(bound: int = 99) -> Copies[bytes]:
    copies: Copies[bytes] = Copies(loaded, entries_max=bound, whole=False)
    copies.begin(Place(EPOCH, 0), anew=False)
    copies.trust(math.inf)
    return copies


def fill(copies: Copies[Any], key: str, **reply: Any) -> bool:
    begun = copies.begin_fill(key, 0.0)
    assert begun is not None
    return copies.end_fill(key, begun, {"found": True, "pos": 1, "time": 0, **reply}, 0.0)


def test_what_was_read_before_a_change_that_has_come_is_not_kept() -> None:
    copies = a_near()
    begun = copies.begin_fill("k", 0.0)
    assert begun is not None
    changed = {"type": "set", "key": "k", "version": 5, "at": 0}
    copies.events(Place(EPOCH, 5), [changed], 0.0)
    reply = {"found": True, "pos": 4, "time": 0, "value": b"old", "version": 2}
    assert not copies.end_fill("k", begun, reply, 0.0)
    assert copies.slots == {}


def test_what_was_read_after_the_change_that_has_come_is_kept() -> None:
    copies = a_near()
    begun = copies.begin_fill("k", 0.0)
    assert begun is not None
    copies.events(Place(EPOCH, 5), [{"type": "set", "key": "k", "version": 5, "at": 0}], 0.0)
    reply = {"found": True, "pos": 6, "time": 0, "value": b"new", "version": 5}
    assert copies.end_fill("k", begun, reply, 0.0)
    slot = copies.look("k", 0.0)
    assert slot is not None
    assert slot.value == b"new"


def test_a_life_runs_out_here_too_and_a_touch_gives_a_new_one() -> None:
    """The node's cluster time 10 s is the local moment 110."""
    copies = a_near()
    assert fill(copies, "k", value=b"v", version=1, ttl=5) is True
    begun = copies.begin_fill("k", 0.0)
    assert begun is not None
    reply = {"found": True, "pos": 2, "time": 10_000, "value": b"v", "version": 1, "ttl": 5}
    assert copies.end_fill("k", begun, reply, 100.0)
    assert copies.look("k", 114.9) is not None
    assert copies.look("k", 115.0) is None
    touch = {"type": "touch", "key": "k", "version": 3, "at": 14_000, "ttl": 20}
    copies.events(Place(EPOCH, 3), [touch], 100.0)
    assert copies.look("k", 133.9) is not None
    assert copies.look("k", 134.0) is None
    copies.events(
        Place(EPOCH, 4), [{"type": "touch", "key": "k", "version": 4, "at": 15_000}], 100.0
    )
    assert copies.look("k", 1e9) is not None


def test_nothing_is_filled_while_it_cannot_be_relied_on() -> None:
    copies = a_near()
    copies.trust(OVER)
    assert copies.begin_fill("k", 0.0) is None
    copies.trust(7.0)
    assert copies.begin_fill("k", 6.9) is not None
    assert copies.begin_fill("k", 7.0) is None


def test_what_is_read_stays_longer_than_what_is_not() -> None:
    copies = a_near(bound=2)
    fill(copies, "a", value=b"a", version=1)
    fill(copies, "b", value=b"b", version=1)
    copies.look("a", 0.0)
    fill(copies, "c", value=b"c", version=1)
    assert set(copies.slots) == {"a", "c"}
    copies.check()


def test_an_unreadable_value_is_refused_each_time_and_the_next_is_read() -> None:
    copies = a_near()
    fill(copies, "k", value=b"?", version=1)
    for _ in range(2):
        with pytest.raises(BadValue):
            copies.look("k", 0.0)
    fill(copies, "k", value=b"well", version=1, pos=2)
    slot = copies.look("k", 0.0)
    assert slot is not None
    assert slot.value == b"well"


def test_that_there_is_nothing_is_known_too() -> None:
    copies = a_near()
    fill(copies, "k", found=False, pos=3)
    slot = copies.look("k", 0.0)
    assert slot is not None
    assert slot.value is MISSING
    copies.events(Place(EPOCH, 4), [{"type": "set", "key": "k", "version": 4, "at": 0}], 0.0)
    assert copies.look("k", 0.0) is None


def test_a_mirror_serves_what_it_had_until_the_next_snapshot_is_whole() -> None:
    copies: Copies[bytes] = Copies(loaded, entries_max=9, whole=True)
    copies.begin(Place(EPOCH, 3), anew=False)
    items = [{"key": "a", "value": b"1", "version": 1}, {"key": "b", "value": b"2", "version": 2}]
    copies.items(Place(EPOCH, 3), 0, items, 0.0, last=True)
    copies.begin(Place(EPOCH, 9), anew=True)
    copies.trust(math.inf)
    assert copies.coherent_until == OVER
    copies.items(Place(EPOCH, 9), 0, [{"key": "a", "value": b"8", "version": 8}], 0.0, last=False)
    assert [key for key, _ in copies.living(0.0)] == ["a", "b"]
    slot = copies.look("a", 0.0)
    assert slot is not None
    assert slot.value == b"1"
    copies.items(Place(EPOCH, 9), 0, [], 0.0, last=True)
    copies.trust(math.inf)
    assert copies.coherent_until == math.inf
    assert [(key, slot.version) for key, slot in copies.living(0.0)] == [("a", 8)]


def test_a_mirror_that_is_over_its_bound_says_so() -> None:
    copies: Copies[bytes] = Copies(loaded, entries_max=1, whole=True)
    copies.begin(Place(EPOCH, 3), anew=False)
    copies.items(Place(EPOCH, 3), 0, [{"key": "a", "value": b"1", "version": 1}], 0.0, last=True)
    assert not copies.too_large
    more = {"type": "set", "key": "b", "version": 4, "at": 0, "value": b"2"}
    copies.events(Place(EPOCH, 4), [more], 0.0)
    assert copies.too_large


def test_what_is_not_known_to_this_release_is_doubted() -> None:
    copies: Copies[bytes] = Copies(loaded, entries_max=9, whole=True)
    copies.begin(Place(EPOCH, 3), anew=False)
    copies.items(Place(EPOCH, 3), 0, [{"key": "a", "value": b"1", "version": 1}], 0.0, last=True)
    copies.events(Place(EPOCH, 4), [{"type": "bend", "key": "a", "version": 4, "at": 0}], 0.0)
    assert copies.doubted == ["a"]
    assert copies.look("a", 0.0) is None


def test_what_was_read_before_a_clear_that_has_come_is_not_kept() -> None:
    copies = a_near()
    begun = copies.begin_fill("k1", 0.0)
    assert begun is not None
    copies.events(Place(EPOCH, 5), [{"type": "clear", "key": "k", "version": 5, "at": 0}], 0.0)
    reply = {"found": True, "pos": 4, "time": 0, "value": b"old", "version": 2}
    assert not copies.end_fill("k1", begun, reply, 0.0)


def test_a_read_that_was_begun_before_changes_were_missed_is_not_kept() -> None:
    copies = a_near()
    begun = copies.begin_fill("k", 0.0)
    assert begun is not None
    copies.begin(Place(EPOCH, 9), anew=True)
    copies.trust(math.inf)
    reply = {"found": True, "pos": 4, "time": 0, "value": b"old", "version": 2}
    assert not copies.end_fill("k", begun, reply, 0.0)


def test_of_two_answers_the_later_one_is_kept_in_whichever_order_they_come() -> None:
    copies = a_near()
    first, second = copies.begin_fill("k", 0.0), copies.begin_fill("k", 0.0)
    assert first is not None
    assert second is not None
    late = {"found": True, "pos": 9, "time": 0, "value": b"new", "version": 8}
    early = {"found": True, "pos": 7, "time": 0, "value": b"old", "version": 2}
    assert copies.end_fill("k", second, late, 0.0)
    assert not copies.end_fill("k", first, early, 0.0)
    # The event of what is known already changes nothing, and a later one does.
    copies.events(Place(EPOCH, 8), [{"type": "set", "key": "k", "version": 8, "at": 0}], 0.0)
    slot = copies.look("k", 0.0)
    assert slot is not None
    assert slot.value == b"new"
    copies.events(Place(EPOCH, 10), [{"type": "set", "key": "k", "version": 10, "at": 0}], 0.0)
    assert copies.look("k", 0.0) is None


def test_an_answer_from_before_what_the_copy_has_come_to_is_not_kept() -> None:
    copies = a_near()
    copies.events(Place(EPOCH, 6), [], 0.0)
    assert not fill(copies, "k", value=b"old", version=2, pos=5)
    assert fill(copies, "k", value=b"now", version=2, pos=6)
