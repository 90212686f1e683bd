"""Locks: fences grow, turns are taken in the order of the log, and nobody waits for a free lock."""

from __future__ import annotations

from tests.engine.machine_helpers import START_MS, Writer, bounds, dots, error_of
from tlru.engine import locks, machine
from tlru.engine.operations import Expire, Lock, Once, Renew, Unlock


def held(fence: int, ttl: int = 1_000) -> dict[str, object]:
    return {"held": True, "fence": fence, "ttl": ttl}


def test_a_fence_is_the_entrys_time_or_one_more_than_the_last() -> None:
    """So it also grows where indexes begin anew, and never repeats within a millisecond."""
    write = Writer()
    assert write(Lock("l", 1_000)) == held(START_MS)
    assert write(Lock("m", 1_000)) == held(START_MS + 1)
    write.pass_time(500)
    assert write(Lock("n", 1_000)) == held(START_MS + 500)


def test_a_lock_that_is_held_is_not_had_twice() -> None:
    write = Writer()
    write(Lock("l", 1_000))
    write.pass_time(400)
    assert write(Lock("l", 1_000)) == {"held": False, "ttl": 600}


def test_turns_are_taken_in_the_order_of_the_log() -> None:
    write = Writer()
    write(Lock("l", 1_000))
    assert write(Lock("l", 2_000, wait=9_000)) is None
    assert write(Lock("l", 3_000, wait=9_000)) is None
    write(Unlock("l", START_MS))
    assert dots(write.last) == [(2, held(START_MS + 1, 2_000)), (4, {"released": True})]
    write.pass_time(2_000)
    write(Expire(write.at))
    assert dots(write.last) == [(3, held(START_MS + 2_000, 3_000)), (5, {})]


def test_a_waiter_whose_patience_is_over_is_passed_over() -> None:
    write = Writer()
    write(Lock("l", 1_000))
    write(Lock("l", 1_000, wait=1_000))
    write(Lock("l", 1_000, wait=1_001))
    write.pass_time(1_000)
    write(Unlock("l", START_MS))
    turn = held(START_MS + 1_000)
    assert dots(write.last) == [(2, {"held": False}), (3, turn), (4, {"released": False})]


def test_a_life_that_is_over_is_neither_renewed_nor_released() -> None:
    write = Writer()
    write(Lock("l", 1_000))
    write.pass_time(1_000)
    assert write(Renew("l", START_MS, 1_000)) == {"held": False}
    assert write(Unlock("l", START_MS)) == {"released": False}
    assert len(write.machine.locks) == 0


def test_a_renewed_life_begins_with_the_entry() -> None:
    write = Writer()
    write(Lock("l", 1_000))
    write.pass_time(900)
    assert write(Renew("l", START_MS + 1, 500)) == {"held": False}
    assert write(Renew("l", START_MS, 500)) == {"held": True, "ttl": 500}
    assert write.machine.next_due() == write.at + 500


def test_ends_of_lives_and_waits_come_in_the_order_of_time() -> None:
    write = Writer()
    write(Lock("b", 300))
    write(Lock("a", 500))
    write(Lock("a", 1_000, wait=200))
    write(Lock("a", 1_000, wait=10_000))
    write(Lock("b", 1_000, wait=10_000))
    write.pass_time(600)
    write(Expire(write.at))
    # The patience of 3 ends at 200, the lock b at 300, the lock a at 500.
    assert dots(write.last) == [
        (3, {"held": False}),
        (5, held(START_MS + 600)),
        (4, held(START_MS + 601)),
        (6, {}),
    ]


def test_a_named_request_that_comes_again_keeps_its_place() -> None:
    write = Writer()
    name = Once("s", 1, write.at)
    write(Lock("l", 1_000))
    write(Lock("l", 1_000, wait=5_000), name)
    write(Lock("l", 1_000, wait=5_000))
    write(Lock("l", 1_000, wait=5_000), name)  # its connection broke, and it asks elsewhere
    assert dots(write.last) == [(2, {"held": False})]
    write(Unlock("l", START_MS))
    assert dots(write.last) == [(4, held(START_MS + 1)), (5, {"released": True})]
    assert write(Lock("l", 1_000, wait=5_000), name) == held(START_MS + 1)


def test_a_named_request_keeps_its_place_in_a_full_queue() -> None:
    write = Writer()
    name = Once("s", 1, write.at)
    with bounds(locks, WAITERS_PER_LOCK_MAX=1):
        write(Lock("l", 1_000))
        assert write(Lock("l", 1_000, wait=5_000), name) is None
        assert error_of(write(Lock("l", 1_000, wait=5_000))) == "overloaded"
        assert write(Lock("l", 1_000, wait=5_000), name) is None


def test_a_named_request_that_comes_again_too_late_leaves_the_first_in_its_place() -> None:
    """It must not be told that nothing was done, for the first try may yet get the lock."""
    write = Writer()
    name = Once("s", 1, write.at)
    write(Lock("l", 1_000))
    write(Lock("l", 1_000, wait=5_000), name)
    again = write(Lock("l", 1_000, wait=5_000), name, until=write.at - 1)
    assert error_of(again) == "too_old"
    write(Unlock("l", START_MS))
    assert dots(write.last)[0] == (2, held(START_MS + 1))


def test_a_named_request_whose_turn_comes_with_its_repetition_is_answered_with_it() -> None:
    write = Writer()
    name = Once("s", 1, write.at)
    write(Lock("l", 1_000))
    write(Lock("l", 1_000, wait=5_000), name)
    write.pass_time(1_000)
    write(Lock("l", 1_000, wait=5_000), name)
    turn = held(START_MS + 1_000)
    assert dots(write.last) == [(2, turn), (3, turn)]


def test_waiting_in_vain_is_not_remembered() -> None:
    write = Writer()
    name = Once("s", 1, write.at)
    write(Lock("l", 1_000))
    write(Lock("l", 1_000, wait=10), name)
    write.pass_time(10)
    write(Expire(write.at))
    assert dots(write.last) == [(2, {"held": False}), (3, {})]
    write(Unlock("l", START_MS))
    assert write(Lock("l", 1_000), name) == held(START_MS + 10)


def test_no_more_locks_and_waits_than_the_bounds_allow() -> None:
    write = Writer()
    with bounds(locks, LOCKS_MAX=2, WAITERS_MAX=3, WAITERS_PER_LOCK_MAX=2):
        write(Lock("l", 1_000))
        write(Lock("m", 1_000))
        assert error_of(write(Lock("n", 1_000))) == "overloaded"
        assert write(Lock("l", 1_000)) == {"held": False, "ttl": 1_000}
        for _ in range(2):
            assert write(Lock("l", 1_000, wait=10)) is None
        assert error_of(write(Lock("l", 1_000, wait=10))) == "overloaded"
        assert write(Lock("m", 1_000, wait=10)) is None
        assert error_of(write(Lock("m", 1_000, wait=10))) == "overloaded"
        write.machine.check()


def test_waits_that_a_lock_passes_over_count_as_ended_too() -> None:
    write = Writer()
    for name in "abcde":
        write(Lock(name, 10))
        write(Lock(name, 10, wait=11))
        write(Lock(name, 10, wait=11))
    write.pass_time(11)
    left = []
    with bounds(machine, EXPIRE_MAX=4):
        while len(write.machine.locks):
            write(Expire(write.at))
            left.append((len(write.machine.locks), write.machine.locks.waiting))
    assert left == [(3, 6), (1, 2), (0, 0)]


def test_ending_waits_is_bounded_by_entry_and_goes_on_in_the_next() -> None:
    write = Writer()
    write(Lock("l", 10**6))
    for _ in range(10):
        write(Lock("l", 10**6, wait=10))
    write.pass_time(10)
    with bounds(machine, EXPIRE_MAX=4):
        waiting = []
        for _ in range(3):
            write(Expire(write.at))
            waiting.append(write.machine.locks.waiting)
    assert waiting == [6, 2, 0]
