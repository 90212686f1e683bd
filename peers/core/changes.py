"""How the leader changes who belongs: one change at a time, each an entry.

Pure. A change is let in once an entry of the leader's own term is committed and the change before
it is: two that overlap, or one that an earlier leader has left behind, could make two majorities
that share nobody. It is in force on a node as soon as it stands in its log.

Whoever joins is an observer first. It becomes a voter once it has caught up in a short time: a
voter that lacks much would hold up everybody's writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from peers.core.entry import Origin
from peers.core.membership import MEMBERS_MAX, Member, Membership, NodeId, Role
from peers.core.messages import JoinAnswer, JoinAsk, Removed
from peers.core.replication import Leading
from peers.core.state import State
from peers.errors import RefusedError, WireError


@dataclass(slots=True)
class Round:
    """One try of a newcomer to come to where the log ended when the try began."""

    through: int
    began: int


class Changing:
    """The changes of one leader."""

    def __init__(self, state: State, leading: Leading) -> None:
        self.state = state
        self._leading = leading
        self._rounds: dict[NodeId, Round] = {}
        self._raisable: tuple[int, int] | None = None  # to which level, and since when

    def refusal(self) -> str | None:
        """Why no change may be entered now, if so."""
        state, leading = self.state, self._leading
        if not leading.may_read:
            return "the leader has only just been elected"
        if state.log.changed > state.commit:
            return "another change of the members is under way"
        if leading.transfer_to is not None:
            return "the lead is being handed over"
        return None

    def enter(self, membership: Membership, now: int) -> None:
        """Change who belongs. RefusedError where that may not be now, or would leave a cluster
        that cannot go on."""
        if (refusal := self.refusal()) is not None:
            raise RefusedError("busy", f"{refusal}; try again")
        if not membership.voters:
            raise RefusedError("bad_request", "a cluster has at least one voter")
        if not membership.is_majority(self._leading.heard(now)):
            raise RefusedError("busy", "too few of those who would be left can be reached")
        try:
            self._leading.enter_membership(membership, now)
        except WireError as exc:
            raise RefusedError("bad_request", f"others could not read that member: {exc}") from exc

    # -- what an operator wants

    def remove(self, node: NodeId, now: int) -> None:
        """Take a member out."""
        if self.state.membership.get(node) is None:
            raise RefusedError("bad_request", f"there is no member {node!r}")
        self.enter(self.state.membership.without(node), now)

    def alter(self, member: Member, now: int) -> None:
        """Give a member another priority, role, region or other details; its birth stays."""
        there = self.state.membership.get(member.id)
        if there is None:
            raise RefusedError("bad_request", f"there is no member {member.id!r}")
        changed = replace(member, birth=there.birth)
        if there.role is not Role.VOTER and member.role is Role.VOTER:
            changed = replace(changed, role=there.role, joining=True)
        self.enter(self.state.membership.with_member(changed), now)

    def raise_level(self, level: int, now: int) -> None:
        """Put a feature level in force that every member can apply. It is never taken back."""
        state = self.state
        lacking = [node for node, can in self._levels().items() if can < level]
        if level > state.level or lacking:
            who = ", ".join(lacking) or state.id
            raise RefusedError("bad_request", f"{who} cannot apply level {level}, as far as known")
        if level > state.membership.level:
            self.enter(replace(state.membership, level=level), now)

    def _levels(self) -> dict[NodeId, int]:
        """What each of the others can apply, as this very birth of it said."""
        state = self.state
        others = [member for member in state.membership.members if member.id != state.id]
        return {member.id: state.levels.get(member.origin, 0) for member in others}

    def _finalize(self, now: int) -> None:
        """Put a level in force that everybody has been able to apply for long enough."""
        state = self.state
        after = state.timing.finalize_after_ms
        if after is None:
            return
        level = min([state.level, *self._levels().values()])
        if level <= state.membership.level:
            self._raisable = None
        elif self._raisable is None or self._raisable[0] != level:
            self._raisable = (level, now)
        elif now - self._raisable[1] >= after:
            try:
                self.raise_level(level, now)
            except RefusedError:
                return  # not now: with the next tick, or a later one

    # -- who joins

    def on_join(self, sender: Origin, ask: JoinAsk, now: int) -> JoinAnswer:
        """Somebody wants to be a member. It asks until it is told that it is."""
        state = self.state
        membership, member = state.membership, ask.member
        there = membership.get(member.id)
        index, refused = 0, ""
        if there is not None and there.birth == sender.birth:
            since, committed = state.log.membership_at(state.commit)
            index = since if committed.has(sender) else 0  # else it may yet be cut
        elif (was_in := self._was_in(sender)) is not None:
            # Its question is late, or the answer was lost and it never knew: it learns that it was
            # in, and when it asks again that it is out.
            index = was_in if was_in <= state.commit else 0
            since, committed = state.log.membership_at(state.commit)
            if index and not committed.has(sender):
                state.draft.tell_origin(sender, Removed(since, state.ancestors))
        elif there is None and len(membership.members) >= MEMBERS_MAX:
            refused = f"there are {MEMBERS_MAX} members, which is the most"
        elif ask.level < membership.level:
            refused = f"feature level {membership.level} is in force, above what you can apply"
        elif there is not None and self._is_heard(there, now):
            refused = "a member of that name is there, and it answers"
        else:
            self._let_in(member, there, now)
        return JoinAnswer(state.epoch, state.id, index, refused, membership)

    def _was_in(self, sender: Origin) -> int | None:
        """The newest list that has who was taken out since, as far as the log goes back."""
        return self.state.log.newest_with(sender)

    def _is_heard(self, there: Member, now: int) -> bool:
        return there.id == self.state.id or there.id in self._leading.heard(now)

    def _let_in(self, member: Member, there: Member | None, now: int) -> None:
        """One who lost its state directory has another birth: the old one goes, and when that is
        committed the new one comes. Never both in one: they would count as one vote."""
        membership = self.state.membership
        if there is not None:
            wanted = membership.without(there.id)
        else:
            joining = member.role is Role.VOTER
            wanted = membership.with_member(replace(member, role=Role.OBSERVER, joining=joining))
        try:
            self.enter(wanted, now)
        except RefusedError:
            return  # not now: it asks again

    def tick(self, now: int) -> None:
        """Make voters of those who have caught up, and raise the feature level when it is time."""
        state = self.state
        self._finalize(now)
        joining = [member for member in state.membership.members if member.joining]
        for member in joining:
            if self._has_caught_up(member, now) and self.refusal() is None:
                voter = replace(member, role=Role.VOTER, joining=False)
                self._leading.enter_membership(state.membership.with_member(voter), now)
                return
        for node in set(self._rounds) - {member.id for member in joining}:
            del self._rounds[node]

    def _has_caught_up(self, member: Member, now: int) -> bool:
        """Whether its last round was short."""
        follower = self._leading.followers.get(member.id)
        if follower is None or not follower.able or not self._is_heard(member, now):
            self._rounds.pop(member.id, None)
            return False
        current = self._rounds.get(member.id)
        if current is not None and follower.match < current.through:
            return False
        self._rounds[member.id] = Round(self.state.log.last.index, now)
        timeout = self.state.timing.election_timeout_ms
        return current is not None and now - current.began <= timeout
