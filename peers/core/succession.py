"""Whom a leader would have lead after it: the next in line, or somebody who is better.

Pure. When the lead is given away is decided in `replication.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peers.core.follower import Follower
from peers.core.membership import NodeId, Role
from peers.core.state import State


def first_in_line(
    state: State, followers: Mapping[NodeId, Follower], heard: Sequence[NodeId]
) -> NodeId | None:
    """The voter of the highest priority that is heard and holds the most."""
    able = [
        (-followers[m.id].match, -m.priority, m.id)
        for m in state.membership.members
        if m.role is Role.VOTER and m.id in followers and m.id in heard and followers[m.id].able
    ]
    return min(able)[2] if able else None


def better_leader(
    state: State, followers: Mapping[NodeId, Follower], heard: Sequence[NodeId], now: int
) -> NodeId | None:
    """A steady voter of higher priority that holds what we hold and hears whom we hear."""
    mine = state.membership.get(state.id)
    if mine is None:
        return None  # it is being removed, and leads until that is committed
    for member in sorted(state.membership.members, key=lambda m: (-m.priority, m.id)):
        if member.id == state.id or member.priority <= mine.priority:
            return None
        follower = followers.get(member.id)
        if member.role is not Role.VOTER or follower is None or not follower.able:
            continue
        steady = now - follower.steady_since >= state.timing.settle_ms
        hears = follower.reaches >= set(heard) - {member.id}
        near = follower.match >= state.commit and follower.match > 0
        if member.id in heard and steady and hears and near:
            return member.id
    return None
