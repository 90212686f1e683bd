"""What is gone is remembered for long enough: no race is missed, and no older revision comes in."""

from __future__ import annotations

import pytest

from tests.engine.machine_helpers import Writer, bounds, error_of, through_a_snapshot
from tlru.engine import tombstones
from tlru.engine.operations import (
    Clear,
    Delete,
    Evict,
    Expire,
    Incr,
    Publish,
    Rev,
    Set,
    Settings,
)
from tlru.engine.tombstones import STONE_OVERHEAD_BYTES

TOMBSTONE_MS = 120_000


def fill(write: Writer, key: str, pos: int) -> bool:
    """Whether a value read from a database after a miss at `pos` may be kept."""
    reply = write(Set(key, b"\x01", condition=("unchanged", pos)))
    assert reply is not None
    return bool(reply["applied"])


@pytest.mark.parametrize(
    "change",
    [Delete(("k",)), Delete(("k",), rev=5), Clear(""), Clear("k"), Set("k", b"\x02")],
    ids=str,
)
def test_a_change_since_the_miss_is_noticed(change: Delete | Clear | Set) -> None:
    write = Writer()
    pos = write.machine.index
    write(change)
    assert not fill(write, "k", pos)


def test_a_set_that_was_evicted_or_expired_since_is_noticed() -> None:
    write = Writer()
    write(Publish("c", b""))
    write(Set("k", b"\x02"))
    write(Evict((("k", 2),)))
    write(Set("x", b"\x02", ttl=10))
    write.pass_time(10)
    write(Expire(write.at))
    assert not fill(write, "k", 1)
    assert not fill(write, "x", 3)


def test_expiry_and_eviction_by_themselves_do_not_count() -> None:
    write = Writer()
    write(Set("k", b"\x02", ttl=10))
    write(Set("x", b"\x02"))
    pos = write.machine.index
    write.pass_time(10)
    write(Expire(write.at))
    write(Evict((("x", 2),)))
    assert fill(write, "k", pos)
    assert fill(write, "x", pos)


def test_one_key_that_goes_says_nothing_of_the_others() -> None:
    """Only where the memory is full, or long ago, is the answer "perhaps"."""
    write = Writer()
    write(Set("k", b"\x02", ttl=10))
    write(Set("x", b"\x02"))
    write.pass_time(10)
    write(Expire(write.at))
    write(Evict((("x", 2),)))
    write(Delete(("y",)))
    assert fill(write, "other", 0)


def test_a_delete_of_what_was_not_there_counts() -> None:
    """An invalidation is meant for the value that somebody is about to bring."""
    write = Writer()
    write(Publish("c", b""))
    write(Delete(("k",)))
    assert not fill(write, "k", 1)


def test_a_clear_of_another_prefix_does_not_count() -> None:
    write = Writer()
    write(Publish("c", b""))
    write(Clear("kk"))
    write(Clear("x"))
    assert fill(write, "k", 1)


@pytest.mark.parametrize(
    ("older", "newer"), [(-3, 1), (1, 2), (10, "1"), ("", "0"), ("10", "9"), ("z", "é")]
)
def test_an_older_revision_never_replaces_a_newer(older: Rev, newer: Rev) -> None:
    write = Writer()

    def refused(rev: Rev) -> bool:
        reply = write(Set("k", b"\x01", rev=rev))
        return reply is not None and reply["applied"] is False

    assert not refused(newer)
    assert refused(older)
    assert refused(newer)
    write(Delete(("k",)))
    assert refused(older)
    assert refused(newer)


def test_a_revision_is_remembered_across_another_delete() -> None:
    """The second one says nothing of revisions, and takes nothing away."""
    write = Writer()
    write(Set("k", b"\x01", rev=5))
    write(Delete(("k",)))
    write(Delete(("k",)))
    assert write(Set("k", b"\x01", rev=5)) == {"applied": False}


def test_a_revision_is_remembered_across_an_item_that_came_and_went() -> None:
    write = Writer()
    write(Delete(("k",), rev=5))
    write(Set("k", b"\x01", rev=6, ttl=10))
    write.pass_time(10)
    write(Expire(write.at))
    assert write(Set("k", b"\x01", rev=4)) == {"applied": False}


def test_a_revision_is_remembered_beside_an_item_without_one() -> None:
    write = Writer()
    write(Delete(("k",), rev=5))
    write(Set("k", b"\x01"))
    refused = write(Set("k", b"\x02", rev=4))
    assert refused == {"applied": False, "version": 2, "value": b"\x01"}
    write(Incr("k"))
    assert write(Set("k", b"\x02", rev=6)) == {"applied": True, "version": 5}


def test_a_revision_is_forgotten_exactly_when_its_time_is_over() -> None:
    write = Writer()
    write(Delete(("k",), rev=5))
    write.pass_time(TOMBSTONE_MS)
    assert write(Set("k", b"\x01", rev=5)) == {"applied": False}
    write.pass_time(1)
    assert write(Set("k", b"\x01", rev=5)) == {"applied": True, "version": 3}


def test_a_later_delete_makes_a_revision_be_remembered_for_longer() -> None:
    write = Writer()
    write(Delete(("k",), rev=5))
    write.pass_time(TOMBSTONE_MS - 1)
    write(Delete(("k",)))
    write.pass_time(TOMBSTONE_MS)
    assert write(Set("k", b"\x01", rev=5)) == {"applied": False}


def test_what_was_forgotten_stays_forgotten_when_the_time_to_keep_grows() -> None:
    write = Writer()
    write(Delete(("k",), rev=5))
    write.pass_time(TOMBSTONE_MS)
    write(Publish("c", b""))
    write.pass_time(1)  # too little for the table to be looked through: the record still stands
    write(Publish("c", b""))
    assert len(write.machine.tombstones) == 1
    write(Settings((("tombstone_ms", 10 * TOMBSTONE_MS),)))
    assert write.machine.tombstones.rev_of("k") is None
    assert through_a_snapshot(write.machine).tombstones.rev_of("k") is None


def test_a_full_table_of_revisions_refuses_deletes_and_forgets_nothing() -> None:
    write = Writer()
    with bounds(tombstones, REVS_MAX=3):
        for n in range(3):
            write(Delete((f"k{n}",), rev=5))
        write(Set("k3", b"\x01", rev=5))
        assert error_of(write(Delete(("k3",)))) == "overloaded"
        assert write.machine.read("k3", write.at) is not None
        assert write(Delete(("k0",), rev=6)) == {"deleted": 0, "version": 6}
        assert write(Delete(("x",))) == {"deleted": 0, "version": 7}
        assert write(Set("k1", b"\x01", rev=5)) == {"applied": False}
        write.pass_time(TOMBSTONE_MS + 1)
        assert write(Delete(("k3",))) == {"deleted": 1, "version": 9}
        write.machine.check()


def test_a_delete_of_many_is_refused_whole_where_there_is_not_room_for_all() -> None:
    write = Writer()
    with bounds(tombstones, REVS_MAX=3):
        keys = tuple(f"k{n}" for n in range(4))
        for key in keys:
            write(Set(key, b"\x01", rev=1))
        assert error_of(write(Delete(keys))) == "overloaded"
        assert write.last.events == []
        assert write(Delete(keys[:3])) == {"deleted": 3, "version": 6}
        write.machine.check()


def test_revisions_are_bounded_in_bytes_too() -> None:
    write = Writer()
    with bounds(tombstones, REVS_BYTES_MAX=3_000):
        assert write(Delete(("k",), rev="x" * 1_000)) == {"deleted": 0, "version": 1}
        assert write(Delete(("l",), rev="x" * 1_000)) == {"deleted": 0, "version": 2}
        assert error_of(write(Delete(("m",), rev="x" * 1_000))) == "overloaded"
        assert write(Delete(("m",), rev="x")) == {"deleted": 0, "version": 4}
        write.machine.check()


@pytest.mark.parametrize(
    "bound", [{"GONE_MAX": 10}, {"GONE_BYTES_MAX": 10 * (STONE_OVERHEAD_BYTES + 3)}]
)
def test_a_full_table_of_the_gone_says_perhaps(bound: dict[str, int]) -> None:
    """A race is never missed; a fill is repeated where it need not be."""
    write = Writer()
    with bounds(tombstones, DROPPED_AT_ONCE=4, **bound):
        write(Publish("c", b""))
        for n in range(12):
            write(Delete((f"k{n:02}",)))
            write.machine.check()
    pos = write.machine.index
    assert not fill(write, "k00", 1)
    assert not fill(write, "never seen", 1)
    assert not fill(write, "k11", pos - 1)
    assert fill(write, "k11", pos)
    assert fill(write, "never seen", pos - 1)


def test_a_clear_says_nothing_of_reserved_keys() -> None:
    write = Writer()
    write(Publish("c", b""))
    write(Clear())
    write(Clear("_tlru/"))
    assert fill(write, "_tlru/x", 1)


def test_many_clears_say_perhaps() -> None:
    write = Writer()
    with bounds(tombstones, CLEARS_MAX=8):
        write(Publish("c", b""))
        for n in range(9):
            write(Clear(f"p{n}"))
            write.machine.check()
    assert not fill(write, "k", 1)
    assert not fill(write, "p0x", 1)
    assert not fill(write, "p8x", 9)
    assert fill(write, "k", 9)


def test_old_tombstones_go_and_leave_perhaps() -> None:
    write = Writer()
    write(Publish("c", b""))
    write(Delete(("a", "b")))
    write(Clear("p"))
    write.pass_time(TOMBSTONE_MS + 1)
    pos = write.machine.index
    write(Publish("c", b""))
    assert len(write.machine.tombstones) == 0
    assert not fill(write, "a", 1)
    assert not fill(write, "p", 1)
    assert fill(write, "a", pos)


def test_an_old_item_that_goes_needs_no_tombstone() -> None:
    """Evicting what was written long ago leaves nothing but a higher floor."""
    write = Writer()
    write(Set("k", b"\x01"))
    write.pass_time(TOMBSTONE_MS + 1)
    write(Publish("c", b""))
    write(Evict((("k", 1),)))
    assert len(write.machine.tombstones) == 0
    assert not fill(write, "k", 0)
    assert fill(write, "k", 1)
