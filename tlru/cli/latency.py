"""How long answers took: a histogram of bounded size, exact to one percent.

Pure. Decides how durations are counted and how a percentile is told. However many are recorded, it
holds a counter for each step of one percent between a microsecond and a thousand seconds, so a
bench of hours needs no more memory than one of a second.
"""

from __future__ import annotations

import math

_STEP = math.log(1.01)
_LEAST_S = 1e-6
_BUCKETS = math.ceil(math.log(1_000 / _LEAST_S) / _STEP) + 2


class Latencies:
    """Durations in seconds, counted."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.max = 0.0
        self._buckets = [0] * _BUCKETS

    def record(self, seconds: float) -> None:
        """Count one duration; what is shorter than a microsecond counts as one."""
        self.count += 1
        self.total += seconds
        self.max = max(self.max, seconds)
        steps = math.ceil(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _STEP)
        self._buckets[min(steps, _BUCKETS - 1)] += 1

    def percentile(self, percent: float) -> float:
        """The duration that `percent` of all did not exceed, at most one percent above it."""
        if not self.count:
            return 0.0
        wanted = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for steps, counted in enumerate(self._buckets):
            seen += counted
            if seen >= wanted:
                return min(_LEAST_S * math.exp(steps * _STEP), self.max)
        raise AssertionError("the buckets hold fewer than were counted")

    def merge(self, other: Latencies) -> None:
        """Count what `other` has counted, too."""
        self.count += other.count
        self.total += other.total
        self.max = max(self.max, other.max)
        self._buckets = [a + b for a, b in zip(self._buckets, other._buckets, strict=True)]
