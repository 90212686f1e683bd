"""When requests run out of time: one watch over all of them, instead of a timer for each.

Pure: time and the requests are handed in.

The requests themselves hold their deadlines; kept here is only a moment before which none of them
can be due. Nothing is stored for a request, so one that is answered in time costs one comparison.

Nothing is ever due before its deadline, and nothing that is watched is found later than the next
look, which is at most `SLACK_S` after the deadline.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol, TypeVar

# Looks are at least this far apart, so that a thousand deadlines in a row cost a few walks.
SLACK_S = 0.01


class Dated(Protocol):
    """What can run out of time."""

    @property
    def deadline(self) -> float:
        """The moment from which on it has waited long enough."""

    def settled(self) -> bool:
        """Whether nobody waits for it any more."""


D = TypeVar("D", bound=Dated)


class Deadlines:
    """The next moment at which somebody may have waited long enough."""

    __slots__ = ("_looked", "due")

    def __init__(self) -> None:
        self.due = math.inf
        self._looked = -math.inf

    def watch(self, deadline: float) -> float:
        """Look no later than at this deadline; gives the moment of the next look."""
        if deadline < self.due:
            self.due = max(deadline, self._looked + SLACK_S)
        return self.due

    def look(self, now: float) -> None:
        """Begin a look at everything that is watched; `overdue` follows for each part of it."""
        self._looked, self.due = now, math.inf

    def overdue(self, now: float, watched: Iterable[D]) -> list[D]:
        """Those of a part whose time is up. For the others there will be another look."""
        found = []
        earliest = math.inf
        for each in watched:
            if each.settled():
                continue
            if each.deadline <= now:
                found.append(each)
            elif each.deadline < earliest:
                earliest = each.deadline
        self.watch(earliest)
        return found
