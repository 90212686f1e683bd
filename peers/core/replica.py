"""One node's replica of the log: the one door to all that is decided.

Pure: messages, ticks and operations go in with the time `now`, an `Output` comes out. It hands each
message to the part that decides about it, and sees that what must hold between the parts does.

The shell calls `tick` at the end of every turn of its loop in which it called anything else, and
at `next_tick` at the latest: what was gathered in the turn is put in order then, as one batch.

Invariant: whatever is sent relies only on promises that stand in this output or an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from peers.core.election import Election
from peers.core.entry import Dot
from peers.core.following import Following
from peers.core.forwarding import Admission, Forwarding
from peers.core.log import Log
from peers.core.membership import Membership, NodeId
from peers.core.messages import (
    Append,
    AppendAnswer,
    AskBarrier,
    BarrierAnswer,
    BarrierAsk,
    Envelope,
    Forward,
    ForwardAnswer,
    HandOver,
    Hello,
    Local,
    Message,
    NewerLog,
    PreVote,
    PreVoteAnswer,
    Probe,
    ProbeAnswer,
    Recover,
    RecoverAnswer,
    Stored,
    TakeLog,
    TransferLead,
    Vote,
    VoteAnswer,
)
from peers.core.outcomes import Ack, NodeStatus
from peers.core.output import Barrier, Output, Promise
from peers.core.recovery import Recovery
from peers.core.replication import Leading, PackBatch
from peers.core.state import Part, State
from peers.core.timing import Bounds, Timing
from peers.errors import RefusedError

Operation = tuple[bytes, int | None, Ack]
"""What a client wants done: its bytes, until when it may be, and when it is to be answered."""


class Replica:
    """A node's part in the cluster."""

    def __init__(
        self,
        node: NodeId,
        promise: Promise,
        log: Log,
        membership: Membership,
        pack: PackBatch,
        *,
        now: int,
        chance: Callable[[], float],
        commit: int = 0,
        resumed: int = 0,
        timing: Timing | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """`promise` is the one on the disk, with an incarnation that was never used before and is
        synced already; it is not `whole` where the log lacks something that was promised."""
        self.state = State(
            node,
            promise,
            log,
            membership,
            commit=commit,
            resumed=resumed,
            now=now,
            chance=chance,
            timing=timing or Timing(),
            bounds=bounds or Bounds(),
        )
        self._pack = pack
        self.election = Election(self.state)
        self.following = Following(self.state)
        self.forwarding = Forwarding(self.state)
        self.recovery = Recovery(self.state)
        self.leading: Leading | None = None
        self._admission: Admission | None = None
        self._barriers: dict[int, int] = {}  # asked of the leader: number -> when to give up
        self._hello_at = now
        self._leader_was: tuple[int, NodeId | None] = (0, None)
        self._forwarded: set[tuple[NodeId, int]] = set()  # who waits to hear how far it has got

    # -- the door

    def receive(self, envelope: Envelope, now: int) -> Output:
        """Advance on one message of another node."""
        state = self.state
        sender = state.membership.get(envelope.sender.id)
        known = sender is not None and sender.birth == envelope.sender.birth
        if not known or envelope.epoch != state.epoch or self._is_of_the_past(envelope):
            return state.take_output()  # a stranger's, another epoch's, or of a life that is over
        state.incarnations[envelope.sender.id] = envelope.incarnation
        state.heard[envelope.sender.id] = now
        self._take(envelope, envelope.message, now)
        return self._finish(now)

    def _is_of_the_past(self, envelope: Envelope) -> bool:
        """Whether its sender has begun another life since, or it was meant for one of ours that is
        over: it would answer what we have not asked in this one."""
        newest = self.state.incarnations.get(envelope.sender.id, 0)
        return envelope.incarnation < newest or 0 < envelope.life < self.state.incarnation

    def hear(self, local: Local, now: int) -> Output:
        """Advance on what this node's own shell knows."""
        match local:
            case Stored():
                self._on_stored(local, now)
            case AskBarrier():
                self._ask_barrier(local, now)
            case HandOver():
                self._hand_over(local, now)
            case _:
                assert_never(local)
        return self._finish(now)

    def propose(self, operations: Sequence[Operation], now: int) -> tuple[list[Dot], Output]:
        """Give operations their dots, and see to it that they are put in order.

        Raises `RefusedError` if that cannot be, before anything has a dot.
        """
        self._check_may_propose(now)
        proposals = [self.forwarding.take(*operation) for operation in operations]
        if self._admission is not None:
            self._admission.let_in(self.state.origin, proposals)
        return [proposal.dot for proposal in proposals], self._finish(now)

    def tick(self, now: int) -> Output:
        """Do what is due."""
        state = self.state
        self.election.tick(now)
        self._take_office_if_won(now)
        self._greet(now)
        self.recovery.tick(now)
        if state.clock.runs:
            self.forwarding.void_overdue(state.clock.read(now))
        if self.leading is not None:
            self.leading.tick(now)
            self._after_sealing()
            if self.leading.is_suspended(now):
                self.leading.give_up_questions(now)
        elif self.following.in_touch(now):
            self.forwarding.tick(now, state.leader)
        if self._barriers:
            self._give_up_barriers(now)
        return self._finish(now)

    # -- what it is

    def status(self, now: int) -> NodeStatus:
        """Whether this node serves, and if not, why."""
        state = self.state
        if not state.counts:
            return NodeStatus.RECOVERING
        if self.leading is not None:
            if self.leading.is_suspended(now):
                return NodeStatus.ISOLATED
            return NodeStatus.ACTIVE if self.leading.may_read else NodeStatus.STARTING
        if not self.following.caught_up:
            return NodeStatus.STARTING
        return NodeStatus.ACTIVE if self.following.has_lease(now) else NodeStatus.ISOLATED

    @property
    def leads(self) -> bool:
        """Whether this node leads, for all that it knows."""
        return self.leading is not None

    # -- messages

    def _take(self, envelope: Envelope, message: Message, now: int) -> None:
        sender, election = envelope.sender.id, self.election
        match message:
            case Append():
                self._on_append(sender, message, now)
            case AppendAnswer():
                if self._still_leads(message.term, now) and self.leading is not None:
                    self.leading.on_answer(sender, envelope.incarnation, message, now)
            case Forward():
                self._on_forward(envelope, message)
            case ForwardAnswer():
                if sender == self.state.leader and message.term == self.state.term:
                    self.forwarding.on_answer(message)
            case Hello():
                pass  # to be heard is all
            case PreVote():
                election.on_pre_vote(sender, message, now, self._in_touch(now))
            case PreVoteAnswer():
                election.on_pre_vote_answer(sender, message, now)
            case Vote():
                election.on_vote(sender, message, now)
            case VoteAnswer():
                self._still_leads(message.term, now)
                election.on_vote_answer(sender, message, now)
            case TakeLog():
                election.on_take_log(sender, message)
            case NewerLog():
                election.on_newer_log(message, now)
            case Probe():
                self.following.on_probe(sender, message)
            case ProbeAnswer():
                if self._still_leads(message.term, now) and self.leading is not None:
                    self.leading.on_probe_answer(sender, message, now)
            case TransferLead():
                election.on_transfer(message, now)
            case BarrierAsk():
                self._on_barrier_ask(sender, message, now)
            case BarrierAnswer():
                self._on_barrier_answer(message)
            case Recover():
                self._on_recover(sender, message, now)
            case RecoverAnswer():
                self.recovery.on_answer(message)
            case _:
                assert_never(message)
        self._take_office_if_won(now)

    def _on_append(self, sender: NodeId, append: Append, now: int) -> None:
        if append.term >= self.state.term:
            self.election.rest(now)
        self.following.on_append(sender, append, now)
        self.recovery.look()

    def _still_leads(self, term: int, now: int) -> bool:
        """Whether an answer of this term leaves us in office; a later one does not."""
        if term > self.state.term:
            self.state.enter_term(term)
            self.election.hurry(now)
        return self.state.part is Part.LEADER and term == self.state.term

    def _in_touch(self, now: int) -> bool:
        if self.leading is not None:
            return not self.leading.is_suspended(now)
        return self.following.in_touch(now)

    def _on_recover(self, sender: NodeId, question: Recover, now: int) -> None:
        if question.term > self.state.term:
            self.state.enter_term(question.term)  # a leader of an earlier term: stand again above
            self.election.hurry(now)
        if self.state.part is Part.LEADER:
            through = self.state.log.last.index
            answer = RecoverAnswer(question.number, self.state.term, through)
            self.state.draft.tell(sender, answer)

    # -- office

    def _take_office_if_won(self, now: int) -> None:
        state = self.state
        if not self.election.won:
            return
        self.election.won = False
        state.part = Part.LEADER
        state.leader = state.id
        state.clock.set(self._time_to_go_on_from(now), now)
        self.leading = Leading(state, self._pack, now)
        self._admission = Admission(state, self.leading.gather)
        self._admission.let_in(state.origin, self.forwarding.all_waiting())

    def _time_to_go_on_from(self, now: int) -> int:
        """The highest clock that runs, and if none does, the highest that was stored."""
        state, election = self.state, self.election
        running = [state.clock.read(now)] if state.clock.runs else []
        running += election.clocks
        resumed = [] if running else [state.resumed, *election.resumed]
        return max([state.log.last_at, state.clock.read(now), *running, *resumed])

    def _leave_office_if_over(self, now: int) -> None:
        if self.leading is not None and self.state.part is not Part.LEADER:
            self.leading.give_up_questions(now)
            self.leading = None
            self._admission = None

    # -- operations

    def _check_may_propose(self, now: int) -> None:
        status = self.status(now)
        if status is not NodeStatus.ACTIVE:
            raise RefusedError(str(status), f"this node is {status}")
        if self.forwarding.is_full or (self.leading is not None and self.leading.is_busy):
            raise RefusedError("overloaded", "too many writes wait to be committed")

    def _on_forward(self, envelope: Envelope, forward: Forward) -> None:
        if self._admission is None:
            return  # its sender hears who leads, and sends it there
        if self.leading is not None and not self.leading.is_busy:
            self._admission.let_in(envelope.sender, forward.operations)
        self._forwarded.add((envelope.sender.id, envelope.incarnation))

    def _after_sealing(self) -> None:
        """Tell origins how far their operations have got."""
        state, admission = self.state, self._admission
        assert admission is not None
        if self.leading is not None and not self.leading.has_gathered:
            admission.sealed()
        self.forwarding.appended_here(admission.through(state.origin, state.incarnation))
        for node, incarnation in sorted(self._forwarded):
            member = state.membership.get(node)
            if member is not None:
                through = admission.through(member.origin, incarnation)
                state.draft.tell(node, ForwardAnswer(state.term, through))
        self._forwarded.clear()

    # -- reading as of now

    def _ask_barrier(self, ask: AskBarrier, now: int) -> None:
        state = self.state
        if self.leading is not None:
            self.leading.ask(None, ask.number, now)
        elif state.leader is not None and self.following.in_touch(now):
            self._barriers[ask.number] = now + state.timing.election_timeout_ms
            state.draft.tell(state.leader, BarrierAsk(ask.number))
        else:
            state.draft.barriers.append(Barrier(ask.number, None, 0))

    def _on_barrier_ask(self, sender: NodeId, ask: BarrierAsk, now: int) -> None:
        if self.leading is not None:
            self.leading.ask(sender, ask.number, now)
        else:
            self.state.draft.tell(sender, BarrierAnswer(ask.number, None, 0))

    def _on_barrier_answer(self, answer: BarrierAnswer) -> None:
        if self._barriers.pop(answer.number, None) is not None:
            barrier = Barrier(answer.number, answer.index, answer.time)
            self.state.draft.barriers.append(barrier)

    def _give_up_barriers(self, now: int) -> None:
        for number in [n for n, until in self._barriers.items() if now >= until]:
            del self._barriers[number]
            self.state.draft.barriers.append(Barrier(number, None, 0))

    # -- the rest

    def _on_stored(self, stored: Stored, now: int) -> None:
        state = self.state
        if state.log.term_at(stored.index) != stored.term:
            return  # it was cut meanwhile
        state.stored = max(state.stored, stored.index)
        if self.leading is not None:
            self.leading.on_stored()
        else:
            self.following.on_stored(now)
        self.recovery.look()

    def _hand_over(self, request: HandOver, now: int) -> None:
        if self.leading is None:
            return
        to = request.to or self.leading.next_in_line(now)
        if to is not None:
            self.leading.hand_over(to, now)

    def _greet(self, now: int) -> None:
        state = self.state
        if now >= self._hello_at:
            self._hello_at = now + state.timing.election_timeout_ms // 4
            hello = Hello(state.reaches(now))
            state.draft.tell_all(state.membership.others(state.id), hello)

    def _finish(self, now: int) -> Output:
        state = self.state
        self._leave_office_if_over(now)
        if self._leader_was != (state.term, state.leader):
            self._leader_was = (state.term, state.leader)
            self.forwarding.begin_again()
        if state.draft.apply:
            self.forwarding.on_committed(state.draft.apply)
        everywhere = (
            self.following.everywhere if self.leading is None else self.leading.everywhere()
        )
        self.forwarding.on_everywhere(everywhere)
        return state.take_output()
