"""Every planted fault is caught, by what it breaks."""

from __future__ import annotations

import pytest

from tests.simulation.caught import CAUGHT
from tests.simulation.hunting import PAGE, first_caught, row
from tests.simulation.planted import PLANTED


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught(name: str) -> None:
    """By the seed, or the scenario, and the invariant that stand in the table."""
    assert first_caught(PLANTED[name], CAUGHT[name]) == CAUGHT[name]


def test_the_documentation_has_the_table() -> None:
    assert list(CAUGHT) == list(PLANTED)
    page = PAGE.read_text("utf-8")
    for name, planted in PLANTED.items():
        assert row(planted, CAUGHT[name]) in page, "run: python -m tests.simulation.hunting"
