"""What an entry does to the cache: one sentence each. `test_machine_model.py` has the rest."""

from __future__ import annotations

import msgpack
import pytest

from peers.core.entry import Dot, Entry, Origin
from peers.core.vector import GapError
from tests.engine.machine_helpers import (
    ORIGIN,
    START_MS,
    Writer,
    error_of,
    through_a_snapshot,
)
from tlru.engine.events import Event, EventType
from tlru.engine.machine import EXPIRE_MAX, Applied, Machine
from tlru.engine.operations import (
    LIFE_MS_MAX,
    Checkpoint,
    Clear,
    Delete,
    Evict,
    Expire,
    GiveUpWait,
    Incr,
    Lock,
    Once,
    Publish,
    Renew,
    Set,
    SetMany,
    Settings,
    Touch,
    UnknownOperationError,
    Unlock,
    encode,
)


def test_a_set_answers_with_the_index_of_its_entry_and_tells_all_of_the_item() -> None:
    write = Writer()
    applied = write.apply(write.entry(Set("k", b"\x01", ttl=500, rev=7, mime="text/plain")))
    event = Event(EventType.SET, "k", 1, START_MS, b"\x01", START_MS + 500, 7, "text/plain")
    assert applied == Applied([(write.dot(), {"applied": True, "version": 1})], [event])


def test_what_is_over_at_the_entrys_time_is_absent_and_leaves_as_expired() -> None:
    """No expire entry has come yet; the write finds it first, at the very millisecond."""
    write = Writer()
    write(Set("k", b"\x01", ttl=500))
    write.pass_time(500)
    assert write(Set("k", b"\x02", condition=("absent",))) == {"applied": True, "version": 2}
    assert write.events() == [("expire", "k"), ("set", "k")]


def test_a_set_that_is_not_applied_tells_what_is_there() -> None:
    write = Writer()
    write(Set("k", b"\x01", rev=7))
    assert write(Set("k", b"\x02", rev=7)) == {
        "applied": False,
        "version": 1,
        "value": b"\x01",
        "rev": 7,
    }
    assert write.last.events == []


def test_a_touch_gives_another_life_and_leaves_all_else() -> None:
    write = Writer()
    write(Set("k", b"\x01", ttl=500, rev=7, mime="text/plain"))
    write.pass_time(100)
    assert write(Touch("k", 1_000)) == {"found": True}
    expires = START_MS + 1_100
    assert write.last.events == [Event(EventType.TOUCH, "k", 2, START_MS + 100, None, expires)]
    item = write.machine.read("k", write.at)
    assert item is not None
    assert item.fields() == (
        *("k", b"\x01", 1, 2),  # the version is that of the set, the last change the touch's
        *(START_MS, START_MS, expires, 7, "text/plain"),
    )
    assert write(Touch("absent", 1_000)) == {"found": False}


def test_a_set_again_keeps_the_time_of_the_first() -> None:
    write = Writer()
    write(Set("k", b"\x01"))
    write.pass_time(100)
    write(Set("k", b"\x02"))
    item = write.machine.read("k", write.at)
    assert item is not None
    assert (item.created, item.at, item.version, item.changed) == (START_MS, write.at, 2, 2)
    write(Delete(("k",)))
    write(Set("k", b"\x03"))
    item = write.machine.read("k", write.at)
    assert item is not None
    assert item.created == write.at


def test_set_many_is_all_or_nothing() -> None:
    write = Writer()
    write(Set("b", b"\x01", rev=5))
    rows = (("a", b"\x02", None, None, None), ("b", b"\x02", None, 5, None))
    refused = write(SetMany(rows))
    assert refused == {"applied": False, "key": "b", "version": 1, "value": b"\x01", "rev": 5}
    assert write.machine.read("a", write.at) is None
    assert write(SetMany(rows[:1])) == {"applied": True, "version": 3}


@pytest.mark.parametrize(
    "value", [b"", b"\xcc", b"\xc0", b"\xcb" + bytes(8), b"\x01\x02", b"\xa1x"]
)
def test_incr_refuses_whatever_is_no_integer(value: bytes) -> None:
    """A value is any bytes, even none: that must not bring down every node at once."""
    write = Writer()
    write(Set("k", value))
    assert error_of(write(Incr("k"))) == "not_integer"


def test_incr_keeps_within_64_bits() -> None:
    write = Writer()
    write(Set("k", msgpack.packb(2**64 - 1)))
    assert error_of(write(Incr("k"))) == "out_of_range"
    write(Set("k", msgpack.packb(2**63)))
    assert write(Incr("k", by=-1)) == {"value": msgpack.packb(2**63 - 1), "version": 4}


def test_the_largest_numbers_that_may_come_are_borne() -> None:
    """What is reckoned from them is hashed as 64 bits, and packed into snapshots."""
    write = Writer(at=2**53)
    most = 2**64 - 1
    write(Set("k", b"\x01", LIFE_MS_MAX, rev=most), Once("s", most, 0, most - 1))
    write(Touch("k", LIFE_MS_MAX))
    write(Lock("l", LIFE_MS_MAX), Once("s", most, write.at))
    write(Lock("l", LIFE_MS_MAX, LIFE_MS_MAX), Once("t", most, write.at, 0))
    write(Renew("l", most, LIFE_MS_MAX))
    write(GiveUpWait("l", most, most))
    write(Set("k", b"\x01", condition=("unchanged", most)))
    write(Evict((("k", most),)))
    write(Expire(most))
    write(Checkpoint(most, most))
    write(Settings((("once_ms", most), ("max_bytes", most))))
    write(Incr("n", -(2**63)))
    through_a_snapshot(write.machine)


def test_an_entry_without_a_dot_changes_nothing_but_the_index_and_the_time() -> None:
    machine = Machine()
    entry = Entry(1, 3, START_MS, None, None, b"")
    assert machine.apply([entry]) == Applied([], [])
    assert (machine.index, machine.term, machine.at) == (1, 3, START_MS)


def test_a_void_is_not_done_and_the_next_of_its_origin_follows_it() -> None:
    write = Writer()
    assert error_of(write(None)) == "timeout"
    assert write(Set("k", b"\x01")) == {"applied": True, "version": 2}


def test_an_operation_that_came_too_late_is_not_done() -> None:
    write = Writer()
    assert error_of(write(Set("k", b"\x01"), until=write.at - 1)) == "timeout"
    assert write.last.events == []
    assert write(Set("k", b"\x01"), until=write.at) == {"applied": True, "version": 2}


def test_a_named_operation_that_came_twice_and_late_is_not_called_undone() -> None:
    """It was done: `timeout` with `no` would be a lie."""
    write = Writer()
    once = Once("s", 1, write.at)
    first = write(Incr("k"), once)
    assert write(Incr("k"), once, until=write.at - 1) == first


def test_a_batch_with_an_unknown_operation_changes_nothing_at_all() -> None:
    write = Writer()
    write(Set("k", b"\x01"))
    before = write.machine.digest()
    known = Entry(2, 1, write.at, Dot(ORIGIN, 1, 2), None, encode(Delete(("k",))))
    unknown = Entry(3, 1, write.at, Dot(ORIGIN, 1, 3), None, msgpack.packb((99, None)))
    with pytest.raises(UnknownOperationError, match="upgrade the node"):
        write.machine.apply([known, unknown])
    assert write.machine.digest() == before
    assert write.machine.apply([known]).replies == [(known.dot, {"deleted": 1, "version": 2})]


def test_entries_must_follow_each_other() -> None:
    machine = Machine()
    with pytest.raises(AssertionError, match="does not follow"):
        machine.apply([Entry(2, 1, START_MS, None, None, b"")])
    with pytest.raises(AssertionError, match="time went back"):
        machine.apply(
            [Entry(1, 1, START_MS, None, None, b""), Entry(2, 1, START_MS - 1, None, None, b"")]
        )


def test_a_gap_in_an_origins_sequence_is_met_before_its_entry_changes_anything() -> None:
    machine = Machine()
    with pytest.raises(GapError, match="one in between is missing"):
        machine.apply([Entry(1, 1, START_MS, Dot(ORIGIN, 1, 2), None, b"")])
    assert (machine.index, machine.at) == (0, 0)


def test_an_expire_entry_takes_a_thousand_in_the_order_of_time_and_key() -> None:
    write = Writer()
    keys = [f"k{n:05}" for n in range(EXPIRE_MAX + 10)]
    rows = tuple((key, b"\x01", 100 + (key > keys[700]), None, None) for key in reversed(keys))
    write(SetMany(rows))
    write.pass_time(1_000)
    write(Expire(write.at))
    assert write.events() == [("expire", key) for key in keys[:EXPIRE_MAX]]
    assert write.machine.next_due() == START_MS + 101
    write(Expire(write.at))
    assert write.events() == [("expire", key) for key in keys[EXPIRE_MAX:]]
    assert write.machine.next_due() is None


def test_an_expire_entry_never_runs_ahead_of_its_own_time() -> None:
    write = Writer()
    write(Set("k", b"\x01", ttl=500))
    write(Expire(write.at + 10_000))
    assert write.events() == []


def test_an_eviction_of_what_changed_meanwhile_does_nothing() -> None:
    write = Writer()
    write(Set("k", b"\x01"))
    write(Touch("k", 1_000))
    write(Evict((("k", 1), ("absent", 1))))
    assert write.events() == []
    write(Evict((("k", 2),)))
    assert write.events() == [("evict", "k")]


def test_the_reserved_keys_are_no_part_of_budgets_scans_clears_and_evictions() -> None:
    write = Writer()
    write(Set("_tlru/x", b"\x01"))
    write(Set("k", b"\x01"))
    machine = write.machine
    assert machine.items.count == 1
    assert [key for key, _ in machine.scan("", None, write.at)] == ["k"]
    assert [key for key, _ in machine.scan("_tlru/", None, write.at)] == []
    write(Settings((("max_entries", 0),)))
    assert machine.victims() == [("k", 2)]
    write(Evict((("_tlru/x", 1),)))
    assert write(Clear("_tlru/")) == {"deleted": 0, "version": 5}
    assert write(Clear("_")) == {"deleted": 0, "version": 6}
    assert write(Clear("")) == {"deleted": 1, "version": 7}
    assert machine.read("_tlru/x", write.at) is not None


def test_a_clear_around_the_reserved_keys_leaves_them_where_they_are() -> None:
    """They stand in the midst of what it takes, in the order of the keys."""
    write = Writer()
    for key in ("_tl", "_tlru", "_tlru/x", "_tlru/y", "_tlru0", "_tlz", "k"):
        write(Set(key, b"\x01"))
    assert write(Clear("_t")) == {"deleted": 4, "version": 8}
    assert list(write.machine.items.keys) == ["_tlru/x", "_tlru/y", "k"]
    write.machine.check()
    assert write(Clear()) == {"deleted": 1, "version": 9}
    assert list(write.machine.items.keys) == ["_tlru/x", "_tlru/y"]
    write.machine.check()


def test_a_publish_is_an_event_and_nothing_more() -> None:
    write = Writer()
    write(Publish("news", b"\x05"))
    assert write.last.events == [Event(EventType.MESSAGE, "news", 1, START_MS, b"\x05")]
    assert len(write.machine.items.store) == 0


def test_the_victims_are_those_that_were_not_used_for_longest() -> None:
    write = Writer()
    for key in "abcd":
        write(Set(key, b"\x01"))
    write.machine.read("a", write.at)
    write(Settings((("max_entries", 2),)))
    assert write.machine.over_budget() == (2, 0)
    assert write.machine.victims() == [("b", 2), ("c", 3)]


def test_the_budget_in_bytes_counts_what_an_item_takes_in_memory() -> None:
    write = Writer()
    write(Set("k", b"\x01"))
    one = write.machine.items.bytes
    write(Set("é", b"\x01", rev="é" * 10, mime="text/plain"))
    assert write.machine.items.bytes > 2 * one
    write(Settings((("max_bytes", one),)))
    assert write.machine.over_budget() == (0, write.machine.items.bytes - one)
    assert write.machine.victims() == [("k", 1), ("é", 2)]
    write(Settings((("max_bytes", None),)))
    assert write.machine.over_budget() == (0, 0)


def test_settings_are_changed_by_an_entry_and_survive_a_snapshot() -> None:
    write = Writer()
    reply = write(Settings((("max_entries", 5), ("once_ms", 1_000))))
    expected = {
        "limits": None,
        "max_bytes": 1 << 30,
        "max_entries": 5,
        "once_ms": 1_000,
        "tombstone_ms": 120_000,
    }
    assert reply == {"settings": expected}
    assert list(reply["settings"]) == sorted(expected)
    assert through_a_snapshot(write.machine).settings == expected


def test_a_checkpoint_finds_out_that_this_node_is_not_as_the_majority() -> None:
    write = Writer()
    write(Checkpoint(0, None))
    noted = write.machine.noted
    assert noted == (1, write.machine.digest())
    write(Checkpoint(1, noted[1]))
    assert not write.last.diverged
    write(Checkpoint(2, noted[1]))
    assert write.last.diverged


def test_a_node_that_starts_again_has_given_up_its_waits() -> None:
    """Their connections are gone; a lock that they got would be held by nobody."""
    write = Writer()
    write(Lock("l", 1_000))
    write(Lock("l", 1_000, wait=60_000))
    named = Once("s", 1, write.at)
    write(Lock("l", 2_000, wait=60_000), named)
    assert write.machine.locks.waiting == 2
    write.incarnation, write.sequence = 2, 0
    write(Publish("c", b""))
    assert write.machine.locks.waiting == 1
    write.pass_time(1_000)
    write(Expire(write.at))
    # The named one keeps its place, for its client may ask again through another node.
    fence = START_MS + 1_000
    assert write(Lock("l", 2_000, wait=60_000), named) == {
        "held": True,
        "fence": fence,
        "ttl": 2_000,
    }


def test_the_waits_of_other_nodes_stay_when_one_starts_again() -> None:
    write = Writer()
    write(Lock("l", 1_000))
    other = Dot(Origin("b", "birth-b"), 1, 1)
    waiting = Entry(2, 1, write.at, other, None, encode(Lock("l", 1_000, 60_000)))
    assert write.apply(waiting).replies == []
    write.incarnation, write.sequence = 2, 0
    write(Unlock("l", START_MS))
    held = {"held": True, "fence": START_MS + 1, "ttl": 1_000}
    assert write.last.replies == [(other, held), (write.dot(), {"released": True})]


def test_giving_up_is_for_ones_own_waits() -> None:
    write = Writer()
    write(Lock("l", 1_000))
    write(Lock("l", 1_000, wait=60_000))
    waiting = write.dot()
    assert write(GiveUpWait("m", 1, waiting.sequence)) == {"gave_up": False}
    assert write(GiveUpWait("l", 2, waiting.sequence)) == {"gave_up": False}
    assert write(GiveUpWait("l", 1, waiting.sequence)) == {"gave_up": True}
    assert write.machine.locks.waiting == 0
