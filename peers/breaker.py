"""Whether to try at all: a circuit breaker.

Pure: time is handed in. It stands before the backoff: that spreads the attempts which are made,
this one stops making them for a while when they keep failing.

Invariants: while it is open nothing is tried; of a half-open one at most one trial is under way; a
success closes it, whatever it was.
"""

from __future__ import annotations

import enum
from typing import Final

FAILURES_MAX: Final = 8  # in a row: then it opens
OPEN_S: Final = 5.0


class Circuit(enum.Enum):
    """What a breaker is."""

    CLOSED = "closed"  # attempts are made
    OPEN = "open"  # none are made
    HALF_OPEN = "half-open"  # one is, to find out


class Breaker:
    """Counts failures in a row, and opens when there are too many."""

    def __init__(self, *, failures_max: int = FAILURES_MAX, open_s: float = OPEN_S) -> None:
        if not (failures_max > 0 and open_s > 0):
            raise ValueError(
                f"a breaker needs failures_max > 0 and open_s > 0, not {failures_max} and {open_s}"
            )
        self._failures_max = failures_max
        self._open_s = open_s
        self._failures = 0
        self._until = 0.0
        self.circuit = Circuit.CLOSED

    def allows(self, now: float) -> bool:
        """Whether an attempt may be made now. Who is told so makes it, and tells how it ended."""
        if self.circuit is Circuit.OPEN and now >= self._until:
            self.circuit = Circuit.HALF_OPEN
            return True
        return self.circuit is Circuit.CLOSED

    def wait(self, now: float) -> float:
        """Seconds until an open one lets a trial through; 0 where it is not open."""
        return max(0.0, self._until - now) if self.circuit is Circuit.OPEN else 0.0

    def succeeded(self) -> None:
        """An attempt has succeeded."""
        self.circuit, self._failures = Circuit.CLOSED, 0

    def failed(self, now: float) -> None:
        """An attempt has failed."""
        self._failures += 1
        if self.circuit is Circuit.HALF_OPEN or self._failures >= self._failures_max:
            self.circuit, self._until = Circuit.OPEN, now + self._open_s

    def hurry(self, now: float) -> None:
        """It may well work again: an open one lets a trial through at once."""
        if self.circuit is Circuit.OPEN:
            self._until = now
