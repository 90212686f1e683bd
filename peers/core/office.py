"""What a node has while it leads, and how it comes to that and out of it again.

Pure. `replication.py` says what a leader does with the log, `changes.py` how it changes who
belongs, `forwarding.py` which operations it lets in. Here they come together for one term.
"""

from __future__ import annotations

from peers.core.changes import Changing
from peers.core.election import Election
from peers.core.entry import Origin
from peers.core.forwarding import Admission, Forwarding
from peers.core.membership import NodeId
from peers.core.messages import (
    BarrierAnswer,
    BarrierAsk,
    ForwardAnswer,
    HandOver,
    JoinAnswer,
    JoinAsk,
)
from peers.core.replication import Leading, PackBatch
from peers.core.state import Part, State


class Office:
    """The leader's part of a replica; empty while another leads."""

    def __init__(
        self, state: State, election: Election, forwarding: Forwarding, pack: PackBatch
    ) -> None:
        self.state = state
        self._election = election
        self._forwarding = forwarding
        self._pack = pack
        self.leading: Leading | None = None
        self.admission: Admission | None = None
        self.changing: Changing | None = None
        self.forwarded: set[tuple[NodeId, int]] = set()  # who waits to hear how far it has got
        self._answered = 0  # up to here of the log the origins have heard

    def take_if_won(self, now: int) -> None:
        """A majority has voted for us."""
        state = self.state
        if not self._election.won:
            return
        self._election.won = False
        state.part = Part.LEADER
        state.leader = state.id
        state.clock.set(self._time_to_go_on_from(now), now)
        self.leading = Leading(state, self._pack, now)
        self.changing = Changing(state, self.leading)
        self._answered = 0
        self.admission = Admission(state, self.leading.gather)
        self.admission.let_in(state.origin, self._forwarding.all_waiting())

    def _time_to_go_on_from(self, now: int) -> int:
        """The highest clock that runs and that most of the others would not find ahead of what can
        be; if none runs, the highest that was stored."""
        state, election = self.state, self._election
        own = [(state.clock.running(now), state.clock.error(now))] if state.clock.runs else []
        clocks = own + election.clocks
        if not clocks:
            return max(state.log.last_at, state.resumed, *election.resumed, 0)
        step = state.timing.max_clock_step_ms

        def is_believed(cluster: int) -> bool:
            believing = [1 for clock, error in clocks if clock + error + step >= cluster]
            return 2 * len(believing) > len(clocks)

        believed = max(cluster for cluster, _ in clocks if is_believed(cluster))
        return max(state.log.last_at, believed)

    def leave_if_over(self, now: int) -> None:
        """There is a later term, or we have stepped aside."""
        if self.leading is None or self.state.part is Part.LEADER:
            return
        self.leading.give_up_questions(now)
        if self.state.leader is None and not self.state.clock.runs:
            self._election.rest(now)  # our time was wrong: another's turn
        self.leading = self.admission = self.changing = None

    def resign_if_out(self, now: int) -> None:
        """Who is no voter any more, for good, leads no more."""
        if self.leading is None:
            return
        _, membership = self.state.log.membership_at(self.state.commit)
        if self.state.log.changed <= self.state.commit and not (
            membership.has(self.state.origin) and membership.is_voter(self.state.id)
        ):
            self.leading.resign(now)
            self._election.rest(now)

    def tick(self, now: int) -> None:
        """Seal, send, and tell origins how far their operations have got."""
        if self.leading is None:
            return
        self.leading.tick(now)
        self._answer_origins()

    @property
    def owes_origins(self) -> bool:
        """Whether somebody is to be told how far its operations have got."""
        return bool(self.forwarded) or self.state.log.last.index != self._answered

    def see_to(self, now: int) -> None:
        """What is due by the time alone."""
        if self.leading is None:
            return
        if self.changing is not None:
            self.changing.tick(now)
        self.leading.watch_transfer(now)
        if self.leading.is_suspended(now):
            self.leading.give_up_questions(now)
            self._forwarding.say_unknown()

    def _answer_origins(self) -> None:
        state, admission = self.state, self.admission
        assert admission is not None
        if self.leading is not None and self.leading.has_gathered:
            return  # they hear of it when it is in the log
        if not self.owes_origins:
            return
        self._answered = state.log.last.index
        admission.sealed()
        self._forwarding.appended_here(admission.through(state.origin, state.incarnation))
        for node, incarnation in sorted(self.forwarded):
            member = state.membership.get(node)
            if member is not None:
                through = admission.through(member.origin, incarnation)
                state.draft.tell(node, ForwardAnswer(state.term, through))
        self.forwarded.clear()

    # -- what is asked of whoever leads

    def on_barrier_ask(self, sender: NodeId, ask: BarrierAsk, now: int) -> None:
        """A member wants to read as of now."""
        if self.leading is not None:
            self.leading.ask(sender, ask.number, now)
        else:
            self.state.draft.tell(sender, BarrierAnswer(ask.number, None, 0))

    def on_join_ask(self, sender: Origin, ask: JoinAsk, now: int) -> None:
        """Somebody wants to belong; who does not lead says who does."""
        state = self.state
        if self.changing is not None:
            answer = self.changing.on_join(sender, ask, now)
        else:
            answer = JoinAnswer(state.epoch, state.leader, 0, "", state.membership)
        if not state.epoch.is_none:
            state.draft.tell_origin(sender, answer)

    def hand_over(self, request: HandOver, now: int) -> None:
        """Let the one who is named lead, or whoever comes next."""
        if self.leading is None:
            return
        if request.to is None:
            self.leading.hand_over_to_next(now)
        else:
            self.leading.hand_over(request.to, now)
