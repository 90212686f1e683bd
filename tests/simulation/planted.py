"""Small faults, put into the core one at a time: each must be caught, by what it breaks.

They show that the checkers can fail, and why each rule is there.
"""

from __future__ import annotations

from tests.simulation import (
    planted_core,
    planted_epochs,
    planted_feeds,
    planted_machine,
    planted_members,
    planted_power,
    planted_state,
)
from tests.simulation.planting import PLANTED, Planted

__all__ = ["PARTS", "PLANTED", "Planted"]

# Each has entered its own into the table.
PARTS = (
    planted_core,
    planted_epochs,
    planted_state,
    planted_members,
    planted_power,
    planted_machine,
    planted_feeds,
)
