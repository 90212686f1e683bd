"""The histogram of a bench tells percentiles within one percent, in bounded memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.cli.latency import Latencies

DURATIONS = st.lists(st.floats(1e-6, 900.0), min_size=1, max_size=200)


@given(DURATIONS, st.floats(0.1, 100.0))
def test_a_percentile_is_at_most_one_percent_above_the_true_one(
    durations: list[float], percent: float
) -> None:
    latencies = Latencies()
    for duration in durations:
        latencies.record(duration)
    rank = max(1, math.ceil(len(durations) * percent / 100))
    true = sorted(durations)[rank - 1]
    assert true * 0.9999 <= latencies.percentile(percent) <= true * 1.0101
    assert latencies.max == max(durations)
    assert latencies.count == len(durations)
    assert latencies.total == pytest.approx(sum(durations))


@given(DURATIONS, DURATIONS)
def test_merging_counts_both(one: list[float], other: list[float]) -> None:
    parts, whole = (Latencies(), Latencies()), Latencies()
    for latencies, durations in zip(parts, (one, other), strict=True):
        for duration in durations:
            latencies.record(duration)
            whole.record(duration)
    parts[0].merge(parts[1])
    told = [(each.count, each.max, each.percentile(50), each.percentile(99)) for each in parts[:1]]
    assert told == [(whole.count, whole.max, whole.percentile(50), whole.percentile(99))]


def test_what_is_out_of_range_is_counted_at_its_end() -> None:
    latencies = Latencies()
    for duration in (0.0, 1e-9, 1e5):
        latencies.record(duration)
    assert (latencies.count, latencies.max) == (3, 1e5)
    assert latencies.percentile(50) == pytest.approx(1e-6)
    assert latencies.percentile(100) > 900


def test_nothing_recorded_is_nothing_told() -> None:
    assert Latencies().percentile(99) == 0.0
