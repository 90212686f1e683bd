"""Looks at how the node is, twenty times a second, and has the guards go by it.

What is measured: how late the event loop's turns come, how long sessions wait for theirs, how many
writes wait, how much memory the process has. What follows from it is decided in `overload.py`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peers.clocks import next_beat
from tlru.engine.client_limits import RANKS
from tlru.node.limits import Guard
from tlru.node.overload import TICK_MS, Overload, Strain
from tlru.node.turns import Turns

if TYPE_CHECKING:
    from tlru.node.server import Node

MEMORY_EVERY: Final = 20  # ticks
_STATM: Final = Path("/proc/self/statm")  # where there is none, memory is not watched


class StrainWatch:
    """Measures, for as long as the node runs."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.overload = Overload()
        self.turns = Turns()
        self.strain = Strain()
        self._resident = 0
        self._ticks = 0
        self._refused = 0
        self._refused_at: float | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def guard(self) -> Guard:
        """A guard for one cache, which goes by what is measured here."""
        return Guard(self.overload, self.turns)

    def told(self) -> dict[str, Any]:
        """How much of each rank would be let in, when somebody was refused for it last, and how
        much there is to do: of what is bounded, 1 is too much."""
        strain, at = self.strain, self._refused_at
        return {
            "admitted": [round(share, 3) for share in self.overload.shares],
            "refused": self._refused,
            "refused_s_ago": None if at is None else round(self._loop.time() - at, 1),
            "lag_ms": round(strain.lag_s * 1_000, 1),
            "backlog": round(strain.backlog, 3),
            "memory": round(strain.memory, 3),
            "rest_s": round(self.turns.rests.left_s(), 3),
        }

    def start(self) -> None:
        """Begin to look."""
        self._loop = asyncio.get_running_loop()
        self._again()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self.turns.knocking.close()

    def _again(self) -> None:
        self._due = next_beat(self._loop.time(), TICK_MS)
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        if self._ticks % MEMORY_EVERY == 0:
            self._resident = resident_bytes()
        self._ticks += 1
        self.take_up(self._measure(max(0.0, self._loop.time() - self._due)))
        self._again()

    def _measure(self, lag_s: float) -> Strain:
        config = self._node.config
        waiting = sum(service.writes_waiting for service in self._node.services.values())
        memory = 0.0 if config.memory_max is None else self._resident / config.memory_max
        waits_s = tuple(self.turns.take_waits())
        return Strain(lag_s, waiting / config.backlog_max, memory, waits_s)

    def take_up(self, strain: Strain) -> None:
        """Go by what was measured."""
        self.strain = strain
        guards = [service.guard for service in self._node.services.values()]
        asked = [sum(guard.asked[rank] for guard in guards) for rank in range(RANKS)]
        self.overload.step(strain, asked)
        refused = sum(guard.overloaded for guard in guards)
        if refused > self._refused:
            self._refused, self._refused_at = refused, self._loop.time()
        for service in self._node.services.values():
            service.guard.asked = [0] * RANKS
            service.guard.follow(service.machine.settings["limits"], service.nodes)


def resident_bytes() -> int:
    """What the process has in memory; 0 where the system does not say."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
