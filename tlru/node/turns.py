"""How much of one turn of the event loop the sessions of each rank may take, all together.

A turn that is long makes everybody wait, the most important clients above all: a dozen connections
that each have a little to do add up to one. So a rank that has had its part of a turn goes on in
the next; what its clients send meanwhile stays where it is, and TCP makes them wait.

This module decides whether a session may go on now, and notes how long those wait who may not. It
knows turns by a callback that the loop runs once what was ready has been done. Nothing is lost:
whoever has to wait comes first among its equals in the next turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter as clock
from typing import Final

from tlru.engine.client_limits import RANKS

# Seconds of a turn, by rank. Whoever has begun ends what it has begun, so it can be a little more.
# The most important rank is never told to wait: it is what the others wait for.
PART_S: Final = (float("inf"), 0.008, 0.003)
REQUESTS: Final = (512, 512, 128)  # of one session in a turn, so that its equals come to theirs


class Turns:
    """The parts of the ranks in the turn that is under way."""

    def __init__(self, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        """`later` calls back when this turn is over; the running loop's, where it is not given."""
        self._later = later
        self._left = list(PART_S)
        self._counted = False
        self.waited_s = [0.0] * RANKS  # the longest since this was last taken up

    def open(self, rank: int) -> bool:
        """Whether a session of a rank may take what its client has sent."""
        return self._left[rank] > 0.0

    def took(self, rank: int, seconds: float) -> None:
        """A session has taken so much of the turn."""
        if not rank:
            return
        self._left[rank] -= seconds
        if not self._counted:
            self._counted = True
            later = self._later or asyncio.get_running_loop().call_soon
            later(self._over)

    def _over(self) -> None:
        self._counted = False
        self._left[:] = PART_S

    def waited(self, rank: int, since: float) -> None:
        """A session of a rank waits, since then, for its turn."""
        self.waited_s[rank] = max(self.waited_s[rank], clock() - since)

    def take_waits(self) -> list[float]:
        """How long those of each rank have waited, since this was last asked."""
        waited, self.waited_s = self.waited_s, [0.0] * RANKS
        return waited
