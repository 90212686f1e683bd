"""What a cache counts about itself.

Stays away from what is kept; the cache counts, this module names what is counted.

Invariant: what came in is what left and what is still there, so at any time since the start
inserts = evictions + expirations + deletions + cleared + the items kept.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import assert_never

from tlru.engine.removal import Removal


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache has done since it was made or its statistics were reset."""

    hits: int = 0  # lookups that found a live item
    misses: int = 0  # lookups that did not
    inserts: int = 0  # values stored under a key that had none
    replacements: int = 0  # values stored in the place of another
    evictions: int = 0  # items removed to make room, or by popitem()
    expirations: int = 0  # items removed because their life was over
    deletions: int = 0  # items removed by del or pop()
    cleared: int = 0  # items removed by clear()

    @property
    def hit_rate(self) -> float:
        """The part of all lookups that found something; 0.0 before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0


@dataclass(slots=True)
class Counters:
    """The running counts behind `CacheStats`: the same fields in the same order."""

    hits: int = 0
    misses: int = 0
    inserts: int = 0
    replacements: int = 0
    evictions: int = 0
    expirations: int = 0
    deletions: int = 0
    cleared: int = 0

    def count(self, reason: Removal) -> None:
        """Count one removal."""
        match reason:
            case Removal.EXPIRED:
                self.expirations += 1
            case Removal.EVICTED:
                self.evictions += 1
            case Removal.DELETED:
                self.deletions += 1
            case Removal.REPLACED:
                self.replacements += 1
            case Removal.CLEARED:
                self.cleared += 1
            case _:
                assert_never(reason)

    def copy(self) -> Counters:
        """Counts that go on from the same figures, apart."""
        return Counters(*astuple(self))

    def snapshot(self) -> CacheStats:
        """The counts as they stand."""
        return CacheStats(*astuple(self))
