"""The other members, as this node asks them something: fields there, fields back.

It decides whom a wish goes to, how long it is repeated while nobody can take it, and what a log's
refusal is called here. What is done about a wish, `doing.py` decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgpack

from peers.cluster.cluster import ClusterLog
from peers.errors import RefusedError, UnknownOutcomeError
from peers.ordered_log import NodeStatus, OrderedLog
from tlru import errors

AGAIN_S: Final = 0.05  # between two tries to find whoever leads
SHARE: Final = 0.9  # of an asker's patience is spent on what he wants; the rest is for the way
TOLD_S: Final = 1.0  # is as long as anybody works on what it was only told
NOT_LEADER: Final = "not_leader"
UNREACHABLE: Final = "unreachable"
TRACED: Final = "traced"  # which spans of ours theirs hang from

# What passes by itself within an election or so; whatever else a node is, it stays for longer.
_PASSING: Final = frozenset((NOT_LEADER, UNREACHABLE, "isolated", "starting", "syncing"))

Fields = dict[str, Any]
Answering = Callable[[str, str, Fields, float], Awaitable[Fields]]
"""Does what a member wants: who, what, with which fields, within how many seconds."""


class Colleagues:
    """The members of one cache's log."""

    def __init__(self, me: str, log: OrderedLog, answering: Answering) -> None:
        self._me, self._log = me, log
        self._answering = answering

    def start(self) -> None:
        """Answer them from now on."""
        if isinstance(self._log, ClusterLog):
            self._log.asking.handler = self._hear

    async def at(self, node: str, what: str, fields: Fields, within_s: float) -> Fields:
        """Have a member do something; this node too."""
        if node == self._me:
            return await self._answering(node, what, fields, within_s)
        if not isinstance(self._log, ClusterLog):
            raise errors.BadRequest(f"there is no member {node!r}")
        asked = msgpack.packb({"what": what, "fields": fields})
        try:
            data = await self._log.asking.ask(node, asked, within_s)
        except (RefusedError, UnknownOutcomeError) as exc:
            raise told(exc) from exc
        answer = _unpacked(data)
        if (error := answer.get("error")) is not None:
            raise errors.from_wire(error)
        return dict(answer["fields"])

    def tell_all(self, what: str, fields: Fields) -> None:
        """Tell every other member something, at once and in order with what the log says to it. No
        answer is waited for: whom it does not reach does without."""
        if not isinstance(self._log, ClusterLog):
            return
        asked = msgpack.packb({"what": what, "fields": fields})
        for member in self._log.status().members:
            if member["id"] != self._me:
                self._log.asking.tell(member["id"], asked, TOLD_S)

    async def leader(self, what: str, fields: Fields, within_s: float) -> Fields:
        """Have whoever leads do something, and look for it again while nobody does."""
        clock = asyncio.get_running_loop().time
        until = clock() + within_s
        while True:
            try:
                self._check_active()
                leader = self._log.status().leader
                if leader is None:
                    raise errors.Unavailable("nobody leads at the moment", code="isolated")
                return await self.at(leader, what, fields, max(AGAIN_S, until - clock()))
            except errors.Unavailable as exc:
                if exc.code not in _PASSING or clock() + AGAIN_S >= until:
                    raise
            await asyncio.sleep(AGAIN_S)

    def _check_active(self) -> None:
        status = self._log.node_status
        if status is not NodeStatus.ACTIVE:
            raise errors.Unavailable(
                f"node {self._me} is {status}, and knows no leader for sure: ask another member",
                code=str(status),
            )

    async def _hear(self, sender: str, data: bytes, within_s: float) -> bytes:
        try:
            question = _unpacked(data)
            what, fields = question["what"], dict(question["fields"])
            done = await self._answering(sender, str(what), fields, within_s * SHARE)
            answer = {"fields": done}
        except errors.TlruError as error:
            answer = {"error": error.to_wire()}
        packed: bytes = msgpack.packb(answer)
        return packed


def _unpacked(data: bytes) -> Fields:
    try:
        found = msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, TypeError, msgpack.UnpackException) as exc:
        raise errors.TlruError(f"another node said what nobody can read: {exc}") from exc
    if not isinstance(found, dict) or not ({"what", "error"} & found.keys() or "fields" in found):
        raise errors.TlruError("another node said something of another form")
    return found


def told(exc: RefusedError | UnknownOutcomeError) -> errors.TlruError:
    """What the log says, in the words of the protocol."""
    if isinstance(exc, UnknownOutcomeError):
        return errors.Timeout(f"{exc}; whether it was done is not known")
    match exc.reason:
        case "bad_request" | "not_member":
            return errors.BadRequest(str(exc))
        case "too_large":
            return errors.TooLarge(str(exc))
        case "busy" | "overloaded":
            return errors.Overloaded(str(exc), after=1.0)
        case reason:
            return errors.Unavailable(str(exc), code=reason)
