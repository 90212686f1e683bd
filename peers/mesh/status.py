"""What a mesh tells of itself: one line for each node, as plain data."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from peers.core.membership import NodeId

COMPLAINT_EVERY_S: Final = 60.0
COMPLAINTS_MAX: Final = 256  # kinds of them that are told apart


class PeerState(enum.StrEnum):
    """How it stands with a node."""

    CONNECTED = "connected"
    DIALLING = "dialling"
    WAITING = "waiting"  # to dial again
    REFUSED = "refused"  # likewise, and slowly: something has to be changed first
    STOPPED = "stopped"  # the mesh does not run


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What is known of one node."""

    node: NodeId
    listed: bool  # or a stranger that has dialled in
    state: PeerState
    why: str  # in a sentence, where it is not connected
    next_s: float | None  # until it is dialled again
    circuit: str  # of the breaker before the dialling: open after many failures in a row
    address: str  # of the link, or the one that was tried last
    dialled: bool | None  # by this node; None without a link
    version: int | None  # of the protocol that is spoken
    round_trip_s: float | None  # smoothed
    least_round_trip_s: float | None
    offset_s: float | None  # how far its clock is ahead of ours
    messages_in: int
    messages_out: int
    bytes_in: int
    bytes_out: int
    queued_bytes: int
    dropped: int  # messages
    reconnects: int


class Complaints:
    """Which complaints are logged: each kind at most once a minute, and a bounded number of kinds.

    What others cause must not fill a disk, however they go about it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[object, float] = {}

    def may(self, kind: object) -> bool:
        """Whether this kind may be logged now."""
        now = self._clock()
        told = self._told.get(kind)
        if told is not None and now - told < COMPLAINT_EVERY_S:
            return False
        if told is None and len(self._told) >= COMPLAINTS_MAX:
            self._forget(now)
            if len(self._told) >= COMPLAINTS_MAX:
                return False
        self._told[kind] = now
        return True

    def _forget(self, now: float) -> None:
        old = [kind for kind, told in self._told.items() if now - told >= COMPLAINT_EVERY_S]
        for kind in old:
            del self._told[kind]
