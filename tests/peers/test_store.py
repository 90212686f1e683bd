"""Whenever the power is cut, a node finds what it had synced, and nothing that it had cut."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.core.entry import Epoch
from peers.core.log import Log
from tests.peers.disk_story import DATA, FOUNDERS, Story, batches_of, log_of, make_batch
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


@pytest.mark.parametrize("seed", range(20))
def test_what_a_killed_process_had_not_synced_is_synced_by_the_next(seed: int) -> None:
    """It is read from memory then, and counts as kept: a power cut must not take it any more."""
    story = tell(seed, 20, None)
    story.files.kill()
    story.come_up()
    story.crash()


def taken_and_not_installed(seed: int, *, conflicts: bool) -> tuple[Story, Log]:
    """A node with a snapshot in its log, and one that lies ahead, or beside it."""
    story = Story(Random(seed))
    story.enter()
    for act in (story.append, story.append, story.sync, story.keep, story.append, story.sync):
        act()
    ahead = log_of(story.log.base, batches_of(story.log))
    if conflicts:
        ahead.cut(story.snapshot)
    for _ in range(3):
        ahead.append(make_batch(ahead, 9))
    base = ahead.base_at(ahead.last.index)
    assert base is not None
    story._keep(base)
    while conflicts and story.log.last.index <= base.position.index:
        story.append()
    story.sync()
    return story, ahead


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("conflicts", [False, True])
def test_a_snapshot_that_was_taken_leaves_the_one_before_until_the_log_is_there(
    seed: int, *, conflicts: bool
) -> None:
    """Who then leads an epoch from its own log needs the one before."""
    story, ahead = taken_and_not_installed(seed, conflicts=conflicts)
    before = story.older
    if conflicts:
        assert len([name for name in story.files.names(DATA) if "snapshot" in name]) == 2
        story.crash()
        assert story.log.last == ahead.last
        return
    epoch = Epoch(2, "two", story.epoch.random)
    story.store.enter(replace(story.promise, epoch=epoch, term=10), FOUNDERS, leads=True)
    story.files.crash()
    found = story._new_store().open()
    assert (found.damage, found.lost) == ((), ())
    assert found.snapshot is not None
    assert (found.commit, tuple(found.snapshot.chunks())) == before
    assert batches_of(found.log)[-1] == batches_of(story.log)[-1]
