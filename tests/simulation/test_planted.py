"""Every planted fault is caught, by what it breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.caught import CAUGHT
from tests.simulation.planted import PLANTED, first_caught

PAGE = Path(__file__).parents[2] / "docs" / "replication.md"


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught(name: str) -> None:
    """By the seed, or the scenario, and the invariant that stand in the table."""
    assert first_caught(PLANTED[name], CAUGHT[name]) == CAUGHT[name]


def test_the_documentation_has_the_table() -> None:
    assert list(CAUGHT) == list(PLANTED)
    page = PAGE.read_text("utf-8")
    for name, planted in PLANTED.items():
        where, by = CAUGHT[name]
        place = f"seed {where}" if isinstance(where, int) else f"`{where}`"
        assert f"| {planted.what} | {place} | {by} |" in page
