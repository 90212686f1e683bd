"""An epoch that begins with a state from elsewhere, when a whole cluster has lost its own.

A person wants it, of a node that belongs to nothing yet or is the only member. It goes on alone, in
a child of the backup's epoch, so that whoever still has something of the old one makes way; all
others join it, as newcomers under their old names.

It decides in which order that is safe: the promise says that something is missing until the state
is on the disk, so that after a crash in between the node serves nothing, and is told to again.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from peers.cluster.cluster import ClusterLog
from peers.core.base import Base
from peers.core.entry import Epoch
from peers.core.log import Log
from peers.core.membership import Membership, Role
from peers.core.output import Committed, Entrance, Install
from peers.errors import RefusedError, StorageError
from peers.ordered_log import Arriving

RANDOM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the epoch begins with."""

    arriving: Arriving  # whole, ready to be installed
    base: Base  # of this membership
    parent: Epoch  # which it goes on from
    time: int  # cluster time


def check_may_begin(log: ClusterLog) -> None:
    """RefusedError where this node has others who know better, or may not lead."""
    replica = log.replica
    if replica is None:
        raise RefusedError("starting", f"node {log.id} takes no part at the moment")
    if log.plan.member.role is not Role.VOTER:
        raise RefusedError(
            "bad_request", f"{log.id} is to be an observer, and observers never lead"
        )
    state = replica.state
    others = [member.id for member in state.membership.members if member.id != log.id]
    if not state.epoch.is_none and (others or state.removed):
        raise RefusedError(
            "bad_request",
            f"{log.id} belongs to a cluster with {', '.join(others) or 'others'}, whose state is "
            "newer than any backup; to go back to one, stop all nodes, move their directories "
            "away, start one of them alone, restore, and start the others",
        )


def membership_of(log: ClusterLog, level: int) -> Membership:
    """Who belongs at the beginning: this node alone."""
    return Membership((log.seat,), level)


async def begin(log: ClusterLog, beginning: Beginning) -> Epoch:
    """Go on with it; the epoch. RefusedError where this node cannot, StorageError where the disk
    does not take it: then the node serves nothing until it is restarted."""
    check_may_begin(log)
    before, base, parent = log.leave(), beginning.base, beginning.parent
    number = max(before.state.epoch.number, parent.number) + 1
    epoch = Epoch(number, secrets.token_hex(RANDOM_BYTES), parent.random)
    ancestors = {**dict.fromkeys(before.state.ancestors), before.state.epoch.random: None}
    promise = replace(
        log.promise,
        epoch=epoch,
        incarnation=log.promise.incarnation + 1,
        term=base.position.term + 1,
        vote=before.state.origin,
        whole=False,
        removed=False,
        added=None,
        accepted=None,
        ancestors=(*(each for each in ancestors if each), parent.random),
        named=None,
    )
    try:
        await log.disk.enter(Entrance(promise, base.membership, False, beginning.time))
        beginning.arriving.install()
        snapshot = log.application.capture()
        try:
            await log.disk.keep_snapshot(base, snapshot.chunks())
        finally:
            snapshot.close()
        log.disk.install(Install(0, base, keeps_log=False))
        await log.disk.written()
        promise = replace(promise, whole=True)
        log.disk.write_promise(promise)
    except StorageError as exc:
        log.break_off(str(exc))
        raise
    log.disk.write_members(Committed(base.position.index, base.membership))
    log.begin_life(
        promise, Log(base), commit=base.position.index, resumed=beginning.time, leads=True
    )
    return epoch
