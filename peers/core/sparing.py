"""Whom a majority can do without for a moment.

Pure. Where little comes and nothing else is under way, a leader sends them to as many as
make a majority with it, and to the others when it tells them how far is committed, within
`GATHER_MS`: no client of theirs sees it later, and each of them reads one message where it read
two, or many. Nothing is decided by whom it spares: a message that is on its way for so long is the
same to the log.

The nearest of those who hold everything before and were heard lately are enough. Nobody is spared
who would lead next, so that who is first in line stands with the newest log, or whose own clients
wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from peers.core.follower import Follower
from peers.core.membership import NodeId, Role
from peers.core.state import State
from peers.core.timing import GATHER_MS

BYTES_MAX: Final = 1_024  # with more all begin at once: it takes longer than a message does
LATELY_BEATS: Final = 2  # who was not heard for so many heartbeats may be gone
NOBODY_SPARED: Final[frozenset[NodeId]] = frozenset()


def whom_to_spare(
    state: State, followers: Mapping[NodeId, Follower], before: int, now: int
) -> frozenset[NodeId]:
    """Who has time for what was appended behind `before`."""
    membership = state.membership
    if before > state.commit or not state.counts or not membership.is_voter(state.id):
        return NOBODY_SPARED
    if state.log.bytes_after(before) > BYTES_MAX:
        return NOBODY_SPARED
    silent_ms = LATELY_BEATS * state.timing.heartbeat_ms
    prompt: list[tuple[int, int, NodeId]] = []  # how far away, how late in line, and who
    for member in membership.members:
        follower = followers.get(member.id)
        if follower is None or member.role is not Role.VOTER or not follower.counts:
            continue
        if follower.match >= before and now - follower.heard <= silent_ms:
            away = int(follower.round_trip_ms / GATHER_MS)
            prompt.append((away, -member.priority, member.id))
    enough = membership.majority - 1
    if len(prompt) < enough:
        return NOBODY_SPARED
    prompt.sort()
    told = {node for *_, node in prompt[:enough]}
    if prompt:
        told.add(min(prompt, key=lambda each: each[1:])[2])
    return frozenset(
        node
        for node, follower in followers.items()
        if node not in told and follower.waits_for <= before
    )
