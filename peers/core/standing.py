"""What a node says of itself: whether it serves, and what a person has to look at.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from peers.core.epochs import Epochs
from peers.core.following import Following
from peers.core.joining import Joining
from peers.core.outcomes import NodeStatus
from peers.core.replication import Leading
from peers.core.state import State
from peers.core.syncing import Taking


def status(
    state: State, taking: Taking, following: Following, leading: Leading | None, now: int
) -> NodeStatus:
    """Whether the node serves, and if not, the first reason why."""
    if state.removed:
        return NodeStatus.REMOVED
    if not state.counts:
        return NodeStatus.RECOVERING
    if state.outdated:
        return NodeStatus.OUTDATED
    if not state.intact:
        return NodeStatus.INCONSISTENT
    # What a leader lacked as a follower of another's it has by now from those who voted for it.
    if taking.under_way or (following.lacks and leading is None):
        return NodeStatus.SYNCING
    if leading is not None:
        if leading.is_suspended(now):
            return NodeStatus.ISOLATED
        return NodeStatus.ACTIVE if leading.may_read else NodeStatus.STARTING
    if not following.caught_up or not state.belongs:
        return NodeStatus.STARTING
    return NodeStatus.ACTIVE if following.has_lease(now) else NodeStatus.ISOLATED


def alarms(epochs: Epochs, joining: Joining, leading: Leading | None, now: int) -> Iterator[str]:
    """What no rule can decide, each in a sentence that says what is wrong, and what to do."""
    if leading is not None and leading.digests.is_split:
        yield (
            "no majority of the voters has the same state: nobody can say which one is right; "
            "restore those that are wrong"
        )
    for epoch in epochs.forks(now):
        yield (
            f"forked: somebody leads in epoch {epoch} as well; choose which of the two is to go "
            "on, and restore the members of the other from it"
        )
    if waits := epochs.waits_for(now):
        yield (
            f"so many voters have lost their logs that {', '.join(waits)} must be there too; start "
            "them, or have a survivor revived with those members who are to go on"
        )
    if joining.refused:
        yield f"may not join: {joining.refused}"
