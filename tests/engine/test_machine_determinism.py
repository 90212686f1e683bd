"""The same entries make the same state, replies and events, in every process and every batching."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.machine_helpers import order_of, through_a_snapshot
from tests.engine.workload import Workload, heard, trace
from tlru.engine import machine as machine_module
from tlru.engine.machine import Applied, Machine

COUNT = 1_500
ROOT = Path(__file__).parents[2]
seeds = st.integers(0, 2**32)


def in_another_process(seed: int, hash_seed: str) -> list[str]:
    """What `workload.py` prints where Python's own hashes are others."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.workload", str(seed), str(COUNT)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_two_processes_with_other_hashes_agree_at_every_step() -> None:
    one, other = (in_another_process(7, hash_seed) for hash_seed in ("1", "2"))
    assert len(one) == COUNT
    assert one == other
    here = [f"{digest:016x}" for digest, _ in trace(Machine(), Workload(7).entries(COUNT))]
    assert [line.split()[0] for line in one] == here


def test_the_workload_brings_about_what_it_is_for() -> None:
    """Else these tests would compare two machines to which nothing ever happens."""
    machine, applied = Machine(), Applied([], [])
    used: set[str] = set()
    for entry in Workload(7).entries(COUNT):
        done = machine.apply([entry])
        applied.replies += done.replies
        applied.events += done.events
        used |= {kind for kind, table in machine.tables().items() if table.rows()}
    machine.check()
    assert used == machine.tables().keys()
    kinds = {str(event.type) for event in applied.events}
    assert kinds == {"set", "touch", "delete", "expire", "evict", "clear", "message"}
    results = [result for _, result in applied.replies]
    errors = {result["error"] for result in results if "error" in result}
    assert errors == {"timeout", "too_old", "not_integer"}
    assert {result.get("applied") for result in results} >= {True, False}
    assert {result.get("held") for result in results} >= {True, False}
    assert {result.get("gave_up") for result in results} >= {True, False}
    assert {result.get("released") for result in results} >= {True, False}
    assert any("old" in result for result in results)


@settings(deadline=None, max_examples=25)
@given(seeds, st.data())
def test_batches_may_be_cut_anywhere(seed: int, data: st.DataObject) -> None:
    entries = Workload(seed).entries(300)
    one_by_one, in_batches = Machine(), Machine()
    told, told_in_batches = Applied([], []), Applied([], [])
    for entry in entries:
        applied = one_by_one.apply([entry])
        told.replies += applied.replies
        told.events += applied.events
    rest = entries
    while rest:
        size = data.draw(st.integers(1, 120))
        applied = in_batches.apply(rest[:size])
        told_in_batches.replies += applied.replies
        told_in_batches.events += applied.events
        rest = rest[size:]
    assert heard(told) == heard(told_in_batches)
    assert one_by_one.digest() == in_batches.digest()
    assert order_of(one_by_one) == order_of(in_batches)


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(0, 250), st.integers(1, 20))
def test_a_machine_from_a_snapshot_goes_on_as_the_other(
    seed: int, after: int, expire_max: int
) -> None:
    """Also in what no digest shows: the order of expiry, of turns, and of what is forgotten."""
    work = Workload(seed)
    machine = Machine()
    machine.apply(work.entries(after))
    restored = through_a_snapshot(machine)
    rest = work.entries(250)
    with patch.object(machine_module, "EXPIRE_MAX", expire_max):
        assert list(trace(restored, rest)) == list(trace(machine, rest))
    assert order_of(restored) == order_of(machine)
    restored.check()


@pytest.mark.parametrize("field", ["index", "term", "at", "last_fence", "once_horizon"])
def test_the_digest_shows_each_part_of_the_head(field: str) -> None:
    machine = Machine()
    machine.apply(Workload(3).entries(200))
    before = machine.digest()
    head = machine.head()
    machine.take_head({**head, field: head[field] + 1})
    assert machine.digest() != before
    machine.take_head(head)
    assert machine.digest() == before
