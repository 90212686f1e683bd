"""Whenever the power is cut, a node finds what it had synced, and nothing that it had cut."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers.disk_story import Story
from tests.peers.forgetful_files import CrashError


def tell(seed: int, steps: int, crash_at: int | None) -> Story:
    """A story of so many acts, cut short at a step of the disk."""
    story = Story(Random(seed))
    if crash_at is not None:
        story.files.crash_at = story.files.steps + crash_at
    try:
        for _ in range(steps):
            story.step()
    except CrashError:
        pass
    return story


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 250), st.integers(0, 30))
def test_a_crash_anywhere_leaves_what_was_synced(
    seed: int, steps: int, crash_at: int, again: int
) -> None:
    story = tell(seed, steps, crash_at)
    story.files.crash()
    story.files.crash_at = story.files.steps + again  # and the start is cut short as well
    story.come_up()
    story.files.crash_at = None
    for _ in range(10):
        story.step()
    story.crash()


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_at_every_step_of_a_story(seed: int) -> None:
    whole = tell(seed, 30, None)
    for step in range(whole.files.steps):
        story = tell(seed, 30, step)
        story.crash()
        story.step()
        story.crash()
