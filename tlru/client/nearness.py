"""How far away a server is: round trips, and when two of them differ at all.

Pure: what was measured is handed in.

A round trip is the least of the last few, since whatever disturbs a measurement, a busy loop or a
full queue on the way, only makes it longer. Two are alike if they differ by no more than such
disturbances may make of them: nobody moves, or is preferred, for the sake of noise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

SAMPLES: Final = 5
# Within one place round trips take tenths of a millisecond, and a scheduler disturbs them by whole
# ones; between regions they take tens, and vary by some share of that.
NOISE_S: Final = 0.002
NOISE_SHARE: Final = 0.25


class RoundTrips:
    """The last measurements of the way to one server."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def least(self) -> float | None:
        """The round trip, in seconds, as far as it is known."""
        return min(self._samples, default=None)

    def note(self, seconds: float) -> None:
        """One more measurement."""
        self._samples.append(seconds)

    def forget(self) -> None:
        """The way is gone; what it was does not count any more."""
        self._samples.clear()


def alike(one: float, other: float) -> bool:
    """Whether two round trips differ by nothing but noise."""
    return abs(one - other) <= max(NOISE_S, NOISE_SHARE * max(one, other))


def clearly_nearer(one: float | None, other: float | None) -> bool:
    """Whether the first is the shorter way beyond doubt. What is not known is never so."""
    return one is not None and other is not None and one < other and not alike(one, other)


class Measured(Protocol):
    """What has a round trip, or none yet, and may stand in the client's own region."""

    @property
    def round_trip(self) -> float | None:
        """Seconds, where it is known."""

    @property
    def at_home(self) -> bool:
        """Whether it is in the client's region."""


M = TypeVar("M", bound=Measured)


def circles(servers: Sequence[M]) -> list[list[M]]:
    """The servers in circles around the client: the nearest with all that are alike to it, the next
    of the others with all that are alike to that, and so on.

    Where nothing was measured yet, one's own region is taken to be near, and the rest to be far:
    it is what the region was given for.
    """
    unknown = [each for each in servers if each.round_trip is None]
    assumed = [each for each in unknown if each.at_home]
    distant = [each for each in unknown if not each.at_home]
    left = [(each.round_trip, each) for each in servers if each.round_trip is not None]
    left.sort(key=lambda pair: pair[0])
    found: list[list[M]] = []
    while left:
        nearest = left[0][0]
        found.append([each for trip, each in left if alike(nearest, trip)])
        left = [(trip, each) for trip, each in left if not alike(nearest, trip)]
    if assumed:
        found[:1] = [found[0] + assumed] if found else [assumed]
    return [*found, distant] if distant else found
