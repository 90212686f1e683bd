"""What each member's weight is among the servers that clients choose from.

Each node alone knows how long it has been ready and whether it leaves, and says so to the others
when it changes, to one that it hears again, and every so often in case that was lost; each answers
with its own. One of which nothing is known is taken for one that has just come.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final

from peers.cluster.cluster import ClusterLog
from tlru import errors
from tlru.node.cluster import easing
from tlru.node.cluster.colleagues import Colleagues, Fields

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

LOOK_S: Final = 0.5
AGAIN_S: Final = 10.0  # it is said again after so long, though nothing has changed
WITHIN_S: Final = 1.0
WEIGHS: Final = "weighs"  # the question by which it is said


class Weights:
    """The weights of one cache's members, as this node knows them."""

    def __init__(self, node: Node, service: CacheService, colleagues: Colleagues) -> None:
        self._node, self._service = node, service
        self._colleagues = colleagues
        self._told: dict[str, float] = {}  # by whom, what
        self._said: dict[str, tuple[float, float]] = {}  # to whom, what, and when
        self._task: asyncio.Task[None] | None = None
        self._now = asyncio.Event()

    def start(self) -> None:
        """Say what this node weighs from now on, where there are others."""
        if isinstance(self._service.log, ClusterLog):
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Say nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def say_now(self) -> None:
        """Something has changed that others should hear at once."""
        self._now.set()

    def own(self) -> float:
        """What this node weighs."""
        if self._node.draining:
            return easing.WEIGHT_NONE
        if not isinstance(self._service.log, ClusterLog):
            return easing.WEIGHT_FULL  # there is nobody to go to instead
        since = self._node.health.ready_since
        return easing.eased(None if since is None else time.monotonic() - since, easing.EASE_S)

    def of(self, member: str) -> float:
        """What a member weighs, as far as it has said so."""
        if member == self._node.config.id:
            return self.own()
        return self._told.get(member, easing.WEIGHT_MIN)

    def hear(self, sender: str, weight: object) -> None:
        """A member says what it weighs. BadRequest where that is no weight."""
        if not isinstance(weight, float) or not math.isfinite(weight) or not 0 <= weight <= 1:
            raise errors.BadRequest("a weight is a number from 0 to 1")
        if any(each["id"] == sender for each in self._service.log.status().members):
            self._told[sender] = weight

    async def _run(self) -> None:
        while True:
            await asyncio.gather(*(self._say(other) for other in self._to_tell()))
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._now.wait()
            except TimeoutError:
                continue
            self._now.clear()

    def _to_tell(self) -> list[str]:
        """Those who do not know yet what this node weighs."""
        weight, now = self.own(), asyncio.get_running_loop().time()
        others = {
            each["id"]: bool(each["heard"])
            for each in self._service.log.status().members
            if each["id"] != self._node.config.id
        }
        for id in self._told.keys() | self._said.keys():
            if not others.get(id):  # when it is heard again, it has come back
                self._told.pop(id, None)
                self._said.pop(id, None)
        return [
            id
            for id, heard in others.items()
            if heard and not self._knows(self._said.get(id), weight, now)
        ]

    @staticmethod
    def _knows(said: tuple[float, float] | None, weight: float, now: float) -> bool:
        return said is not None and said[0] == weight and now - said[1] < AGAIN_S

    async def _say(self, other: str) -> None:
        weight = self.own()
        fields: Fields = {"weight": weight}
        try:
            answer = await self._colleagues.at(other, WEIGHS, fields, WITHIN_S)
            self.hear(other, answer.get("weight"))
        except errors.UnknownOp:
            pass  # of an earlier release: it takes all for equals
        except errors.TlruError:
            return  # again at the next look
        self._said[other] = weight, asyncio.get_running_loop().time()
