"""What a node that takes part in a cluster may be told anew while it runs.

Decides which parts of a plan are taken up: where the mesh listens and how it is guarded, whom to
look for, how patient the core is, how often a snapshot is kept, and what the node would be as a
member. What it is as a member stands in the log: only the leader changes that.
"""

from __future__ import annotations

from peers.cluster.cluster import ClusterLog
from peers.cluster.plan import ClusterPlan


async def go_by(log: ClusterLog, plan: ClusterPlan) -> None:
    """Go by another plan from now on. OSError where the mesh cannot listen there; then nothing has
    changed. Who founds, where what is kept, and the level are those of the start."""
    await log.mesh.go_by(plan.mesh)
    log.plan = plan
    own = {log.mesh.address, *plan.mesh.advertise}
    log.mesh.seek([address for address in plan.join if address not in own])
    if log.kept is not None:
        log.kept.every(plan.keeping.snapshot_interval_s)
    replica = log.replica
    if replica is not None:
        replica.state.timing = plan.timing
        replica.joining.come_as(log.seat)
        replica.epochs.come_as(log.seat)
