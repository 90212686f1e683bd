"""The clocks of one simulated machine."""

from __future__ import annotations

from dataclasses import dataclass

WALL_MS = 1_700_000_000_000


@dataclass(slots=True)
class Clock:
    """A node's own clock: boot time, which drifts, and should not jump."""

    offset: int
    drift_ppm: int

    wall_offset: int = 0  # of the wall clock, which somebody may set

    def read(self, now: int) -> int:
        """What it shows at `now` of the world."""
        return self.offset + now + now * self.drift_ppm // 1_000_000

    def wall(self, now: int) -> int:
        """The time of day."""
        return WALL_MS + now + self.wall_offset
