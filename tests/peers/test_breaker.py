"""A breaker opens when attempts keep failing, and lets single trials through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.breaker import Breaker, Circuit


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(failures_max=3, open_s=5)
    for _ in range(3):
        assert breaker.allows(now)
        breaker.failed(now)
    return breaker


def test_it_opens_when_attempts_keep_failing() -> None:
    breaker = opened()
    assert breaker.circuit is Circuit.OPEN
    assert not breaker.allows(4.9)
    assert breaker.wait(2.0) == 3.0


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(failures_max=2, open_s=5)
    for _ in range(5):
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.circuit is Circuit.CLOSED


def test_after_its_time_one_trial_is_let_through_and_no_second() -> None:
    breaker = opened()
    assert breaker.allows(5.0)
    assert breaker.circuit is Circuit.HALF_OPEN
    assert not breaker.allows(5.0)


def test_a_trial_that_fails_opens_it_for_as_long_again() -> None:
    breaker = opened()
    assert breaker.allows(5.0)
    breaker.failed(6.0)
    assert [breaker.allows(now) for now in (10.9, 11.0)] == [False, True]


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.allows(5.0)
    breaker.succeeded()
    assert breaker.circuit is Circuit.CLOSED
    assert breaker.allows(5.0)
    assert breaker.wait(5.0) == 0


def test_who_is_in_a_hurry_need_not_wait_for_it() -> None:
    breaker = opened()
    breaker.hurry(1.0)
    assert [breaker.allows(1.0), breaker.allows(1.0)] == [True, False]


@pytest.mark.parametrize(("failures_max", "open_s"), [(0, 1), (1, 0), (-1, 1)])
def test_a_breaker_without_sense_is_refused(failures_max: int, open_s: float) -> None:
    with pytest.raises(ValueError, match="a breaker needs"):
        Breaker(failures_max=failures_max, open_s=open_s)


@given(st.lists(st.tuples(st.sampled_from(["try", "ok", "bad", "hurry"]), st.floats(0, 9))))
def test_whatever_happens_an_open_one_tries_nothing_before_its_time(
    steps: list[tuple[str, float]],
) -> None:
    """And there is never a state in which nothing will be tried for ever."""
    breaker, now, trying = Breaker(failures_max=2, open_s=5), 0.0, 0
    for what, passed in steps:
        now += passed
        if what == "try":
            due = breaker.wait(now) == 0 and breaker.circuit is not Circuit.HALF_OPEN
            allowed = breaker.allows(now)
            assert allowed is due
            trying += allowed
        elif what == "hurry":
            breaker.hurry(now)
        elif trying:
            trying = 0
            if what == "ok":
                breaker.succeeded()
                assert breaker.circuit is Circuit.CLOSED
            else:
                breaker.failed(now)
        assert breaker.wait(now) <= 5 + 1e-9  # what is added and taken off again is not the same
        if breaker.circuit is Circuit.HALF_OPEN:
            assert trying, "a trial is under way, and its end will be told"
