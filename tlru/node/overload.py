"""How much of each rank's requests is let in while the node has more to do than it can.

Pure: what was measured is handed in, once a tick. Additive increase, multiplicative decrease: what
is too much goes at once, and comes back little by little, so the node finds what it can do without
being told.

Invariants: a share is never under its rank's least and never over 1. A rank loses nothing while a
less important one that asks for anything still has something to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tlru.engine.client_limits import RANKS

TICK_MS: Final = 50
TICK_S: Final = TICK_MS / 1000
HALVED: Final = 0.5  # of what a rank has, in each tick of too much
REGAINED: Final = 0.02  # in each tick that is well: all of it in 2.5 s
WELL: Final = 0.6  # of what is too much; between the two nothing changes

# By rank: the least important is told no long before the others notice anything.
LEAST: Final = (0.5, 0.05, 0.01)
LAG_S_MAX: Final = (2.0, 0.5, 0.015)  # that a turn of the event loop may come late
WAIT_S_MAX: Final = (2.0, 0.5, 0.1)  # that its own sessions may wait for a turn
FULL_MAX: Final = (1.0, 0.95, 0.85)  # of the bounds for writes that wait, and for memory
PATIENCE: Final = (5, 5, 1)  # ticks of too much, one after the other


@dataclass(frozen=True, slots=True)
class Strain:
    """What was measured in one tick."""

    lag_s: float = 0.0
    backlog: float = 0.0  # of what may wait
    memory: float = 0.0  # of what the process may have
    waits_s: tuple[float, ...] = (0.0,) * RANKS  # of sessions for a turn, by rank

    def at(self, rank: int) -> float:
        """Of what a rank bears; over 1 is too much."""
        full = FULL_MAX[rank]
        late = max(self.lag_s / LAG_S_MAX[rank], self.waits_s[rank] / WAIT_S_MAX[rank])
        return max(late, self.backlog / full, self.memory / full)


class Overload:
    """The share of each rank."""

    def __init__(self) -> None:
        self.shares = [1.0] * RANKS
        self._strained = [0] * RANKS  # ticks in a row
        self._credit = [0.0] * RANKS
        self.refuses = False  # whether any rank is refused anything

    def step(self, strain: Strain, asked: Sequence[int]) -> None:
        """Take up one tick's measure. `asked`: how much each rank has asked for in it."""
        spared = False  # a less important rank has something to lose yet
        for rank in reversed(range(RANKS)):
            felt = strain.at(rank)
            has_more = self.shares[rank] > LEAST[rank]
            self._strained[rank] = self._strained[rank] + 1 if felt > 1 else 0
            if self._strained[rank] >= PATIENCE[rank]:
                if not spared:
                    self.shares[rank] = max(LEAST[rank], self.shares[rank] * HALVED)
            elif felt < WELL:
                self.shares[rank] = min(1.0, self.shares[rank] + REGAINED)
            spared = spared or (asked[rank] > 0 and has_more)
        self.refuses = any(share < 1.0 for share in self.shares)

    def admits(self, rank: int, least: float = 0.0) -> bool:
        """Whether one more request of a rank is let in: so many of each hundred are, evenly."""
        credit = self._credit[rank] + max(least, self.shares[rank])
        admitted = credit >= 1.0
        self._credit[rank] = credit - 1.0 if admitted else credit
        return admitted

    def check(self) -> None:
        """What always holds."""
        for rank, share in enumerate(self.shares):
            assert LEAST[rank] <= share <= 1.0
            assert 0.0 <= self._credit[rank] < 1.0
