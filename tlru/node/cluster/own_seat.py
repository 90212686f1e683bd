"""A node sees to it that its seat in the cluster says what it is.

A node may come back at another address, in another zone, with other labels; it has proved its id by
then, and asks the leader to enter what has changed. Address, region, zone and labels are the node's
own. Priority and role are its configuration's until a person changes them in the cluster; from then
on they stay, until the configuration says something else than it did: what it said last stands in
the seat, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from peers.cluster.cluster import ClusterLog
from peers.cluster.plan import seat_at
from peers.core.membership import Member
from peers.ordered_log import NodeStatus
from tlru import errors
from tlru.node import facts
from tlru.node.cluster.colleagues import Colleagues
from tlru.node.founding import FoundingWatch, misfit
from tlru.node.seats import TOLD_PRIORITY, TOLD_ROLE, member_of

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.5
WITHIN_S: Final = 5.0


def changes(there: Member, wanted: Member) -> dict[str, Any]:
    """What is to be altered of a seat for it to be what its node wants; nothing where it is."""
    said, says = dict(there.details), dict(wanted.details)
    given: dict[str, Any] = {}
    if TOLD_PRIORITY in said and said[TOLD_PRIORITY] != says[TOLD_PRIORITY]:
        given["priority"] = wanted.priority
    if TOLD_ROLE in said and said[TOLD_ROLE] != says[TOLD_ROLE]:
        given["role"] = str(wanted.role)
    if not given and (there.region, said) == (wanted.region, says):
        return {}
    details = [list(pair) for pair in wanted.details]
    return {"birth": there.birth, "region": wanted.region, "details": details, **given}


class OwnSeat:
    """Looks after this node's seat."""

    def __init__(self, node: Node, service: CacheService, colleagues: Colleagues) -> None:
        self._node, self._service = node, service
        self._colleagues = colleagues
        self._task: asyncio.Task[None] | None = None
        self._complaint = ""
        self._founding = FoundingWatch(node.config.id)
        self._changed = asyncio.Event()  # the configuration has

    def start(self) -> None:
        """Look after it from now on, where others know it."""
        if isinstance(self._service.log, ClusterLog):
            self._node.on_seat_changed.append(self._changed.set)
            self._task = asyncio.create_task(self._run(self._service.log))

    async def stop(self) -> None:
        """Look after it no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, log: ClusterLog) -> None:
        while True:
            try:
                await self._look(log)
            except errors.TlruError as exc:
                self._complain(f"its seat is not what it should be: {exc.message}")
            except Exception:
                logger.exception("node %s could not look after its seat", log.id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_S)
            self._changed.clear()

    async def _look(self, log: ClusterLog) -> None:
        replica = log.replica
        if log.node_status is NodeStatus.REMOVED:
            self._complain(facts.REMOVED)
        if replica is None or log.node_status is not NodeStatus.ACTIVE:
            return
        config, now_s = self._node.config, asyncio.get_running_loop().time()
        members = facts.seats(self._node, self._service)
        self._founding.look(misfit(config.bootstrap, config.expect, members), now_s)
        there = replica.state.membership.get(log.id)
        if there is None or there.birth != log.promise.birth:
            return
        urls = tuple(facts.addresses(self._node))
        wanted = seat_at(member_of(self._node.config, urls), there.birth, log.addresses)
        if wish := changes(there, wanted):
            await self._colleagues.leader("seat", wish, WITHIN_S)
            logger.info("node %s: its seat says now what it is", log.id)
            self._complaint = ""

    def _complain(self, complaint: str) -> None:
        """Once: it may go on for days."""
        if complaint != self._complaint:
            self._complaint = complaint
            logger.error("node %s: %s", self._node.config.id, complaint)
