"""A member that means harm, in simulated clusters. More: python -m tests.simulation.hostile."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.hostile import Attack

SEEDS = range(12)
# That failed once, and why. What is met again later may be another thing.
MET = {3: "a commit inside a batch came behind entries that were here already"}


def test_no_step_fails_and_no_commit_changes_whatever_a_member_says() -> None:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        counts.update(go(seed).counts)
    assert counts["struck"] > 500, "it did say something"
    assert counts["refused of evil"] > 50, "and some of it nobody could mean"


@pytest.mark.parametrize("seed", MET)
def test_a_seed_that_failed_once_does_not_again(seed: int) -> None:
    go(seed)


def go(seed: int) -> Attack:
    """One run; what fails is told with what was said last."""
    attack = Attack(seed)
    try:
        attack.go()
    except Exception as exc:
        pytest.fail(f"seed {seed}: {type(exc).__name__}: {exc}, after {attack.last}")
    return attack
