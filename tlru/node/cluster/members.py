"""What each member says of itself, asked when somebody wants to know.

Each node alone says how it is. It decides how long an answer is waited for and how long it is good
enough for the next who asks: many dashboards that look every second cost each member no more than
one question every half.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from tlru import errors
from tlru.node import facts
from tlru.node.cluster.colleagues import Colleagues, Fields
from tlru.node.seats import seat_of

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

WITHIN_S: Final = 0.5  # a member that takes longer is told of by what the log knows
KEPT_S: Final = 0.5

# Of these a member's seat speaks, by which all go, and not what it says itself.
_OF_THE_SEAT: Final = frozenset(("id", "role", "priority", "region", "zone", "labels", "addresses"))


class Members:
    """The members, each with what it says."""

    def __init__(self, node: Node, service: CacheService, colleagues: Colleagues) -> None:
        self._node, self._service = node, service
        self._colleagues = colleagues
        self._asking: asyncio.Task[dict[str, Fields | str]] | None = None
        self._asked_at = 0.0

    async def told(self, *, anew: bool = False) -> dict[str, Any]:
        """What `nodes` is answered with; `anew` where something is decided by it."""
        said = await (self._ask_all() if anew else self._said())
        log = self._service.log.status()
        rows = [self._row(each, said) for each in log.members]
        return {"leader": log.leader, "term": log.term, "epoch": str(log.epoch), "nodes": rows}

    async def one(self, id: str | None) -> dict[str, Any]:
        """One member; this node where none is named."""
        wanted = self._node.config.id if id is None else id
        for found in (await self.told())["nodes"]:
            if found["id"] == wanted:
                return dict(found)
        raise errors.BadRequest(f"no member is called {wanted!r}; `nodes` lists them")

    async def stop(self) -> None:
        """Ask nobody any more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _row(self, member: Any, said: dict[str, Fields | str]) -> dict[str, Any]:
        node, service = self._node, self._service
        seat = seat_of(member)
        if seat["id"] == node.config.id:
            return {**seat, **facts.status(node, service), "links": facts.links(service)}
        answer = said.get(seat["id"], "it has only just come")
        if not isinstance(answer, str):
            own = {name: told for name, told in answer.items() if name not in _OF_THE_SEAT}
            return {**own, **seat}
        silent_ms = member.get("silent_ms")
        row = {
            **seat,
            "links": [],
            "status": "unknown" if member.get("heard") else "silent",
            "why": answer,
            "silent_s": None if silent_ms is None else round(silent_ms / 1000, 3),
        }
        if silent_ms is not None:
            row["silent_since"] = round(time.time() * 1000) - silent_ms
        return row

    async def _said(self) -> dict[str, Fields | str]:
        """What each of the others said, and of who said nothing, why."""
        now = asyncio.get_running_loop().time()
        if self._asking is None or (self._asking.done() and now - self._asked_at >= KEPT_S):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._asking)

    async def _ask_all(self) -> dict[str, Fields | str]:
        me = self._node.config.id
        others = [m["id"] for m in self._service.log.status().members if m["id"] != me]
        answers = await asyncio.gather(*(self._ask(other) for other in others))
        return dict(zip(others, answers, strict=True))

    async def _ask(self, node: str) -> Fields | str:
        try:
            return await self._colleagues.at(node, "status", {}, WITHIN_S)
        except errors.TlruError as exc:
            return exc.message
