"""All the hard cases by their names. What one shows stands in its docstring."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.scenarios_epochs import EPOCHS
from tests.simulation.scenarios_leading import LEADING
from tests.simulation.scenarios_members import MEMBERS
from tests.simulation.scenarios_power import POWER
from tests.simulation.scenarios_revive import REVIVE
from tests.simulation.scenarios_state import STATE
from tests.simulation.world import World

SCENARIOS: dict[str, Callable[[], World]] = {
    scenario.__name__: scenario
    for scenario in (*LEADING, *STATE, *MEMBERS, *EPOCHS, *POWER, *REVIVE)
}
