"""docs/machine.md tells the bounds and the files as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tlru.engine import items, locks, machine, once, snapshot, tombstones
from tlru.engine.machine import Machine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/machine.md").read_text()


def row_of(name: str) -> str:
    """The line of a table that begins with a name."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    return line


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("`gone`", f"{tombstones.GONE_MAX:,} and {tombstones.GONE_BYTES_MAX >> 20} MiB"),
        ("`gone`", f"the oldest {tombstones.DROPPED_AT_ONCE:,} go"),
        ("`revs`", f"{tombstones.REVS_MAX:,} and {tombstones.REVS_BYTES_MAX >> 20} MiB"),
        ("`clears`", f"| {tombstones.CLEARS_MAX} | the oldest {tombstones.CLEARS_MAX // 4} go"),
        ("`results`", f"{once.RECORDS_MAX:,} and {once.BYTES_MAX >> 20} MiB"),
        ("`results`", f"`once_ms` and {once.SKEW_MS // 1_000} s"),
        ("`held`", f"{locks.LOCKS_MAX:,}"),
        ("`waiters`", f"{locks.WAITERS_MAX:,}, and {locks.WAITERS_PER_LOCK_MAX:,} for one lock"),
        ("an item", f"| {items.ITEM_OVERHEAD_BYTES} |"),
        ("an item with a `ttl`", f"{items.ITEM_OVERHEAD_BYTES + items.EXPIRY_OVERHEAD_BYTES} |"),
        ("a tombstone", f"| {tombstones.STONE_OVERHEAD_BYTES} |"),
        ("a revision", f"| {tombstones.STONE_OVERHEAD_BYTES} |"),
        ("a result", f"| {once.RECORD_OVERHEAD_BYTES} |"),
        (
            "a session with one result",
            f"| {once.RECORD_OVERHEAD_BYTES + once.SESSION_OVERHEAD_BYTES:,} |",
        ),
    ],
)
def test_the_bounds_are_told_as_they_are(name: str, bound: str) -> None:
    assert bound in row_of(name)


def test_what_is_said_beside_the_tables_is_so_too() -> None:
    assert f"at most {machine.EXPIRE_MAX:,} items" in PAGE
    assert f"at most {once.DROPPED_AT_ONCE:,} records" in PAGE
    assert once.DROPPED_AT_ONCE == tombstones.DROPPED_AT_ONCE
    assert f"{snapshot.CHUNK_RECORDS} a chunk" in PAGE
    assert 2**machine.LOOK_SHIFT == 256  # "a quarter of a second"


def test_every_table_has_its_row() -> None:
    for name in Machine().tables():
        assert row_of(f"`{name}`")


def test_every_file_that_is_named_is_there() -> None:
    for name in set(re.findall(r"`([a-z_]+\.py)`", PAGE)):
        folders = (ROOT / "tlru/engine", ROOT / "tests/engine")
        assert any((folder / name).exists() for folder in folders), name
    for module in set(re.findall(r"python -m ([a-z.]+)", PAGE)):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists(), module
