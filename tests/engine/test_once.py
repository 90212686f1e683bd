"""Named operations are applied at most once, and what is forgotten is never taken for new."""

from __future__ import annotations

import msgpack
import pytest

from tests.compiled import as_it_is
from tests.engine.machine_helpers import Writer, bounds, error_of, through_a_snapshot
from tlru.engine import once as once_module
from tlru.engine.once import RECORDS_MAX, SKEW_MS, OnceTable
from tlru.engine.operations import Delete, Incr, Lock, Once, Publish, Set, Settings, Unlock

ONCE_MS = 120_000


def test_the_first_result_is_given_again_whatever_has_happened_since() -> None:
    write = Writer()
    once = Once("s", 1, write.at)
    first = write(Incr("k"), once)
    write(Delete(("k",)))
    write.pass_time(ONCE_MS)
    assert write(Incr("k"), once) == first
    assert write.last.events == []


def test_a_refusal_that_depends_on_what_is_there_is_a_result_too() -> None:
    write = Writer()
    write(Set("k", b"\xa1x"))
    once = Once("s", 1, write.at)
    assert error_of(write(Incr("k"), once)) == "not_integer"
    write(Set("k", b"\x01"))
    assert error_of(write(Incr("k"), once)) == "not_integer"


def test_a_repetition_past_its_time_is_too_old_and_changes_nothing() -> None:
    write = Writer()
    once = Once("s", 1, write.at)
    write(Incr("k"), once)
    write.pass_time(ONCE_MS + SKEW_MS + 1)
    write(Publish("c", b""))  # the record goes
    assert error_of(write(Incr("k"), once)) == "too_old"
    assert write.last.events == []


def test_a_record_outlives_every_repetition_that_is_accepted() -> None:
    """The first try may claim to be ahead of the cluster's time, and is kept for as much longer."""
    write = Writer()
    once = Once("s", 1, write.at + SKEW_MS)
    first = write(Incr("k"), once)
    for _ in range(ONCE_MS // 1_000 + 5):
        write.pass_time(1_000)
        assert write(Incr("k"), once) == first
    write.pass_time(1_000)
    assert error_of(write(Incr("k"), once)) == "too_old"


def test_a_first_try_from_the_future_is_refused() -> None:
    write = Writer()
    assert error_of(write(Incr("k"), Once("s", 1, write.at + SKEW_MS + 1))) == "bad_request"


def test_what_was_forgotten_stays_forgotten_when_the_time_to_keep_grows() -> None:
    """Else an operation that was applied two minutes ago would be applied again."""
    write = Writer()
    once = Once("s", 1, write.at)
    write(Incr("k"), once)
    write.pass_time(ONCE_MS + SKEW_MS + 300)
    write(Publish("c", b""))
    write(Settings((("once_ms", 10 * ONCE_MS),)))
    assert error_of(write(Incr("k"), once)) == "too_old"
    write = Writer(through_a_snapshot(write.machine), write.at)
    assert error_of(write(Incr("k"), once)) == "too_old"


def test_results_that_the_client_is_done_with_are_dropped_at_once() -> None:
    write = Writer()
    for n in range(1, 6):
        write(Incr("k"), Once("s", n, write.at))
    assert len(write.machine.once) == 6
    write(Incr("k"), Once("s", 6, write.at, done=4))
    assert len(write.machine.once) == 3  # the session, 5 and 6
    assert error_of(write(Incr("k"), Once("s", 4, write.at))) == "too_old"
    assert write(Incr("k"), Once("s", 5, write.at)) == {"value": msgpack.packb(5), "version": 5}


def test_results_out_of_order_are_not_found_once_they_are_done_with() -> None:
    write = Writer()
    for n in (9, 2, 3):
        write(Incr("k"), Once("s", n, write.at))
    write(Incr("k"), Once("s", 10, write.at, done=3))
    for n in (2, 3):
        assert error_of(write(Incr("k"), Once("s", n, write.at))) == "too_old"
    assert write(Incr("k"), Once("s", 9, write.at)) == {"value": b"\x01", "version": 1}
    write.machine.check()


def test_what_a_session_is_done_with_is_forgotten_with_it() -> None:
    """A client may begin its numbers anew; nobody can repeat what came before any more."""
    write = Writer()
    write(Incr("k"), Once("s", 10, write.at, done=9))
    write.pass_time(ONCE_MS + SKEW_MS)
    write(Publish("c", b""))
    assert error_of(write(Incr("k"), Once("s", 1, write.at))) == "too_old"
    write.pass_time(1)  # too little for the table to be looked through: the record still stands
    assert write(Incr("k"), Once("s", 1, write.at)) == {"value": b"\x02", "version": 4}


def test_a_full_table_refuses_new_names_and_forgets_none() -> None:
    write = Writer()
    with bounds(once_module, RECORDS_MAX=9):
        names = [Once("s", n, write.at) for n in range(6)]
        first = [write(Incr("k"), once) for once in names]
        assert len(write.machine.once) == 7
        assert error_of(write(Incr("k"), Once("s", 6, write.at))) == "overloaded"
        assert [write(Incr("k"), once) for once in names] == first
        # Saying that some are done makes room, though only an accepted operation can say so.
        write.pass_time(ONCE_MS + SKEW_MS + 1)
        assert write(Incr("k"), Once("s", 6, write.at)) == {"value": b"\x07", "version": 14}
        write.machine.check()


def test_a_full_table_in_bytes_refuses_new_names() -> None:
    write = Writer()
    with bounds(once_module, BYTES_MAX=100_000):
        write(Set("k", bytes(100_000)))
        assert write(Set("k", b""), Once("s", 0, write.at)) is not None
        write(Set("k", bytes(100_000)))
        old = write(Set("k", b"\x01", old=True), Once("s", 1, write.at))
        assert old is not None
        assert len(old["old"]) == 100_000
        assert error_of(write(Set("k", b"\x02"), Once("s", 2, write.at))) == "overloaded"
        assert error_of(write(Set("k", b"\x02"), Once("t", 2, write.at))) == "overloaded"
        assert write.machine.read("k", write.at).value == b"\x01"  # type: ignore[union-attr]


def test_results_that_are_owed_to_waiting_requests_have_their_places() -> None:
    """Their turns come whatever happens to the table meanwhile."""
    write = Writer()
    with bounds(once_module, RECORDS_MAX=12):
        fence = write.at
        write(Lock("l", 10**6))
        for n in range(3):
            assert write(Lock("l", 10**6, wait=10**6), Once(f"s{n}", 1, write.at)) is None
        while "error" not in (write(Incr("k"), Once("t", write.sequence, write.at)) or {}):
            write.machine.check()
        for _ in range(4):
            write(Unlock("l", fence))
            fence += 1
            write.machine.check()
        assert len(write.machine.once) <= 12


def test_an_overloaded_delete_may_be_tried_again_under_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Writer()
    once = Once("s", 1, write.at)
    write(Set("k", b"\x01", rev=1))
    with monkeypatch.context() as patched:
        patched.setattr("tlru.engine.tombstones.REVS_MAX", 0)
        assert error_of(write(Delete(("k",)), once)) == "overloaded"
    assert write(Delete(("k",)), once) == {"deleted": 1, "version": 3}


def test_one_name_for_two_requests_breaks_nothing() -> None:
    """A client's mistake, and none that may bring down every node at once."""
    write = Writer()
    once = Once("s", 1, write.at)
    write(Lock("l", 1_000))
    fence = write.at
    write(Lock("l", 1_000, wait=5_000), once)
    write(Lock("m", 1_000))
    write(Lock("m", 1_000, wait=5_000), once)
    assert write(Incr("k"), once) == {"value": b"\x01", "version": 5}
    write(Unlock("l", fence))
    write(Unlock("m", fence + 1))
    write.machine.check()
    assert write(Incr("k"), once) == {"value": b"\x01", "version": 5}


def test_a_session_is_remembered_for_as_long_as_its_results() -> None:
    """A waiter's turn makes a result long after the session was last heard of."""
    write = Writer()
    write(Settings((("once_ms", 1_000),)))
    fence = write.at
    write(Lock("l", 10**6))
    write(Lock("l", 10**6, wait=10**6), Once("s", 5, write.at, done=4))
    write.pass_time(60_000)
    write(Publish("c", b""))
    assert len(write.machine.once) == 0
    write(Unlock("l", fence))
    assert len(write.machine.once) == 2
    write.machine.check()


def test_a_first_try_is_accepted_for_exactly_as_long_as_results_are_kept() -> None:
    write = Writer()
    write(Publish("c", b""))
    assert error_of(write(Incr("k"), Once("s", 1, write.at - ONCE_MS - 1))) == "too_old"
    assert write(Incr("k"), Once("s", 2, write.at - ONCE_MS)) == {"value": b"\x01", "version": 3}


def test_a_result_that_nobody_will_ask_for_is_not_kept() -> None:
    write = Writer()
    assert write(Incr("k"), Once("s", 3, write.at, done=3)) == {"value": b"\x01", "version": 1}
    assert len(write.machine.once) == 1
    assert error_of(write(Incr("k"), Once("s", 3, write.at, done=3))) == "too_old"


@as_it_is
def test_the_bound_holds_a_thousand_named_writes_a_second() -> None:
    """So many clients that never say `done` can be served for as long as results are kept."""
    assert RECORDS_MAX / (ONCE_MS + SKEW_MS) * 1_000 > 1_000
    assert OnceTable.__doc__
