"""Waits stay within their ceilings, and retries within their budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.resilience import Backoff, RetryBudget, TokenBucket, full_jitter

chances = st.floats(min_value=0, max_value=1, exclude_max=True)


def test_the_ceiling_doubles_until_it_meets_the_most() -> None:
    """With the highest chance the waits are the ceilings themselves."""
    backoff = Backoff(lambda: 1.0, first=0.1, most=1.0)
    waits = [backoff.wait() for _ in range(6)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_a_success_makes_it_start_over() -> None:
    backoff = Backoff(lambda: 1.0, first=0.5, most=8)
    assert [backoff.wait(), backoff.wait()] == [0.5, 1.0]
    backoff.reset()
    assert backoff.wait() == 0.5


@given(st.lists(chances, min_size=1, max_size=80))
def test_a_wait_is_never_negative_and_never_above_the_most(drawn: list[float]) -> None:
    rest = iter(drawn)
    backoff = Backoff(lambda: next(rest))
    assert all(0 <= backoff.wait() <= 20 for _ in drawn)


@given(st.integers(min_value=0, max_value=10**6), chances)
def test_the_whole_range_up_to_the_ceiling_is_used(attempt: int, chance: float) -> None:
    """Full jitter: the wait is the chance times the ceiling, not a ceiling with a little noise."""
    ceiling = full_jitter(attempt, 1.0, first=0.1, most=20)
    assert full_jitter(attempt, chance, first=0.1, most=20) == pytest.approx(chance * ceiling)


@pytest.mark.parametrize(("first", "most"), [(0, 1), (-1, 1), (2, 1)])
def test_a_backoff_without_sense_is_refused(first: float, most: float) -> None:
    with pytest.raises(ValueError, match="a backoff needs"):
        Backoff(lambda: 0.5, first=first, most=most)


@pytest.mark.parametrize(
    "wrong", [{"share": -0.1}, {"floor_per_s": -1.0}, {"saved_max": 0.5}], ids=str
)
def test_a_budget_without_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a retry budget needs"):
        RetryBudget(**wrong)


def test_a_lone_caller_gets_its_retries() -> None:
    """It has made one request; a tenth of that alone would buy it nothing."""
    budget = RetryBudget(floor_per_s=0.5)
    assert [budget.spend(asked=1, now=0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert budget.spend(asked=1, now=2.0)
    assert not budget.spend(asked=1, now=2.0)


def test_traffic_earns_a_tenth_of_its_number() -> None:
    budget = RetryBudget(floor_per_s=0, saved_max=50)
    assert budget.spend(asked=0, now=0.0), "one is there from the beginning"
    assert not budget.spend(asked=9, now=0.0)
    granted = sum(budget.spend(asked=209, now=0.0) for _ in range(100))
    assert granted == 20


def test_a_long_calm_does_not_pay_for_a_storm() -> None:
    budget = RetryBudget(saved_max=30)
    assert budget.spend(asked=10**9, now=0.0)
    granted = sum(budget.spend(asked=10**9, now=10.0**9) for _ in range(1000))
    assert granted == 30


@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.floats(-5, 60, allow_nan=False), st.integers(0, 40)),
        max_size=60,
    )
)
def test_retries_stay_within_share_and_floor(
    steps: list[tuple[int, float, int]],
) -> None:
    """Whatever the order of traffic, time (a clock that goes back too) and storms of retries."""
    budget = RetryBudget(share=0.1, floor_per_s=1.0, saved_max=100)
    asked, now, granted, forward = 0, 0.0, 0, 0.0
    for more, passed, storm in steps:
        asked, now, forward = asked + more, now + passed, forward + max(0.0, passed)
        granted += sum(budget.spend(asked, now) for _ in range(storm))
        assert granted <= 10 + 0.1 * asked + forward + 1e-6


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3)
    assert [bucket.take(1, 0.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.1])
    assert bucket.take(1, 0.05) == pytest.approx(0.05)
    assert bucket.take(1, 0.11) == 0
    assert [bucket.take(1, 100.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.1])


def test_what_is_larger_than_the_burst_is_paid_for_afterwards() -> None:
    bucket = TokenBucket(rate=10, burst=5)
    assert bucket.take(25, 0.0) == 0
    assert bucket.take(1, 0.0) == pytest.approx(2.1)
    assert bucket.take(1, 2.2) == 0


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 8)), min_size=1, max_size=60))
def test_a_bucket_never_gives_more_than_its_rate_and_burst(asked: list[tuple[float, int]]) -> None:
    bucket, now, given_, largest = TokenBucket(rate=2, burst=4), 0.0, 0.0, 0
    for pause, amount in asked:
        now += pause
        wait = bucket.take(amount, now)
        assert wait >= 0
        if not wait:
            given_, largest = given_ + amount, max(largest, amount)
        assert given_ <= 4 + 2 * now + max(0, largest - 4) + 1e-6


def test_a_bucket_without_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="rate > 0"):
        TokenBucket(rate=0, burst=1)
