"""The hard cases go well."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import World


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_hard_case_goes_well(scenario: Callable[[], World]) -> None:
    world = scenario()
    members = [node for node in world.nodes.values() if world.membership.has(node.origin)]
    assert len({node.machine.digest() for node in members}) == 1
