"""The machine's clocks, for shells: the core and the engine are handed the time.

This module decides which clock is meant by "now": that since boot, which goes on while a machine is
suspended, so that nobody serves then what is over.
"""

from __future__ import annotations

import random
import time
from typing import Final

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# Whatever a process does every so often it does in the same turns of its loop, so that it sleeps in
# between. Several on one machine do it at different times.
BEAT_MS: Final = 50
_PHASE_MS: Final = random.randrange(BEAT_MS)


def boot_ms() -> int:
    """Milliseconds since boot, counting the time a machine was suspended."""
    return time.clock_gettime_ns(_CLOCK) // 1_000_000


def next_beat(now_s: float, every_ms: int = BEAT_MS) -> float:
    """When what is done every so often is to be done next, by the clock of the event loop."""
    beats = (round(now_s * 1000) - _PHASE_MS) // every_ms + 1
    return (beats * every_ms + _PHASE_MS) / 1000


def wall_ms() -> int:
    """Milliseconds since 1970, as the wall clock has it."""
    return time.time_ns() // 1_000_000
