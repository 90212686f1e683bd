"""How long Python's garbage collector stops the process, by generation.

Of the process, not of a node: all nodes of one process tell the same. It listens from the first
time that somebody asks for it, which costs a look at the clock before and after a collection.
"""

from __future__ import annotations

import gc
from time import perf_counter as clock
from typing import Any

from tlru.node.latency import Spread


class Pauses:
    """What the collections so far have taken."""

    def __init__(self) -> None:
        self.spreads = tuple(Spread() for _ in range(3))
        self._began = 0.0
        self._listens = False

    def listen(self) -> None:
        """Measure from now on."""
        if not self._listens:
            self._listens = True
            gc.callbacks.append(self._heard)

    def _heard(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = clock()
        else:
            self.spreads[info["generation"]].add(clock() - self._began)


PAUSES = Pauses()
