"""The machine's clocks, for shells: the core and the engine are handed the time.

This module decides which clock is meant by "now": that since boot, which goes on while a machine is
suspended, so that nobody serves then what is over.
"""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_ms() -> int:
    """Milliseconds since boot, counting the time a machine was suspended."""
    return time.clock_gettime_ns(_CLOCK) // 1_000_000


def wall_ms() -> int:
    """Milliseconds since 1970, as the wall clock has it."""
    return time.time_ns() // 1_000_000
