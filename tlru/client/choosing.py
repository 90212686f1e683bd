"""In which order servers are to be preferred.

Pure: what is known of each, and chance, are handed in.

The order is: those that can be expected to serve before those that cannot; the nearer before the
farther; among equally near ones, those of the client's own region and zone, since a way that stays
at home costs less, and breaks less often, than its round trip tells; among those, as a program
named them, or by lot.

The lot is drawn once by each client for each server, and falls by weight and priority, so clients
spread over servers that are equally good, and a client does not change its mind.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from typing import Final

from peers.breaker import Breaker
from tlru.client.nearness import RoundTrips, circles
from tlru.client.server import Server
from tlru.errors import REFUSING_STATUSES

SILENT: Final = "silent"  # what a cluster says of a member that it does not hear
BREAK_AFTER: Final = 3  # failures in a row: then others are tried before it for a while
BREAK_S: Final = 20.0
# A priority says who leads, at which a write is one hop shorter; a server of none serves as well.
# So the highest usual one weighs twice as much as the lowest, and not endlessly more.
PRIORITY_BASE: Final = 100


class Standing(enum.IntEnum):
    """What can be expected of a server; the less, the later it is tried."""

    WELL = 0
    RESTING = 1  # it has no weight: its operator wants nobody there who can be elsewhere
    UNLISTED = 2  # the program named it, and its cluster does not
    DOUBTFUL = 3  # it could not be used, several times and lately
    UNFIT = 4  # it refuses, or its cluster does not hear it


class Candidate:
    """All that one client knows of one server."""

    __slots__ = (
        "at_home",
        "breaker",
        "in_zone",
        "listed",
        "lot",
        "measured_at",
        "nearer_for",
        "place",
        "rests_until",
        "server",
        "trips",
        "unreached",
    )

    def __init__(self, server: Server, lot: float) -> None:
        self.server = server
        self.place: int | None = None  # where the program names it
        self.listed = False  # whether the cluster does
        self.at_home = False
        self.in_zone = False
        self.lot = lot
        self.breaker = Breaker(failures_max=BREAK_AFTER, open_s=BREAK_S)
        self.trips = RoundTrips()
        self.measured_at = -math.inf
        self.rests_until = -math.inf  # it has said when to come back
        self.unreached = False  # the last measurement found nobody
        self.nearer_for = 0  # rounds in which it was clearly nearer than the one in use

    @property
    def round_trip(self) -> float | None:
        """Seconds, where it is known."""
        return self.trips.least

    def standing(self, now: float, *, list_known: bool) -> Standing:
        """What can be expected of it."""
        if self.server.status in (*REFUSING_STATUSES, SILENT):
            return Standing.UNFIT
        if self.unreached or self.breaker.wait(now) > 0 or now < self.rests_until:
            return Standing.DOUBTFUL
        if list_known and not self.listed:
            return Standing.UNLISTED
        return Standing.WELL if self.server.weight > 0 else Standing.RESTING

    def preference(self) -> tuple[bool, bool, bool, float, float]:
        """Its order among servers that are as near and can be expected to do as well."""
        as_named = self.place is not None and not self.listed
        elsewhere = (not self.at_home, not self.in_zone, not as_named)
        if as_named:
            return (*elsewhere, -self.server.priority, self.place or 0)
        return (*elsewhere, 0, self._drawn())

    def _drawn(self) -> float:
        """Exponential draws: the least of them falls on each in proportion to its share."""
        share = self.server.weight * (PRIORITY_BASE + self.server.priority)
        return -math.log(1 - self.lot) / share if share > 0 else math.inf


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Servers of one standing, the preferred one first."""
    found = []
    for circle in circles(list(candidates)):
        found += sorted(circle, key=Candidate.preference)
    return found
