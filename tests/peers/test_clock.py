"""Cluster time runs on evenly, whatever the wall clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peers.core.clock import DRIFT_PPM, SAMPLES, ClusterClock, FollowedClock, resume_from

moments = st.integers(0, 2**53)


def test_it_runs_on_from_the_reading_that_it_was_given() -> None:
    clock = ClusterClock(1_000_000, now=50)
    assert clock.read(50) == 1_000_000
    assert clock.read(75) == 1_000_025


@given(moments, moments, st.lists(moments, min_size=1))
def test_it_never_goes_back(started: int, now: int, readings: list[int]) -> None:
    clock = ClusterClock(started, now)
    times = [clock.read(reading) for reading in readings]
    assert times == sorted(times)
    assert times[0] >= started


def test_the_time_that_the_cluster_was_down_counts() -> None:
    assert resume_from(stored_cluster_ms=500, stored_wall_ms=1_000, wall_ms=61_000) == 60_500


@given(moments, moments, moments)
def test_a_wall_clock_that_was_set_back_adds_nothing_and_takes_nothing(
    cluster_ms: int, stored: int, wall: int
) -> None:
    resumed = resume_from(cluster_ms, stored, wall)
    assert resumed == cluster_ms + max(0, wall - stored)


@given(moments, moments, moments)
def test_as_much_has_passed_as_a_note_may_be_old(cluster_ms: int, stored: int, wall: int) -> None:
    resumed = resume_from(cluster_ms, stored, wall, note_age_ms=1_000)
    assert resumed == cluster_ms + max(1_000, wall - stored)


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 300)), min_size=1, max_size=60))
def test_the_best_of_the_last_words_is_followed(words: list[tuple[int, int]]) -> None:
    """As a plain look at all of them finds it, also when the best one goes."""
    clock, now, heard = FollowedClock(), 0, list[tuple[int, int]]()
    for later, error in words:
        now += later
        clock.hear(now, now, now - error)
        heard.append((now, error))
        worse = (error + (now - at) * DRIFT_PPM // 1_000_000 for at, error in heard[-SAMPLES:])
        assert clock.error(now) == min(worse)
