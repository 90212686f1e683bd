"""How much a node does: counts of operations, and rates over the last seconds.

Counting costs one addition to a plain integer, so it stands on the hottest path.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tlru.node.latency import Latency

WINDOW_S = 5.0


class Rates:
    """Counts of answered requests by operation and by error, and their recent rates."""

    def __init__(self) -> None:
        self.ops: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.latency = Latency()
        self.hits = 0
        self.misses = 0
        self.http: Counter[tuple[str, str]] = Counter()  # by route and class of status
        self._then = (0.0, 0, 0)
        self._rates = {"ops_per_s": 0.0, "errors_per_s": 0.0}

    def tick(self, now: float) -> None:
        """Called a few times a second: a new figure each `WINDOW_S`."""
        at, ops, failed = self._then
        if now - at < WINDOW_S:
            return
        total, wrong = sum(self.ops.values()), sum(self.errors.values())
        if at:
            seconds = now - at
            self._rates = {
                "ops_per_s": round((total - ops) / seconds, 1),
                "errors_per_s": round((wrong - failed) / seconds, 1),
            }
        self._then = (now, total, wrong)

    def now(self) -> dict[str, Any]:
        """The rates of the last window, and the hit ratio since the start."""
        reads = self.hits + self.misses
        return {**self._rates, "hit_ratio": round(self.hits / reads, 4) if reads else None}
