"""What people want of a cluster, each seen through until it is done.

The core takes one change at a time and says no while it cannot; here it is asked again, for as long
as whoever wishes is patient, and a change counts once it is committed. It decides nothing about the
log.

Each of these raises RefusedError where nothing was done, with the reason `not_leader` where another
node has to be asked, and UnknownOutcomeError where nobody can say.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from peers.clocks import boot_ms
from peers.cluster.cluster import ClusterLog
from peers.cluster.effects import DIGEST_BYTES
from peers.core.changes import Changing
from peers.core.membership import Member, NodeId, Role
from peers.core.messages import Checked, Noted
from peers.core.replica import Replica
from peers.errors import RefusedError, UnknownOutcomeError
from peers.ordered_log import NodeStatus

LOOK_S: Final = 0.01  # so often it is looked whether something has come to be

Wish = Callable[[Changing, int], None]


async def change(log: ClusterLog, wish: Wish, within_s: float) -> int:
    """Have the members changed, and wait until that is committed: the index of its entry, or how
    far is committed, where the wish changes nothing."""
    clock = asyncio.get_running_loop().time
    until = clock() + within_s
    while True:
        replica = _leading(log)
        before = replica.state.log.changed
        try:
            log.change(wish)
            break
        except RefusedError as exc:
            if exc.reason != "busy" or clock() >= until:
                raise
        await asyncio.sleep(LOOK_S)
    state = replica.state
    index = state.log.changed
    if index == before:
        return state.commit
    term = state.term
    while state.commit < index or state.log.term_at(index) not in (term, None):
        if log.replica is not replica or state.term != term or clock() >= until:
            raise UnknownOutcomeError(
                f"the change stands in the log of {log.id}, and whether it is kept is not known "
                "yet: look at the members"
            )
        await asyncio.sleep(LOOK_S)
    return index


def remove(node: NodeId) -> Wish:
    """Take a member out. Where it is none, nothing changes."""

    def wish(changing: Changing, now: int) -> None:
        if changing.state.membership.get(node) is not None:
            changing.remove(node, now)

    return wish


def alter(node: NodeId, altered: Callable[[Member], Member]) -> Wish:
    """Give a member what `altered` makes of it. Where that is what it has, nothing changes."""

    def wish(changing: Changing, now: int) -> None:
        there = changing.state.membership.get(node)
        if there is None:
            raise RefusedError("not_member", f"there is no member {node!r}")
        wanted = altered(there)
        if there.joining and wanted.role is Role.VOTER:
            wanted = replace(wanted, role=there.role)  # it is on its way to be one
        elif there.joining:
            wanted = replace(wanted, joining=wanted.role is there.role)
        if wanted != there:
            changing.alter(wanted, now)

    return wish


async def hand_over(log: ClusterLog, to: NodeId | None, within_s: float) -> NodeId:
    """Let this member lead, or whoever is next, and wait until it does: who leads then."""
    clock = asyncio.get_running_loop().time
    until = clock() + within_s
    replica = _leading(log)
    if to == log.id:
        return to
    while True:
        leading, leader = replica.leading, replica.state.leader
        if leading is None and leader not in (None, log.id):
            if to in (None, leader):
                return leader
            raise RefusedError("not_leader", f"{leader} took the lead, and not {to}: ask it")
        if log.replica is not replica or clock() >= until:
            if leading is None:
                raise UnknownOutcomeError(f"{log.id} leads no more, and does not know who does")
            raise RefusedError("busy", f"{to or 'nobody else'} did not take the lead in time")
        if leading is not None and leading.transfer_to is None:
            # Also when it was in vain: who has only just started does not vote yet.
            _check_successor(replica, to)
            log.hand_over(to)
        await asyncio.sleep(LOOK_S)


def _check_successor(replica: Replica, to: NodeId | None) -> None:
    leading, now = replica.leading, boot_ms()
    assert leading is not None
    if to is None:
        if leading.next_in_line(now) is None:
            raise RefusedError("bad_request", "there is no other voter that could lead")
        return
    member = replica.state.membership.get(to)
    if member is None:
        raise RefusedError("not_member", f"there is no member {to!r}")
    if member.role is not Role.VOTER:
        raise RefusedError("bad_request", f"{to} is an observer, and observers never lead")
    if to not in leading.heard(now):
        raise RefusedError("bad_request", f"{to} does not answer, so it cannot lead")


async def restore(log: ClusterLog, within_s: float) -> None:
    """Throw this node's state away and take another's, over the network; wait until it serves.

    It is what a node does by itself whose state differs from the majority's: it is as if a
    checkpoint had said so. Its promises, its log and its seat stay."""
    replica = log.replica
    if replica is None:
        raise RefusedError("starting", f"node {log.id} takes no part at the moment")
    state = replica.state
    if state.removed or state.leader is None:
        raise RefusedError("isolated", f"{log.id} has nobody to take the state from")
    if state.leader == log.id:
        _check_successor(replica, None)
    if state.intact:
        wrong = Noted(state.commit, os.urandom(DIGEST_BYTES))  # no state is like that
        log.hear(Checked(wrong, agrees=False))
    until = asyncio.get_running_loop().time() + within_s
    while log.replica is replica and not (state.intact and log.node_status is NodeStatus.ACTIVE):
        if asyncio.get_running_loop().time() >= until:
            raise UnknownOutcomeError(
                f"{log.id} is still {log.node_status}: it goes on replacing its state by itself"
            )
        await asyncio.sleep(LOOK_S)


async def revive(log: ClusterLog, members: tuple[NodeId, ...], within_s: float) -> None:
    """Go on with these members alone, and wait until this node serves."""
    log.revive(members)
    until = asyncio.get_running_loop().time() + within_s
    while log.node_status is not NodeStatus.ACTIVE:
        if asyncio.get_running_loop().time() >= until:
            raise UnknownOutcomeError(
                f"{log.id} has begun a new epoch, and is {log.node_status}: it serves once a "
                "majority of those who go on is there"
            )
        await asyncio.sleep(LOOK_S)


def has_founded(log: ClusterLog) -> bool:
    """Whether this node leads a cluster that was founded with it, in the term in which it was."""
    replica = log.replica
    if replica is None or replica.leading is None:
        return False
    state = replica.state
    return state.epoch.number == 1 and state.log.term_at(1) == state.term


def _leading(log: ClusterLog) -> Replica:
    replica = log.replica
    if replica is None or replica.leading is None:
        leader = None if replica is None else replica.state.leader
        raise RefusedError("not_leader", f"{leader or 'nobody'} leads")
    return replica
