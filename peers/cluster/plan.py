"""What a node is told of the cluster that it is a part of. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from peers.core.membership import Member, NodeId
from peers.core.timing import Bounds, Timing
from peers.disk.store import Fsync
from peers.mesh.settings import MeshSettings

MESH = "mesh"  # under this word a member's details say where its mesh is, commas between
ADDRESS_SEPARATOR = ","


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a node keeps what, and how."""

    state: Path | None = None  # its promises; None: for as long as the process lives
    data: Path | None = None  # log and snapshots; None: nowhere
    fsync: Fsync = Fsync.ALWAYS
    fsync_interval_ms: int = 1_000
    snapshot_interval_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """Who a node is, whom it asks, and with whom it founds.

    A node that belongs to a cluster goes by what it has kept. One that does not asks those at the
    addresses of `join` to let it in. With `founders`, which are ids, or `expect`, which says how
    many there will be at those addresses, this one among them, it founds a cluster, if all of them
    belong to nothing either. With none of these it is a cluster of its own.
    """

    member: Member  # its birth is drawn with its state directory
    join: tuple[str, ...] = ()
    founders: tuple[NodeId, ...] = ()
    expect: int = 0
    level: int = 1
    mesh: MeshSettings = field(default_factory=MeshSettings)
    keeping: Keeping = field(default_factory=Keeping)
    timing: Timing = field(default_factory=Timing)
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def is_alone(self) -> bool:
        """Whether it is told of nobody else."""
        return not (self.join or self.founders or self.expect)


def seated(member: Member, birth: str, addresses: tuple[str, ...]) -> Member:
    """A member with its birth, and with where its mesh can be reached."""
    details = {**dict(member.details), MESH: ADDRESS_SEPARATOR.join(addresses)}
    return replace(member, birth=birth, details=tuple(sorted(details.items())))


def mesh_addresses(member: Member) -> tuple[str, ...]:
    """Where a member can be reached by the others."""
    found = dict(member.details).get(MESH, "")
    return tuple(part for part in found.split(ADDRESS_SEPARATOR) if part)
