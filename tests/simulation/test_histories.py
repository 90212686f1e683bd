"""Sessions, counters and locks: what kept its promise passes, and no planted fault does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.histories import (
    Denial,
    Did,
    Grant,
    Increment,
    Observation,
    Outcome,
    check_counter,
    check_locks,
    check_session,
)

DONE, NOT_DONE, UNKNOWN = Outcome.DONE, Outcome.NOT_DONE, Outcome.UNKNOWN

# Sessions


def read(version: int, pos: int, *, minimum: int = 0, epoch: str = "1-x") -> Observation:
    return Observation(Did.READ, "k", version, pos, epoch, minimum)


def wrote(version: int) -> Observation:
    return Observation(Did.WROTE, "k", version, version, "1-x")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=30))
def test_a_session_that_reads_forwards_passes(moves: list[tuple[bool, int]]) -> None:
    """Each position sets or deletes in turn; every node is as far as the session or farther."""
    pos = 0
    seen = []
    for writes, ahead in moves:
        minimum, pos = pos, pos + ahead + writes
        seen.append(wrote(pos) if writes else read(pos if pos % 2 else 0, pos, minimum=minimum))
    # Reads that show an item after the deletion at an even position are of a later version.
    assert check_session("s", seen) is None


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        ([read(5, 9), read(4, 9)], "reads version 4 after it read 5"),
        ([wrote(5), read(4, 9)], "reads version 4 after it wrote 5"),
        (
            [wrote(5), read(0, 4)],
            "version 5, which the session wrote, is missing at position 4",
        ),
        ([read(5, 8, minimum=9)], "min 9 was answered from position 8"),
        ([read(5, 4)], "version 5 was answered from position 4, which is before it"),
        ([read(0, 9), read(5, 12)], "reads version 5, though it was absent at position 9"),
    ],
)
def test_a_session_that_goes_backwards_is_caught(seen: list[Observation], sentence: str) -> None:
    violation = check_session("s", seen)
    assert violation is not None
    assert violation.sentence == f"session s, key 'k': {sentence}"
    assert violation.evidence == tuple(seen)


def test_a_session_may_find_a_key_gone_or_another_epoch() -> None:
    assert check_session("s", [read(5, 9), read(0, 5), read(6, 6)]) is None
    assert check_session("s", [read(5, 9), read(1, 2, epoch="2-y")]) is None
    assert check_session("s", [read(0, 9), read(5, 9)], gone_stays_gone=False) is None


# Exactly once

outcomes = st.sampled_from(Outcome)


@given(st.lists(st.tuples(outcomes, st.booleans()), max_size=30), st.booleans())
def test_a_counter_that_counts_once_passes(tries: list[tuple[Outcome, bool]], powers: bool) -> None:
    value = 0
    increments = []
    for index, (outcome, happens) in enumerate(tries):
        by = 1 << index if powers else 1
        if outcome is DONE or (outcome is UNKNOWN and happens):
            value += by
        increments.append(Increment(by, outcome, value if outcome is DONE else None))
    assert check_counter("c", increments, value or None) is None


@pytest.mark.parametrize(
    ("increments", "final", "sentence"),
    [
        (
            [Increment(1, DONE, 1), Increment(1, UNKNOWN)],
            3,
            "holds 3, but 1 acknowledged increments make 1, and 1 of unknown outcome at most 2",
        ),
        (
            [Increment(1, DONE, 1)],
            None,
            "holds 0, but 1 acknowledged increments make 1, and 0 of unknown outcome at most 1",
        ),
        (
            [Increment(1, DONE, 1), Increment(1, DONE, 1), Increment(1, UNKNOWN)],
            2,
            "two increments made it 1",
        ),
        (
            [Increment(1, UNKNOWN), Increment(2, DONE, 2), Increment(8, UNKNOWN)],
            8,
            "holds 8, without the acknowledged 2",
        ),
        (
            [Increment(1, DONE, 1), Increment(2, NOT_DONE), Increment(4, UNKNOWN)],
            3,
            "holds 3, with 2, which was not done",
        ),
        (
            [Increment(1, DONE, 3), Increment(1, UNKNOWN)],
            2,
            "holds 2, but an increment by 1 made it 3",
        ),
    ],
)
def test_a_counter_that_counts_twice_or_not_at_all_is_caught(
    increments: list[Increment], final: int | None, sentence: str
) -> None:
    violation = check_counter("c", increments, final)
    assert violation is not None
    assert violation.sentence == f"counter 'c': {sentence}"


# Locks


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 3, st.booleans()), max_size=20))
def test_holders_that_take_turns_pass(turns: list[tuple[int, int, int, bool]]) -> None:
    now = fence = 0
    grants = []
    for wait, life, step, lets_go in turns:
        now += wait
        fence = max(now, fence + 1)
        grants.append(
            Grant("l", "h", fence, now, now + life + step, now + life if lets_go else None)
        )
        now = grants[-1].until
    assert check_locks(grants[::-1]) is None
    assert check_locks([*grants, Grant("another", "h", 1, 0, 10**6)]) is None


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (Grant("l", "b", 8, 15, 30), "b got it at 15, though a had it until 20"),
        (Grant("l", "b", 7, 20, 30), "b got fence 7 at 20, after a had 7"),
        (Grant("l", "b", 6, 25, 30), "b got fence 6 at 25, after a had 7"),
    ],
)
def test_two_holders_and_an_old_fence_are_caught(second: Grant, sentence: str) -> None:
    first = Grant("l", "a", 7, 10, 20)
    violation = check_locks([first, second])
    assert violation is not None
    assert violation.sentence == f"lock 'l': {sentence}"
    assert violation.evidence == (first, second)


def test_a_lock_let_go_early_is_free() -> None:
    assert check_locks([Grant("l", "a", 7, 10, 20, 14), Grant("l", "b", 8, 15, 30)]) is None


def test_who_is_denied_what_another_has_passes() -> None:
    grants = [Grant("l", "a", 7, 10, 20, 14), Grant("l", "b", 15, 15, 30)]
    denials = [Denial("l", 12), Denial("l", 14), Denial("l", 14, 7), Denial("l", 16, 7)]
    assert check_locks(grants, denials) is None


@pytest.mark.parametrize(
    ("denial", "sentence"),
    [
        (Denial("l", 21), "it was refused at 21, though nobody had it"),
        (Denial("l", 9), "it was refused at 9, though nobody had it"),
        (Denial("l", 19, 7), "a had it until 20 by 7, and is denied it at 19"),
    ],
)
def test_who_is_denied_what_is_free_or_his_own_is_caught(denial: Denial, sentence: str) -> None:
    violation = check_locks([Grant("l", "a", 7, 10, 20)], [denial])
    assert violation is not None
    assert violation.sentence == f"lock 'l': {sentence}"
