"""What the leader knows of one other member, and who asks it as of when one may read. Pure data."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from peers.core.entry import Position
from peers.core.membership import NodeId
from peers.core.messages import Noted

ROUND_TRIP_SHARE: Final = 1 / 8  # of a new round trip in the smoothed one


@dataclass(slots=True)
class Follower:
    """What the leader knows of one other member."""

    next: Position  # what is sent next follows this
    heard: int  # when it answered last
    steady_since: int
    birth: str
    incarnation: int = 0  # the life that all below is of
    match: int = 0  # it holds the log up to here
    told: int = 0  # it was told that so much is committed
    waits_for: int = 0  # up to here it has clients who wait to hear that
    owed: bool = False  # a word that brings its first answer back: before, it serves nobody
    counts: bool = True
    able: bool = True  # to lead
    behind: bool = False  # what it lacks is no longer kept: it has to take a snapshot
    ahead: bool = False  # it says that our clock is wrong
    noted: Noted | None = None  # its digest at its last checkpoint
    round_trip_ms: float = 0.0  # smoothed
    echo: int = 0  # the highest stamp that it has answered
    sent: int | None = None  # the stamp of its last answer
    reset: int = 0  # answers to what was sent before this stamp tell nothing new
    in_flight: deque[tuple[int, int]] = field(default_factory=deque)  # (end, bytes)
    in_flight_bytes: int = 0
    reaches: frozenset[NodeId] = frozenset()


@dataclass(slots=True)
class Question:
    """A reader that wants to know as of when it may read. None asks on this very node."""

    asker: NodeId | None
    number: int
    stamp: int  # only a heartbeat after this one counts
