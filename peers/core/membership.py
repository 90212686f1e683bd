"""Who belongs to the cluster, and what a majority of it is.

Pure data, and the arithmetic of majorities. Changes go one at a time, as entries: `changes.py`
decides when.

Invariant: ids are unique, and members stand in their order.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from peers.core.origin import Origin

NodeId = str

MEMBERS_MAX: Final = 64


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
    joining: bool = False  # an observer for now, and a voter as soon as it has caught up

    @property
    def origin(self) -> Origin:
        """The name under which its operations go."""
        return Origin(self.id, self.birth)


@dataclass(frozen=True, slots=True)
class Membership:
    """The members, in the order of their ids, and the feature level that is in force."""

    members: tuple[Member, ...] = ()
    level: int = 1
    voters: tuple[NodeId, ...] = field(init=False, repr=False, compare=False)
    majority: int = field(init=False, repr=False, compare=False)  # of the voters
    _by_id: dict[NodeId, Member] = field(init=False, repr=False, compare=False)
    _votes: frozenset[NodeId] = field(init=False, repr=False, compare=False)
    _origins: frozenset[Origin] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = [member.id for member in self.members]
        assert ids == sorted(set(ids)), f"members are in order, each once: {ids}"
        # Looked at with every message, and never changed.
        voters = tuple(member.id for member in self.members if member.role is Role.VOTER)
        object.__setattr__(self, "voters", voters)
        object.__setattr__(self, "majority", len(voters) // 2 + 1)
        object.__setattr__(self, "_by_id", {member.id: member for member in self.members})
        object.__setattr__(self, "_votes", frozenset(voters))
        origins = frozenset(member.origin for member in self.members)
        object.__setattr__(self, "_origins", origins)

    def get(self, node: NodeId) -> Member | None:
        """The member of an id."""
        return self._by_id.get(node)

    def is_voter(self, node: NodeId) -> bool:
        """Whether a node votes and counts."""
        return node in self._votes

    def others(self, me: NodeId) -> tuple[NodeId, ...]:
        """Everybody else."""
        return tuple(member.id for member in self.members if member.id != me)

    def is_majority(self, nodes: Iterable[NodeId]) -> bool:
        """Whether these nodes hold a majority of the votes."""
        return len(self._votes.intersection(nodes)) >= self.majority

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

    def has(self, origin: Origin) -> bool:
        """Whether this very birth belongs, not only its id."""
        return origin in self._origins

    def without(self, node: NodeId) -> Membership:
        """The same with one less."""
        return Membership(tuple(m for m in self.members if m.id != node), self.level)

    def with_member(self, member: Member) -> Membership:
        """The same with one more, or with another in the place of that of the same id."""
        others = [each for each in self.members if each.id != member.id]
        members = sorted([*others, member], key=lambda each: each.id)
        return Membership(tuple(members), self.level)

    def origins(self) -> frozenset[Origin]:
        """The names under which the members' operations go."""
        return self._origins


NOBODY = Membership()
