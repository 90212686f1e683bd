"""Whole clusters of `ClusterLog`s in one process, on real sockets and disks."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from peers.cluster.cluster import ClusterLog
from peers.cluster.plan import ClusterPlan, Keeping
from peers.core.membership import Member, Role
from peers.core.timing import Bounds, Timing
from peers.mesh.settings import MeshSettings, MeshTiming
from peers.ordered_log import NodeStatus
from tests import running
from tests.peers.notebook import Notebook

until = functools.partial(running.until, within_s=40)
TIMING = Timing(
    heartbeat_ms=50, election_timeout_ms=600, step_ms=80, settle_ms=1_500, cold_start_wait_ms=1_500
)
MESH = MeshTiming(backoff_first_s=0.01, backoff_most_s=0.2, close_s=0.5)


@dataclass
class Running:
    """A node, its application, and what it was told."""

    log: ClusterLog
    notebook: Notebook
    plan: ClusterPlan

    @property
    def address(self) -> str:
        """Where its mesh listens."""
        return self.log.mesh.address

    @property
    def active(self) -> bool:
        """Whether it serves."""
        return self.log.node_status is NodeStatus.ACTIVE

    @property
    def lines(self) -> list[str]:
        """What was written, without what the log itself adds."""
        return [text for _, text in self.notebook.lines if text]

    @property
    def places(self) -> list[tuple[int, str]]:
        """The same, each with its index. Entries of the log's own may not have come everywhere."""
        return [line for line in self.notebook.lines if line[1]]

    def write(self, text: str) -> None:
        """Put a line in order."""
        self.log.propose(text.encode())

    async def write_through(self, text: str) -> None:
        """Put a line in order, and wait until it is applied here."""
        self.write(text)
        await until(lambda: text in self.lines)

    async def until_applied(self, index: int) -> None:
        """Wait until so much is applied here."""
        await until(lambda: self.notebook.index >= index)


@dataclass
class Cluster:
    """The nodes that a test has started."""

    folder: Path | None = None
    timing: Timing = TIMING
    bounds: Bounds = field(default_factory=Bounds)
    nodes: dict[str, Running] = field(default_factory=dict)

    def plan(self, id: str, priority: int, **told: object) -> ClusterPlan:
        """What a node is told."""
        keeping = Keeping()
        if self.folder is not None:
            keeping = Keeping(state=self.folder / id / "state", data=self.folder / id / "data")
        plan = ClusterPlan(
            Member(id, "", priority),
            mesh=MeshSettings(timing=MESH),
            keeping=keeping,
            timing=self.timing,
            bounds=self.bounds,
        )
        return replace(plan, **told)  # type: ignore[arg-type]

    async def start(self, plan: ClusterPlan, notebook: Notebook | None = None) -> Running:
        """Start a node, and know it by its name."""
        node = Running(ClusterLog(plan), notebook or Notebook(), plan)
        await node.log.start(node.notebook)
        self.nodes[plan.member.id] = node
        return node

    async def found(self, *ids: str) -> list[Running]:
        """Nodes that found a cluster together, the first with the highest priority."""
        first = await self.start(self.plan(ids[0], 100, founders=ids))
        others = [
            await self.start(self.plan(id, 100 - n, founders=ids, join=(first.address,)))
            for n, id in enumerate(ids[1:], start=1)
        ]
        # The others know only where the first is: they are told of each other by meeting.
        addresses = tuple(node.address for node in (first, *others))
        for node in (first, *others):
            node.log.mesh.seek([each for each in addresses if each != node.address])
        await self.until_active(*ids)
        return [first, *others]

    async def join(
        self,
        id: str,
        at: Running,
        role: Role = Role.VOTER,
        notebook: Notebook | None = None,
    ) -> Running:
        """A newcomer that knows of one node."""
        plan = self.plan(id, 50, join=(at.address,))
        return await self.start(replace(plan, member=replace(plan.member, role=role)), notebook)

    async def until_active(self, *ids: str) -> None:
        """Wait until these serve."""
        await until(lambda: all(self.nodes[id].active for id in ids))

    async def until_written(self, *texts: str) -> None:
        """Wait until every node that runs has these lines, in whatever order all of them have."""
        await until(lambda: all(sorted(n.lines) == sorted(texts) for n in self.nodes.values()))
        first, *rest = (node.places for node in self.nodes.values())
        assert all(places == first for places in rest)

    async def stop(self, id: str) -> Running:
        """Stop one in order."""
        node = self.nodes.pop(id)
        await node.log.stop()
        return node

    def leader(self) -> Running:
        """Who leads."""
        return next(node for node in self.nodes.values() if node.log.leads)


@asynccontextmanager
async def cluster(
    folder: Path | None = None, timing: Timing = TIMING, bounds: Bounds | None = None
) -> AsyncIterator[Cluster]:
    """A cluster of no nodes yet; whatever runs at the end is stopped."""
    made = Cluster(folder, timing, bounds or Bounds())
    try:
        yield made
    finally:
        for id in list(made.nodes):
            await made.stop(id)
