"""Who belongs to the cluster, and what a majority of it is.

Pure data, and the arithmetic of majorities. Changes go one at a time, as entries: `changes.py`
decides when.

Invariant: ids are unique, and members stand in their order.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from peers.core.entry import Origin

NodeId = str


class Role(enum.StrEnum):
    """What a member does."""

    VOTER = "voter"  # votes, counts, may lead
    OBSERVER = "observer"  # a full copy that never votes


@dataclass(frozen=True, slots=True)
class Member:
    """A seat in the cluster."""

    id: NodeId
    birth: str
    priority: int = 100
    role: Role = Role.VOTER
    region: str = ""
    details: tuple[tuple[str, str], ...] = ()  # addresses and labels: nothing of it is read here

    @property
    def origin(self) -> Origin:
        """The name under which its operations go."""
        return Origin(self.id, self.birth)


@dataclass(frozen=True, slots=True)
class Membership:
    """The members, in the order of their ids."""

    members: tuple[Member, ...] = ()

    def __post_init__(self) -> None:
        ids = [member.id for member in self.members]
        assert ids == sorted(set(ids)), f"members are in order, each once: {ids}"

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """Who votes and counts."""
        return tuple(member.id for member in self.members if member.role is Role.VOTER)

    @property
    def majority(self) -> int:
        """How many voters are a majority of them."""
        return len(self.voters) // 2 + 1

    def get(self, node: NodeId) -> Member | None:
        """The member of an id."""
        return next((member for member in self.members if member.id == node), None)

    def is_voter(self, node: NodeId) -> bool:
        """Whether a node votes and counts."""
        member = self.get(node)
        return member is not None and member.role is Role.VOTER

    def others(self, me: NodeId) -> tuple[NodeId, ...]:
        """Everybody else."""
        return tuple(member.id for member in self.members if member.id != me)

    def is_majority(self, nodes: Iterable[NodeId]) -> bool:
        """Whether these nodes hold a majority of the votes."""
        return len(set(nodes) & set(self.voters)) >= self.majority

    def rank(self, node: NodeId, silent: Iterable[NodeId]) -> int:
        """How many voters that are not silent come before `node`: the higher priority first, and
        of equal ones the lower id."""
        mine = self.get(node)
        assert mine is not None
        gone = set(silent)
        return sum(
            1
            for other in self.members
            if other.role is Role.VOTER
            and other.id not in gone
            and (-other.priority, other.id) < (-mine.priority, mine.id)
        )
