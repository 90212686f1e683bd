"""Where those who run a cluster ask, on whichever node: each wish goes to who has to do it.

It decides that: the leader for what changes the members, a node itself for what is about its
process, its state or its clients. And it decides what is answered, once it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from peers.cluster import wishes
from peers.cluster.cluster import ClusterLog
from peers.cluster.plan import mesh_addresses
from peers.core.entry import Dot
from peers.core.membership import Member
from peers.errors import RefusedError, UnknownOutcomeError
from tlru import errors
from tlru.engine import client_limits
from tlru.engine.operations import Settings
from tlru.engine.settings import DEFAULTS, is_valid
from tlru.node import facts
from tlru.node.asker import OneByOne
from tlru.node.cluster.colleagues import AGAIN_S, TRACED, Colleagues, Fields, told
from tlru.node.cluster.doing import Doing
from tlru.node.cluster.members import Members
from tlru.node.cluster.own_seat import OwnSeat
from tlru.node.cluster.sharing import excess
from tlru.node.cluster.weights import Weights
from tlru.node.seats import LEVEL
from tlru.wire.limits import NUMBER_MAX

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

WITHIN_S: Final = 10.0  # for a wish, unless whoever asks says otherwise
SPREAD_S: Final = 10.0  # clients leave one after another within so long


class Desk:
    """Of one cache on one node."""

    def __init__(self, node: Node, service: CacheService) -> None:
        self._node, self._service = node, service
        self._me = node.config.id
        self._doing = Doing(node, service)
        self.colleagues = Colleagues(self._me, service.log, self._doing)
        self.weights = Weights(node, service, self.colleagues)
        self.members = Members(node, service, self.colleagues)
        self._own_seat = OwnSeat(node, service, self.colleagues)

    def start(self) -> None:
        """Answer colleagues, look after the node's own seat, and say what it weighs."""
        self.colleagues.start()
        tell = partial(self.colleagues.tell_all, TRACED)
        self._node.tracing.watch(self._service, self._me, tell)
        self._own_seat.start()
        self.weights.start()

    async def stop(self) -> None:
        """Do none of it any more."""
        await self.weights.stop()
        await self._own_seat.stop()
        await self.members.stop()

    @property
    def alone(self) -> bool:
        """Whether there are no members to change: the log is this node's own."""
        return not isinstance(self._service.log, ClusterLog)

    def is_member(self, id: str) -> bool:
        """Whether there is a member of this id, as far as this node knows."""
        return any(member["id"] == id for member in self._service.log.status().members)

    # -- done by who leads

    async def alter(self, id: str, given: Fields, within_s: float = WITHIN_S) -> Fields:
        """Give a member another priority or role."""
        return await self.colleagues.leader("alter", {"id": id, **given}, within_s)

    async def remove(self, id: str, within_s: float = WITHIN_S) -> Fields:
        """Take a member out. It may be this one, whose link with the leader ends with that."""
        clock = asyncio.get_running_loop().time
        until = clock() + within_s
        try:
            return await self.colleagues.leader("remove", {"id": id}, within_s)
        except errors.Timeout as exc:
            while not self._is_gone(id):
                if clock() >= until:
                    raise exc from None
                await asyncio.sleep(AGAIN_S)
        return {"id": id, "removed": True}

    def _is_gone(self, id: str) -> bool:
        log = self._service.log
        if id == self._me:
            return str(log.node_status) == "removed"
        return str(log.node_status) == "active" and not self.is_member(id)

    async def lead(self, id: str, within_s: float = WITHIN_S) -> Fields:
        """Hand the lead to a member."""
        return await self.colleagues.leader("lead", {"id": id}, within_s)

    async def finalize(self, within_s: float = WITHIN_S) -> Fields:
        """Put the highest feature level in force."""
        if self.alone:
            return {"level": LEVEL, "raised": False}
        return await self.colleagues.leader("level", {}, within_s)

    # -- done by the node that it is about

    async def tell(self, id: str, what: str, within_s: float = WITHIN_S) -> Fields:
        """Have one node reload, restart, or restore its state."""
        return await self.colleagues.at(id, what, {}, within_s)

    async def revive(self, id: str, members: tuple[str, ...], within_s: float = WITHIN_S) -> Fields:
        """Have this node go on with these members, though a majority is away."""
        log = self._service.log
        if not isinstance(log, ClusterLog):
            raise errors.BadRequest(f"node {self._me} is a cluster of its own")
        if id != self._me:
            raise errors.BadRequest(
                f"this is {self._me}: ask {id} itself, with what it has the others go on"
            )
        try:
            await wishes.revive(log, members, within_s)
        except (RefusedError, UnknownOutcomeError) as exc:
            raise told(exc) from exc
        return {"id": id, "epoch": str(log.epoch), "members": list(members)}

    # -- clients

    async def rebalance(self, spread_s: float = SPREAD_S, within_s: float = WITHIN_S) -> Fields:
        """Ask clients of the nodes that have more than their share to go to the others."""
        rows = (await self.members.told(anew=True))["nodes"]
        clients = {
            row["id"]: int(row["connections"])
            for row in rows
            if row["status"] == "active" and "connections" in row
        }
        over = excess(clients, dict.fromkeys(clients, 1.0))
        to = [id for id in clients if id not in over]
        wishes_ = {id: {"count": n, "within": spread_s, "to": to} for id, n in over.items()}
        answers = await asyncio.gather(
            *(self.colleagues.at(id, "shed", wish, within_s) for id, wish in wishes_.items())
        )
        asked = {id: answer["asked"] for id, answer in zip(wishes_, answers, strict=True)}
        return {"clients": clients, "asked": asked, "within": spread_s}

    # -- who wants to come

    def how_to_start(self, id: str, given: Fields) -> list[str]:
        """The command line by which a newcomer of this id joins."""
        log = self._service.log
        assert isinstance(log, ClusterLog)
        members = () if log.replica is None else log.replica.state.membership.members
        join = dict.fromkeys(_first_addresses(members) or list(log.addresses))
        flags = [f"--{name}={word}" for name, word in given.items()]
        return ["tlru", "serve", f"--id={id}", f"--join={','.join(join)}", *flags]

    # -- settings

    def settings(self) -> Fields:
        """What all nodes go by."""
        return {
            "settings": dict(self._service.machine.settings),
            "pos": self._service.machine.index,
        }

    async def change_settings(self, given: Mapping[str, Any], within_s: float = WITHIN_S) -> Fields:
        """Change some of them, on all nodes, at one place of the log."""
        for name, value in given.items():
            if name not in DEFAULTS:
                raise errors.BadRequest(
                    f"there is no setting {name[:40]!r}; there are {', '.join(sorted(DEFAULTS))}"
                )
            if name == "limits" and isinstance(value, str):
                _check_limits(value)
            if not is_valid(name, value) or (type(value) is int and value > NUMBER_MAX):
                raise errors.BadRequest(
                    "`limits` must be text, or null for none"
                    if name == "limits"
                    else f"`{name}` must be an integer of 0 to {NUMBER_MAX}"
                    + (", or null for no bound" if DEFAULTS[name] is None or "max" in name else "")
                )
        if not given:
            raise errors.BadRequest("no setting was named")
        waiting = _Waiting()
        try:
            self._service.write_own(Settings(tuple(sorted(given.items()))), waiting)
        except RefusedError as exc:
            raise told(exc) from exc
        try:
            async with asyncio.timeout(within_s):
                return await waiting.outcome
        except TimeoutError as exc:
            raise errors.Timeout("no word from the log in time; look at the settings") from exc

    # -- upgrades

    async def upgrade(self) -> Fields:
        """Which release each member runs, and what can be put in force."""
        rows = (await self.members.told())["nodes"]
        members = [
            {
                "id": row["id"],
                "status": row["status"],
                "release": row.get("release"),
                "level_max": row.get("level_max"),
            }
            for row in rows
        ]
        able = [each["level_max"] for each in members]
        possible = None if None in able or not able else min(able)
        level = facts.level(self._service)
        return {"level": level, "possible": possible, "nodes": members}


def _check_limits(text: str) -> None:
    try:
        client_limits.parse(text)
    except client_limits.WrongLimitsError as exc:
        raise errors.BadRequest(f"`limits`: {exc}") from exc


class _Waiting(OneByOne):
    """The asker of one write of the node's own."""

    def __init__(self) -> None:
        self.waiting: dict[Dot, str] = {}
        self.waits = 0
        self.push_bytes = 0
        self.outcome: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()

    def reply(self, request: int | None, fields: Fields) -> None:
        """It was done."""
        if not self.outcome.done():
            self.outcome.set_result(fields)

    def refuse(self, request: int | None, error: errors.TlruError) -> None:
        """It was not, or nobody knows."""
        if not self.outcome.done():
            self.outcome.set_exception(error)


def _first_addresses(members: tuple[Member, ...]) -> list[str]:
    """One address of each member is enough to find it."""
    return [found[0] for member in members if (found := mesh_addresses(member))]
