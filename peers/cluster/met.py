"""Whom a node that belongs to nothing has met, and what it may do with them.

Pure. It may ask any of them to let it in. Where it was told how many are expected, and so many are
there, they are those who found the cluster together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from peers.cluster.plan import ClusterPlan
from peers.core.membership import Member, NodeId

MET_MAX: Final = 256  # are remembered: whoever was met before them is forgotten first


class Met:
    """The nodes that one node has a link with, or had."""

    def __init__(self, plan: ClusterPlan) -> None:
        self._plan = plan
        self._met: dict[NodeId, None] = {}
        self._comes_back = False  # there is a cluster: it founds nothing beside that

    def meet(self, node: NodeId) -> bool:
        """There is a link with this node; whether that is new."""
        new = node not in self._met
        if new and len(self._met) >= MET_MAX:
            del self._met[next(iter(self._met))]
        self._met[node] = None
        return new

    def come_back_to(self, members: Iterable[Member]) -> None:
        """It is to come as somebody new to these."""
        self._comes_back = True
        for member in members:
            self.meet(member.id)

    @property
    def contacts(self) -> tuple[NodeId, ...]:
        """Whom it can ask."""
        me = self._plan.member.id
        return tuple(node for node in self._met if node != me)

    @property
    def founders(self) -> tuple[NodeId, ...]:
        """With whom it would found a cluster, itself among them; nobody where it is to join."""
        plan, me = self._plan, self._plan.member.id
        if self._comes_back:
            return ()
        if plan.founders:
            return plan.founders
        there = {me, *self._met}
        if plan.expect:
            return tuple(sorted(there)) if len(there) == plan.expect else ()
        return (me,) if plan.is_alone else ()
