"""When a node that fails its checks counts as not ready, and when it counts as ready again.

Pure. One slow disk write is no reason to send all clients away, and one good check in the midst of
bad ones is none to have them back: each would have them come and go all day. So it takes several
failures in a row, and then several successes. The first success of all counts at once: until then
nobody was there who could be sent away, and a rollout waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FAILURES_MAX: Final = 2  # in a row: then it is not ready
SUCCESSES_MIN: Final = 3  # in a row, after that: then it is ready again


@dataclass(slots=True)
class Steadiness:
    """What became of one node's checks, as they came."""

    ready: bool = False
    failures: int = 0  # in a row, up to now
    successes: int = 0
    ever: bool = False  # whether it has been ready at all

    def take(self, *, good: bool) -> bool:
        """Take up one more check; whether the node is ready now."""
        if good:
            self.successes, self.failures = self.successes + 1, 0
            self.ready = self.ready or not self.ever or self.successes >= SUCCESSES_MIN
            self.ever = True
        else:
            self.successes, self.failures = 0, self.failures + 1
            self.ready = self.ready and self.failures < FAILURES_MAX
        return self.ready
