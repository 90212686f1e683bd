"""How an epoch begins: the first one of a fresh cluster, and a child of one that cannot go on.

Pure. Nodes that belong to nothing yet, and are told of each other, open the first epoch once all of
them have said that they are blank: else one that was started a moment late would found a cluster of
its own beside the one that is there.

A person can have an epoch opened, by a node that has survived the others: with the members that the
person names, from this node's log, without asking anybody. If the others were only away there are
two living epochs then, which no rule can make one: they are reported, and the person chooses.

A cluster whose logs are lost on so many voters that no majority can vote any more (a power cut
everywhere, where nothing was synced) cannot go on in its epoch: whatever a majority once had may be
gone. When all its voters are present, and it has been so for a while, the one with the newest log
proposes a child epoch, led by itself, which goes on from that log. It opens when all of them have
accepted, so there is one such child at the most of any number. Who has accepted takes no more part
in the old epoch: what that might still commit would be missing in the new one.

To enter an epoch is a restart: everything that was in flight is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from peers.core.entry import NO_EPOCH, Epoch, Origin, Position
from peers.core.membership import Member, Membership, NodeId, Role
from peers.core.messages import (
    Blank,
    EpochAccept,
    EpochAnswer,
    EpochAsk,
    EpochPropose,
    Hello,
)
from peers.core.output import Committed, Entrance
from peers.core.state import State
from peers.errors import RefusedError

ANCESTORS_MAX: Final = 64  # a node that was away for more epochs than that has to join anew
FORK_MS: Final = 5_000  # for so long another epoch is taken to live, after its leader was heard
FORKS_MAX: Final = 16  # of them that are told apart; more are not spoken of


def have_common_descent(
    one: Epoch, ancestors: Sequence[str], other: Epoch, others: Sequence[str]
) -> bool:
    """Whether nodes of two epochs have anything to say to each other. Who belongs to nothing has
    with everybody."""
    if one.is_none or other.is_none:
        return True
    return not {*ancestors, one.random}.isdisjoint({*others, other.random})


@dataclass(frozen=True, slots=True)
class Word:
    """What another said of itself last, and when that came."""

    said: Blank | Hello
    came: int


@dataclass(slots=True)
class Opening:
    """An epoch that this node has proposed."""

    epoch: Epoch
    membership: Membership
    accepted: set[NodeId] = field(default_factory=set)
    time: int = 0  # the highest that those who have accepted know of
    again_at: int = 0


class Epochs:
    """One node's part in opening epochs."""

    def __init__(self, state: State, member: Member | None, founders: tuple[NodeId, ...]) -> None:
        self.state = state
        self._member = member
        self._founders = founders  # those who open the first epoch together, this one among them
        self._words: dict[NodeId, Word] = {}
        self._opening: Opening | None = None
        self._membership: Membership | None = None  # of the epoch that was accepted
        self._say_at = 0
        self._stuck_since: int | None = None
        self._others: dict[Epoch, int] = {}  # that live beside ours, and when that was heard

    def found_with(self, founders: Sequence[NodeId]) -> None:
        """Those who open the first epoch together have become known."""
        self._founders = tuple(founders)

    def come_as(self, member: Member) -> None:
        """What it would be has changed; of use until there is an epoch."""
        if self._member is not None:
            self._member = member

    # -- what is heard

    def on_blank(self, sender: NodeId, blank: Blank, now: int) -> None:
        """A founder is blank."""
        if sender in self._founders and self.state.epoch.is_none:
            self._words[sender] = Word(blank, now)

    def on_hello(self, sender: NodeId, hello: Hello, now: int) -> None:
        """A member says how it is."""
        self._words[sender] = Word(hello, now)

    def _fresh(self, now: int) -> dict[NodeId, Blank | Hello]:
        """What was said within an election timeout."""
        since = now - self.state.timing.election_timeout_ms
        return {node: word.said for node, word in self._words.items() if word.came > since}

    # -- when to propose

    def tick(self, now: int, in_touch: bool) -> None:
        """`in_touch`: somebody leads, or this node does, suspended or not."""
        state = self.state
        if self._opening is not None:
            if in_touch:
                self._opening = None
            elif now >= self._opening.again_at:
                self._propose(self._opening, now)
        elif state.epoch.is_none:
            self._found(now)
        else:
            self._look_whether_stuck(now, in_touch)

    def _found(self, now: int) -> None:
        state = self.state
        if self._member is None or state.id not in self._founders:
            return
        if now >= self._say_at:
            self._say_at = now + state.timing.election_timeout_ms // 4
            others = [node for node in self._founders if node != state.id]
            state.draft.tell_all(others, Blank(self._member))
        fresh = self._fresh(now)
        members = {self._member.id: self._member}
        members |= {node: said.member for node, said in fresh.items() if isinstance(said, Blank)}
        if set(members) == set(self._founders) and self._is_first(tuple(members.values())):
            ordered = tuple(members[node] for node in sorted(members))
            self._open(Membership(ordered), now)

    def _is_first(self, members: tuple[Member, ...]) -> bool:
        first = min(members, key=lambda member: (-member.priority, member.id))
        return first.id == self.state.id

    def _look_whether_stuck(self, now: int, in_touch: bool) -> None:
        """Whether it has been so for a while that no majority of the voters can vote, and all who
        have to be there are."""
        state = self.state
        said = None if in_touch else self._said_where_stuck(now)
        if said is None or not self._are_enough(said):
            self._stuck_since = None
            return
        if self._stuck_since is None:
            self._stuck_since = now
        waited = now - self._stuck_since >= state.timing.cold_start_wait_ms
        if waited and self._has_the_newest(said):
            there, membership = {state.id, *said}, self._members()
            for node in [node for node in membership.voters if node not in there]:
                membership = membership.without(node)
            self._open(self._with_our_vote(membership), now)

    def _with_our_vote(self, membership: Membership) -> Membership:
        """An observer has the newest log where all voters have lost theirs: it has to lead, and is
        a voter from then on, also where it was only to become one."""
        mine = membership.get(self.state.id)
        assert mine is not None, "who is stuck belongs"
        return membership.with_member(replace(mine, role=Role.VOTER, joining=False))

    def _members(self) -> Membership:
        """Who belongs, by our newest list; and this node, where that takes it out and may never
        have been committed: its log may be the newest that is left, and nobody else's is to do."""
        state = self.state
        newest = state.membership
        _, committed = state.log.membership_at(state.commit)
        mine = committed.get(state.id)
        if newest.has(state.origin) or mine is None or mine.birth != state.birth:
            return newest
        return newest.with_member(mine)

    def _said_where_stuck(self, now: int) -> dict[NodeId, Hello] | None:
        """What the other voters have said of late, where this node belongs, nobody leads, and those
        who hold what they promised are too few."""
        state, membership = self.state, self._members()
        if state.removed or membership.get(state.id) is None:
            return None
        votes = membership.is_voter(state.id)
        fresh = self._fresh(now).items()
        said = {n: s for n, s in fresh if isinstance(s, Hello) and membership.is_voter(n)}
        whole = sum(hello.counts for hello in said.values()) + (votes and state.counts)
        lost = len(said) + votes - whole
        led = any(hello.leads for hello in said.values())
        return said if lost and not led and whole < membership.majority else None

    def _are_enough(self, said: dict[NodeId, Hello]) -> bool:
        """Whether all voters are present, or, where that is allowed, a majority of them."""
        membership = self._members()
        there = len(said) + membership.is_voter(self.state.id)
        if self.state.timing.cold_start_majority:
            return there >= membership.majority
        return there == len(membership.voters)

    def waits_for(self, now: int) -> tuple[NodeId, ...]:
        """The voters without whom the cluster cannot go on, since too many have lost their logs."""
        said = self._said_where_stuck(now)
        if said is None or self._are_enough(said):
            return ()
        others = self._members().voters
        return tuple(node for node in others if node not in said and node != self.state.id)

    def _has_the_newest(self, said: dict[NodeId, Hello]) -> bool:
        state, membership = self.state, self._members()

        def order(node: NodeId, last: Position) -> tuple[Position, bool, int, tuple[int, ...]]:
            member = membership.get(node)
            assert member is not None
            votes = member.role is Role.VOTER
            return last, votes, member.priority, tuple(-ord(char) for char in node)

        mine = order(state.id, state.log.last)
        return all(order(node, hello.last) < mine for node, hello in said.items())

    def _open(self, membership: Membership, now: int) -> None:
        self._opening = Opening(self._child(), membership)
        self._propose(self._opening, now)

    def _child(self) -> Epoch:
        """A name for the next epoch."""
        state = self.state
        number = max(state.epoch.number, (state.accepted or NO_EPOCH).number) + 1
        random = f"{int(state.chance() * (1 << 32)):08x}"
        return Epoch(number, random, self._parent_of_child())

    def _parent_of_child(self) -> str | None:
        """What a child of our epoch names as its parent; the first epoch has none."""
        epoch = self.state.epoch
        return None if epoch.is_none else epoch.random

    # -- agreeing

    def _propose(self, opening: Opening, now: int) -> None:
        state = self.state
        opening.again_at = now + state.timing.election_timeout_ms
        self._accept(opening.epoch, opening.membership)
        self._count(opening, state.id, self.time(now))
        others = [node for node in opening.membership.voters if node != state.id]
        proposal = EpochPropose(opening.epoch, opening.membership, state.log.last)
        state.draft.tell_all(others, proposal)

    def _accept(self, epoch: Epoch, membership: Membership) -> None:
        self._membership = membership
        if self.state.accepted != epoch:
            self.state.accepted = epoch
            self.state.promise()

    def time(self, now: int) -> int:
        """The cluster time, as far as it is known here: it goes on in the new epoch. That of a new
        cluster begins at the time of day, so that people can read it; never again is it asked."""
        state = self.state
        if state.epoch.is_none:
            return max(state.resumed, now + state.wall_ahead)
        running = state.clock.running(now) if state.clock.runs else state.resumed
        return max(running, state.log.last_at)

    def on_propose(self, sender: NodeId, proposal: EpochPropose, now: int, in_touch: bool) -> None:
        """Accept it for good, unless we have a leader, a newer log, or have accepted another."""
        state, epoch = self.state, proposal.epoch
        child = epoch.parent == self._parent_of_child() and epoch.number > state.epoch.number
        before = state.accepted
        newer = before is None or before == epoch or epoch.number > before.number
        origin = state.origin
        granted = (
            not in_touch
            and child
            and newer
            and proposal.membership.has(origin)
            and proposal.last >= state.log.last
        )
        if granted:
            self._opening = None
            self._accept(epoch, proposal.membership)
        state.draft.tell(sender, EpochAccept(epoch, granted, self.time(now)))

    def on_accept(self, sender: NodeId, accept: EpochAccept) -> None:
        """When all have accepted, the epoch is open, and this node leads it."""
        opening = self._opening
        if opening is None or accept.epoch != opening.epoch:
            return
        if not accept.granted:
            self._opening = None  # not this one; perhaps a later one
            self._stuck_since = None
            return
        self._count(opening, sender, accept.time)

    def _count(self, opening: Opening, node: NodeId, time: int) -> None:
        opening.accepted.add(node)
        opening.time = max(opening.time, time)
        if opening.accepted >= set(opening.membership.voters):
            self._lead_in(opening.epoch, opening.membership, opening.time)

    # -- by a person's word

    def revive(self, members: Sequence[NodeId], now: int) -> None:
        """Open an epoch of these members, from what this node has, whoever is away. RefusedError
        where that is not what it takes."""
        state = self.state
        present = state.membership
        if state.epoch.is_none or state.removed:
            raise RefusedError("bad_request", f"{state.id} belongs to no cluster that could go on")
        if unknown := [node for node in members if present.get(node) is None]:
            raise RefusedError("bad_request", f"there is no member {unknown[0]!r}")
        kept = tuple(member for member in present.members if member.id in members)
        membership = Membership(kept, present.level)
        if not membership.has(state.origin) or not membership.is_voter(state.id):
            raise RefusedError("bad_request", f"{state.id} has to be a voter among those who go on")
        self._lead_in(self._child(), membership, self.time(now))

    # -- entering

    def on_other(self, leader: Origin, epoch: Epoch, term: int, now: int, in_touch: bool) -> None:
        """Somebody leads in another epoch, and we are a member there: it is ours, if we have
        accepted it; else it may be, if ours is an ancestor of it."""
        state = self.state
        if epoch == state.accepted:
            self._enter_accepted(epoch, term, leader, now)
        elif in_touch:
            self._note_other(epoch, now)
            self.on_ask(leader.id)  # so that they know of us
        elif not state.epoch.is_none and epoch.number > state.epoch.number:
            state.draft.tell(leader.id, EpochAsk(state.epoch))

    def on_word_from(self, epoch: Epoch, now: int) -> None:
        """Somebody is in another epoch. If that is the one that we have accepted, it is open, and
        perhaps nobody leads in it who could say so; it may need us to begin another one."""
        if epoch == self.state.accepted:
            self._enter_accepted(epoch, 0, None, now)

    def _enter_accepted(self, epoch: Epoch, term: int, leader: Origin | None, now: int) -> None:
        membership = self._membership or self.state.membership
        ancestors, time = self._behind_ours(), self.time(now)
        self._enter(epoch, membership, term, leader, ancestors, time=time)

    def on_ask(self, sender: NodeId) -> None:
        """Somebody whom we send entries is in another epoch."""
        if self.state.leader == self.state.id:
            answer = EpochAnswer(self.state.ancestors, self.state.term)
            self.state.draft.tell(sender, answer)

    def on_answer(
        self, leader: Origin, epoch: Epoch, answer: EpochAnswer, now: int, in_touch: bool
    ) -> None:
        """Drop our state for an epoch that came from ours, and for no other."""
        state = self.state
        ours = state.epoch.random
        if epoch == state.epoch:
            return
        if in_touch:
            self._note_other(epoch, now)
        elif ours in answer.ancestors:
            term, ancestors = answer.term, answer.ancestors
            time = state.log.last_at
            self._enter(epoch, state.membership, term, leader, ancestors, time=time)

    def _note_other(self, epoch: Epoch, now: int) -> None:
        if len(self._others) >= FORKS_MAX and epoch not in self._others:
            self._others = {other: self._others[other] for other in self.forks(now)}
            if len(self._others) >= FORKS_MAX:
                return
        self._others[epoch] = now

    def forks(self, now: int) -> tuple[Epoch, ...]:
        """Other epochs in which somebody leads while somebody leads in ours: a person has to say
        which of them is to go on."""
        since = now - FORK_MS
        return tuple(sorted(epoch for epoch, heard in self._others.items() if heard > since))

    def _lead_in(self, epoch: Epoch, membership: Membership, time: int) -> None:
        """Enter an epoch that goes on from our log."""
        state = self.state
        term, ancestors = state.log.last.term + 1, self._behind_ours()
        self._enter(epoch, membership, term, state.origin, ancestors, time=time)

    def _behind_ours(self) -> tuple[str, ...]:
        """The ancestors of a child of our epoch."""
        state = self.state
        if state.epoch.is_none:
            return ()
        return (*state.ancestors, state.epoch.random)[-ANCESTORS_MAX:]

    def _enter(
        self,
        epoch: Epoch,
        membership: Membership,
        term: int,
        leader: Origin | None,
        ancestors: tuple[str, ...],
        *,
        time: int,
    ) -> None:
        # As if we had voted for whoever leads: in its term nobody else is to have our vote. Who
        # does not know who leads has to recover before it votes.
        state = self.state
        if state.is_far(term):
            term, leader = 0, None  # nobody's word for it is enough: it is come to in steps
        leads, first = leader == state.origin, state.epoch.is_none
        end, there = state.log.last.index, state.membership
        named = Committed(end, membership) if leads and end and membership != there else None
        promise = replace(
            state.promised(),
            epoch=epoch,
            term=term,
            vote=leader,
            # Who has dropped its state for another's has promised to hold that.
            whole=leads or (first and leader is not None),
            accepted=None,
            ancestors=ancestors,
            named=named,
        )
        state.draft.enter = Entrance(promise, membership, leads, time)
