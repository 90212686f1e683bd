"""What a node does about its cluster when it is asked: by its own operator, or by a colleague.

It decides what each wish means for the log or for the node itself, and checks its fields: whoever
sent it may be of another release. Where a wish goes, `desk.py` decides.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from peers.cluster import wishes
from peers.cluster.cluster import ClusterLog
from peers.core.changes import Changing
from peers.core.membership import Member, Role
from peers.errors import RefusedError, UnknownOutcomeError
from tlru import errors
from tlru.node import facts
from tlru.node.cluster.colleagues import NOT_LEADER, TRACED, Fields, told
from tlru.node.cluster.weights import WEIGHS

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

PRIORITY_MAX: Final = 1_000
SHED_MAX: Final = 100_000  # connections that are asked to leave at once
SHED_WITHIN_S_MAX: Final = 3_600.0

Doer = Callable[[str, Fields, float], Awaitable[Fields]]


class Doing:
    """One node's part in what is wished of a cluster."""

    def __init__(self, node: Node, service: CacheService) -> None:
        self._node, self._service = node, service
        self._doers: dict[str, Doer] = {
            "status": self._status,
            "alter": self._alter,
            "seat": self._seat,
            "remove": self._remove,
            "lead": self._lead,
            "level": self._raise_level,
            "reload": self._reload,
            "restart": self._restart,
            "restore": self._restore,
            "shed": self._shed,
            WEIGHS: self._weighs,
            TRACED: self._trace,
        }

    async def __call__(self, sender: str, what: str, fields: Fields, within_s: float) -> Fields:
        """Do it, and say what came of it. TlruError where that is nothing."""
        doer = self._doers.get(what)
        if doer is None:
            raise errors.UnknownOp(
                f"node {self._node.config.id} is of a release that does not know {what[:40]!r}"
            )
        try:
            return await doer(sender, fields, within_s)
        except (RefusedError, UnknownOutcomeError) as exc:
            raise told(exc) from exc

    @property
    def _log(self) -> ClusterLog:
        log = self._service.log
        if not isinstance(log, ClusterLog):
            raise errors.BadRequest(f"node {self._node.config.id} is a cluster of its own")
        return log

    async def _status(self, _sender: str, _fields: Fields, _within_s: float) -> Fields:
        node, service = self._node, self._service
        return {**facts.status(node, service), "links": facts.links(service)}

    async def _weighs(self, sender: str, fields: Fields, _within_s: float) -> Fields:
        """A member says what it weighs among the servers that clients choose from, and hears the
        same: one that has come back a moment ago knows of nobody."""
        weights = self._node.desk(self._service).weights
        weights.hear(sender, fields.get("weight"))
        return {"weight": weights.own()}

    async def _trace(self, sender: str, fields: Fields, _within_s: float) -> Fields:
        """A member follows writes that it took; where tracing is off here, it is for nothing."""
        if self._service.spans is not None:
            self._service.spans.heard(sender, fields)
        return {}

    # -- done by who leads

    async def _alter(self, _sender: str, fields: Fields, within_s: float) -> Fields:
        """Give a member another priority or role."""
        id, given = _text(fields, "id"), _standing(fields)
        wish = wishes.alter(id, lambda there: replace(there, **given))
        return {"id": id, "index": await wishes.change(self._log, wish, within_s), **fields}

    async def _seat(self, sender: str, fields: Fields, within_s: float) -> Fields:
        """A member says what it is by now: it alone can, and only of itself."""
        birth, region = _text(fields, "birth"), _text(fields, "region")
        details = tuple(sorted(_pair(each) for each in fields.get("details", ())))
        given = _standing(fields)

        def seated(there: Member) -> Member:
            if there.birth != birth:
                raise RefusedError("bad_request", f"another node is called {sender} by now")
            return replace(there, region=region, details=details, **given)

        return {"index": await wishes.change(self._log, wishes.alter(sender, seated), within_s)}

    async def _remove(self, _sender: str, fields: Fields, within_s: float) -> Fields:
        id, log = _text(fields, "id"), self._log
        replica = log.replica
        there = replica is not None and replica.state.membership.get(id) is not None
        if (
            there
            and id == log.id
            and replica is not None
            and len(replica.state.membership.voters) > 1
        ):
            # Another leads first, and removes us: nobody waits for an election.
            leader = await wishes.hand_over(log, None, within_s)
            raise errors.Unavailable(f"{leader} leads", code=NOT_LEADER)
        index = await wishes.change(log, wishes.remove(id), within_s)
        return {"id": id, "index": index, "removed": there}

    async def _lead(self, _sender: str, fields: Fields, within_s: float) -> Fields:
        id = _text(fields, "id")
        log = self._service.log
        if not (log.leads and id == self._node.config.id):
            await wishes.hand_over(self._log, id, within_s)
        said: Fields = {"id": id, "leader": id}
        if (better := self._better_than(id)) and self._node.config.hand_back:
            said["note"] = (
                f"{better} has a higher priority, and takes the lead back once it is steady; give "
                f"{id} a higher one to keep it there"
            )
        return said

    def _better_than(self, id: str) -> str | None:
        """The voter that comes before this one, if there is one."""
        voters = [m for m in self._service.log.status().members if m["role"] == Role.VOTER]
        first = min(voters, key=lambda m: (-m["priority"], m["id"]), default=None)
        return None if first is None or first["id"] == id else str(first["id"])

    async def _raise_level(self, _sender: str, _fields: Fields, within_s: float) -> Fields:
        """Put the feature level in force that this release can apply, if all can."""
        log = self._log
        before = 0

        def wish(changing: Changing, now: int) -> None:
            nonlocal before
            before = changing.state.membership.level
            changing.raise_level(changing.state.level, now)

        index = await wishes.change(log, wish, within_s)
        level = log.plan.level
        return {"level": max(level, before), "raised": level > before, "index": index}

    # -- done by the node that it is about

    async def _reload(self, _sender: str, _fields: Fields, _within_s: float) -> Fields:
        return {"id": self._node.config.id, **await self._node.reload()}

    async def _restart(self, _sender: str, _fields: Fields, _within_s: float) -> Fields:
        before = {"id": self._node.config.id, "started": round(self._node.started_at * 1000)}
        return {**before, **await self._node.restart()}

    async def _restore(self, _sender: str, _fields: Fields, within_s: float) -> Fields:
        await wishes.restore(self._log, within_s)
        return {"id": self._node.config.id, "pos": self._service.machine.index}

    async def _shed(self, _sender: str, fields: Fields, _within_s: float) -> Fields:
        """Ask so many clients to go elsewhere, each at a moment of its own."""
        count, within = _number(fields, "count", SHED_MAX), fields.get("within", 0)
        if not isinstance(within, int | float) or not 0 <= within <= SHED_WITHIN_S_MAX:
            raise errors.BadRequest(f"`within` must be 0 to {SHED_WITHIN_S_MAX:g} seconds")
        sessions = self._node.sessions_of(self._service)
        leaving = random.sample(sessions, min(count, len(sessions)))
        wanted = fields.get("to", ())
        others = facts.others(self._node, self._service)
        servers = [server for server in others if server["id"] in wanted] or others
        for session in leaving if servers else ():
            session.push(
                {"push": "goaway", "reason": "rebalance", "within": within, "servers": servers}
            )
        return {"asked": len(leaving) if servers else 0}


# -- what may stand in fields


def _standing(fields: Fields) -> dict[str, Any]:
    """Priority and role, where they are given."""
    given: dict[str, Any] = {}
    if "priority" in fields:
        given["priority"] = _number(fields, "priority", PRIORITY_MAX)
    if "role" in fields:
        given["role"] = role(fields["role"])
    return given


def role(found: Any) -> Role:
    """A role by its name."""
    try:
        return Role(found)
    except ValueError:
        raise errors.BadRequest("`role` must be voter or observer") from None


def _number(fields: Fields, name: str, most: int) -> int:
    found = fields.get(name)
    if type(found) is not int or not 0 <= found <= most:
        raise errors.BadRequest(f"`{name}` must be an integer of 0 to {most}")
    return found


def _text(fields: Fields, name: str) -> str:
    found = fields.get(name)
    if not isinstance(found, str):
        raise errors.BadRequest(f"`{name}` must be text")
    return found


def _pair(found: Any) -> tuple[str, str]:
    match found:
        case [str(name), str(word)]:
            return name, word
    raise errors.BadRequest("`details` must be pairs of texts")
