"""How much of its share of clients a node takes that has just become ready.

Pure. A node that comes back is empty of clients and still warming up, and every client that looks
for a server would find it the least busy. So its weight rises in steps, each of which is a message
to all clients.
"""

from __future__ import annotations

from typing import Final

WEIGHT_MIN: Final = 0.2
WEIGHT_FULL: Final = 1.0
WEIGHT_NONE: Final = 0.0  # of one that leaves: who can be elsewhere should be
EASE_S: Final = 30.0  # from the least weight to the full one
STEPS: Final = 4


def eased(ready_s: float | None, ease_s: float = EASE_S) -> float:
    """The weight of a node that has been ready for so long; None: it is not."""
    if ready_s is None:
        return WEIGHT_MIN
    done = min(STEPS, int(STEPS * max(0.0, ready_s) / ease_s)) if ease_s else STEPS
    return round(WEIGHT_MIN + (WEIGHT_FULL - WEIGHT_MIN) * done / STEPS, 3)
