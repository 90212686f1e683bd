"""When Python looks for cyclic garbage in the process of a node.

A cache is made of objects that are no garbage, and to walk through a million of them takes half a
second, in which the node is deaf: its leader is thought dead, or it is. So what has survived two
looks is not looked at any more. It is still freed when nobody refers to it, as nearly all is; only
cycles of it stay, which a connection may leave behind. After so many of those all is looked at
once.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, Final

# Objects until the young are looked at, such looks until the survivors are, and those until all.
THRESHOLDS: Final = (20_000, 5, 10)
CLOSED_MAX: Final = 10_000  # connections, of some kilobytes each, until all is looked at
OLD: Final = 2  # the generation of what has survived twice


class Collector:
    """Keeps Python's collector away from what lives long."""

    def __init__(self, closed: Callable[[], int]) -> None:
        """`closed`: how many connections have ended by now."""
        self._closed = closed
        self._closed_then = 0
        self._owed = False  # all is to be looked at before anything is left out again

    def start(self) -> None:
        """From now on, until `stop`."""
        gc.freeze()  # what the start has made stays anyway
        self._before = gc.get_threshold()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._on_look)

    def stop(self) -> None:
        """Leave it to Python again."""
        gc.callbacks.remove(self._on_look)
        gc.set_threshold(*self._before)
        gc.unfreeze()

    def _on_look(self, phase: str, info: dict[str, Any]) -> None:
        generation = info["generation"]
        if phase != "stop" or generation == 0:
            return
        if self._owed and generation < OLD:
            return
        self._owed = self._closed() - self._closed_then >= CLOSED_MAX
        if self._owed:
            self._closed_then = self._closed()
            gc.unfreeze()
        else:
            gc.freeze()
