"""Clusters under harm of every kind keep what they promised, and come to rest when it ends."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulation.faults import FAULTS
from tests.simulation.runs import Run

SEEDS = 300
A_TEST = 10  # so that the tests can be shared out among processes


@pytest.mark.parametrize("first", range(0, SEEDS, A_TEST))
def test_promises_are_kept_under_harm_of_every_kind(first: int) -> None:
    for seed in range(first, first + A_TEST):
        go(seed)


def go(seed: int) -> Run:
    """One run; what it breaks is told with the command that repeats it."""
    run = Run(seed)
    try:
        run.go()
    except Exception as exc:
        pytest.fail(f"{exc}; again: python -m tests.simulation --seeds 1 --first {seed}")
    return run


@pytest.mark.parametrize("name", FAULTS)
def test_each_kind_of_harm_is_borne_by_itself(name: str) -> None:
    run = Run(7, nodes=5, faults=(name,), seconds=6)
    run.go()
    assert run.counts[f"fault {name}"] >= 3
    assert run.counts["calls answered"] > 10


HAPPENS = (
    "event evict",
    "event expire",
    "events told",
    "feeds reset",
    "fills let in",
    "fills refused",
    "locks refused",
    "locks taken",
    "named write overloaded",
    "named write too_old",
    "named writes repeated",
    "named writes repeated late",
    "waits given up",
)


def test_what_is_judged_does_happen() -> None:
    """Some runs have a budget, or forget soon: together they meet every case."""
    counts = sum((go(seed).counts for seed in range(12)), Counter[str]())
    assert [name for name in HAPPENS if not counts[name]] == []


def test_a_seed_is_a_run_whatever_the_process_hashes() -> None:
    """The whole trace is the same in two processes with different hash seeds."""
    assert digest_of_trace("1") == digest_of_trace("2")


def digest_of_trace(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--trace", "--first", "5"]
    done = subprocess.run(
        [*command, "--seconds", "3"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.count(b"\n") > 1_000
    return hashlib.sha256(done.stdout).hexdigest()
