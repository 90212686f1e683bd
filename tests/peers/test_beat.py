"""What a process does every so often it does in the same turns of its loop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.clocks import BEAT_MS, next_beat

EVERY_MS = st.sampled_from((BEAT_MS, 2 * BEAT_MS, 5 * BEAT_MS))


@given(st.floats(0, 1e9), EVERY_MS)
def test_the_next_beat_comes_and_comes_in_time(now_s: float, every_ms: int) -> None:
    # A loop looks at its clock to the millisecond.
    assert -0.001 < next_beat(now_s, every_ms) - now_s <= every_ms / 1000 + 0.001


@given(st.integers(0, 10**12), EVERY_MS)
def test_who_is_called_at_a_beat_is_called_at_the_one_after_it_next(
    now_ms: int, every_ms: int
) -> None:
    beat = next_beat(now_ms / 1000, every_ms)
    assert next_beat(beat, every_ms) - beat == pytest.approx(every_ms / 1000, abs=1e-4)


@given(st.integers(0, 10**12))
def test_what_is_done_more_seldom_is_done_at_a_beat_too(now_ms: int) -> None:
    seldom = next_beat(now_ms / 1000, 5 * BEAT_MS)
    assert next_beat(seldom - BEAT_MS / 1000) == pytest.approx(seldom, abs=1e-4)
