"""How long things take, and how much of each there may be. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in milliseconds. A region's round trip belongs well below `heartbeat_ms`."""

    heartbeat_ms: int = 100
    election_timeout_ms: int = 1_000
    step_ms: int = 150  # between the moments at which one rank and the next would stand
    settle_ms: int = 5_000  # a member is steady when it was heard for so long
    max_clock_step_ms: int = 1_000
    cold_start_wait_ms: int = 10_000  # all are there, and no majority can vote
    cold_start_majority: bool = False  # then a majority is enough, and the others are left behind
    finalize_after_ms: int | None = None  # a level that all can apply is put in force; None: never
    hand_back: bool = True  # the highest priority takes the lead back when it is steady


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one node may hold or have under way."""

    append_bytes: int = 1 << 20  # in one message
    append_batches: int = 1_024  # likewise: small ones reach what a message may hold long before
    in_flight_bytes: int = 8 << 20  # to one follower, not answered yet
    tail_bytes: int = 32 << 20  # appended and not committed; beyond it writes are refused
    window_bytes: int = 64 << 20  # of the log, what is applied and kept for who is a little behind
    window_entries: int = 100_000
    sync_bytes: int = 256 << 20  # more of it, for who takes a snapshot; beyond it writes wait
    snapshots: int = 4  # given at once
    pieces: int = 8  # of a snapshot, asked for and not there yet
    batch_bytes: int = 1 << 20
    batch_entries: int = 2_048
    forward_operations: int = 2_048  # in one message
    pending_bytes: int = 32 << 20  # of a node's own clients, not committed yet
    pending: int = 65_536


# Operations are gathered for so long at most, while others are under way. Where there is much to do
# that makes few large batches of it; one that comes alone waits for nobody. As long, who waits for
# nothing is not told how far is committed: the next operations may say it.
GATHER_MS: Final = 2

STAMPS_A_MS: Final = 1_024


class Stamps:
    """Numbers that grow with every one that is given, and tell when that was."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: int) -> int:
        """A stamp for now."""
        self._last = max(now * STAMPS_A_MS, self._last + 1)
        return self._last


def stamped_at(stamp: int) -> int:
    """When a stamp was given, in milliseconds of its giver."""
    return stamp // STAMPS_A_MS
