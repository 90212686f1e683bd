"""One node's replica of the log: the one door to all that is decided.

Pure: messages, ticks and operations go in with the time `now`, an `Output` comes out. It hands each
message to the part that decides about it, and sees that what must hold between the parts does.

The shell calls `tick` at the end of every turn of its loop in which it has to (`due.py`), and every
few milliseconds: what was gathered in the turn is put in order then, as one batch.

Invariant: whatever is sent relies only on promises that stand in this output or an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from peers.core.changes import Changing
from peers.core.digests import Digests
from peers.core.election import Election
from peers.core.entry import Dot
from peers.core.epochs import Epochs
from peers.core.following import Following
from peers.core.forwarding import Forwarding
from peers.core.greeting import Greeting
from peers.core.joining import Joining
from peers.core.lives import Lives
from peers.core.log import Log
from peers.core.membership import Member, NodeId
from peers.core.messages import (
    BEFORE_BELONGING,
    FROM_MEMBERS,
    USUAL,
    Append,
    AppendAnswer,
    AskBarrier,
    BarrierAnswer,
    BarrierAsk,
    Blank,
    Checked,
    Envelope,
    EpochAccept,
    EpochAnswer,
    EpochAsk,
    EpochPropose,
    Forward,
    ForwardAnswer,
    HandOver,
    Hello,
    JoinAnswer,
    JoinAsk,
    Local,
    Lost,
    Message,
    NewerLog,
    Piece,
    PreVote,
    PreVoteAnswer,
    Probe,
    ProbeAnswer,
    Progress,
    Recover,
    RecoverAnswer,
    Removed,
    Restored,
    SnapshotAsk,
    SnapshotGone,
    SnapshotPiece,
    Stored,
    TakeLog,
    TransferLead,
    Vote,
    VoteAnswer,
)
from peers.core.office import Office
from peers.core.outcomes import Ack, NodeStatus
from peers.core.output import Life, Output, Promise
from peers.core.reading import Reading
from peers.core.recovery import Recovery
from peers.core.repair import Repair
from peers.core.replication import Leading, PackBatch
from peers.core.standing import alarms, status
from peers.core.state import Part, State
from peers.core.syncing import Giving, Taking
from peers.core.timing import Bounds, Timing
from peers.errors import RefusedError

Operation = tuple[bytes, int | None, Ack]
"""What a client wants done: its bytes, until when it may be, and when it is to be answered."""

SEE_TO_MS = 5  # so often, among many writes, it is looked what is due by the time alone


class Replica:
    """A node's part in the cluster."""

    def __init__(
        self,
        node: NodeId,
        promise: Promise,
        log: Log,
        pack: PackBatch,
        *,
        now: int,
        chance: Callable[[], float],
        commit: int = 0,
        resumed: int = 0,
        member: Member | None = None,
        contacts: Sequence[NodeId] = (),
        founders: Sequence[NodeId] = (),
        leads: bool = False,
        level: int = 1,
        volatile: bool = False,
        wall_ahead: int = 0,
        timing: Timing | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """`promise` is the one on the disk, with an incarnation that was never used before and is
        synced already; it is not `whole` where the log lacks something that was promised. The
        application's state is that at `commit`, which the log begins at, or has in it.

        A node that belongs to no cluster yet says what `member` it would be, and whom it can ask
        to let it in, or with which `founders` it would begin one. `leads`: the epoch has just been
        opened by all, for this node to lead it. `volatile`: nothing of the log is kept on a disk,
        so that what is appended counts at once, and no `Stored` is waited for. By `wall_ahead` the
        time of day is ahead of `now`: a new cluster's time begins there.
        """
        self.state = State(
            node,
            promise,
            log,
            commit=commit,
            resumed=resumed,
            now=now,
            chance=chance,
            timing=timing or Timing(),
            bounds=bounds or Bounds(),
            level=level,
            volatile=volatile,
            wall_ahead=wall_ahead,
        )
        self.lives = Lives(self.state)
        self.taking = Taking(self.state)
        self.giving = Giving(self.state)
        self.election = Election(self.state, self.taking)
        self.following = Following(self.state, self.taking)
        self.forwarding = Forwarding(self.state)
        self.recovery = Recovery(self.state)
        self.repair = Repair(
            *(self.state, self.taking, self.giving),
            *(self.following, self.forwarding, self.recovery),
        )
        self.reading = Reading(self.state)
        self.joining = Joining(self.state, member, contacts)
        self.greeting = Greeting(self.state)
        # Who is told of others whom it can ask begins nothing of its own beside them.
        begins = tuple(founders) if set(contacts) <= set(founders) else ()
        self.epochs = Epochs(self.state, member, begins)
        self.office = Office(self.state, self.election, self.forwarding, pack)
        self._led_at = now
        self._leader_was: tuple[int, NodeId | None] = (0, None)
        self.calm = False  # nothing has happened, since it was seen to, but reading and writing
        self._seen_to = -1  # at which moment
        self.election.won = leads

    # -- the door

    def receive(self, envelope: Envelope, now: int) -> Output:
        """Advance on one message of another node."""
        state, message, sender = self.state, envelope.message, envelope.sender
        before_belonging = False
        if not isinstance(message, USUAL):
            self.calm = False
            before_belonging = isinstance(message, BEFORE_BELONGING)
        of_another = envelope.epoch != state.epoch and not before_belonging
        if state.removed:
            return state.take_output()
        if envelope.birth == state.birth and envelope.life > state.incarnation:
            state.draft.copied = True
            return state.take_output()
        if self.lives.is_over(envelope):
            self.greeting.greet((sender.id,), now)  # a copy of what lived on hears it by that
            return state.take_output()
        if of_another:
            self.calm = False
            led = self._in_touch(now)
            # A leader that probes has no majority: nobody is led by it, but it may be ours.
            if isinstance(message, Append) or (isinstance(message, Probe) and not led):
                self.epochs.on_other(sender, envelope.epoch, message.term, now, led)
            else:
                self.epochs.on_word_from(envelope.epoch, now)
                if isinstance(message, FROM_MEMBERS) and envelope.epoch.random in state.ancestors:
                    self.greeting.tell_former(sender)
            return state.take_output()
        if isinstance(message, JoinAnswer | Removed) and envelope.birth != state.birth:
            return state.take_output()  # it was said to another one of our name
        is_member = state.membership.has(sender)
        self.lives.note(envelope)
        if not before_belonging and self.lives.is_for_another(envelope):
            self.greeting.greet((sender.id,), now)  # so that it knows of this life
            return state.take_output()
        if is_member:
            state.heard[sender.id] = now
        elif isinstance(message, FROM_MEMBERS):
            self.greeting.tell_stranger(sender)
        if (is_member or not isinstance(message, FROM_MEMBERS)) and not state.climbs(message):
            self._take(envelope, message, now)
        return self._finish(now)

    def hear(self, local: Local, now: int) -> Output:
        """Advance on what this node's own shell knows."""
        if not isinstance(local, Stored):
            self.calm = False
        match local:
            case Stored():
                self._on_stored(local, now)
            case AskBarrier():
                self._ask_barrier(local, now)
            case HandOver():
                self.office.hand_over(local, now)
            case Checked():
                self.repair.on_checked(local)
            case Piece():
                self.giving.on_piece(local)
            case Restored():
                self.repair.on_restored(local)
            case Lost():
                if self.following.on_lost(local.node, now):
                    self.election.hurry(now)
            case _:
                assert_never(local)
        return self._finish(now)

    def propose(self, operations: Sequence[Operation], now: int) -> tuple[list[Dot], Output]:
        """Give operations their dots, and see to it that they are put in order.

        Raises `RefusedError` if that cannot be, before anything has a dot.
        """
        standing = self.status(now)
        if standing is not NodeStatus.ACTIVE:
            raise RefusedError(str(standing), f"this node is {standing}")
        self.check_room()
        return [self.take(*operation) for operation in operations], self._finish(now)

    def check_room(self) -> None:
        """RefusedError where as much waits already as may. What was checked holds until the end of
        the turn, if nothing but `take` is called."""
        if self.forwarding.is_full or self._is_busy():
            raise RefusedError("overloaded", "too many writes wait to be committed")

    def take(self, operation: bytes, until: int | None, ack: Ack) -> Dot:
        """Give an operation its dot, where it was checked that this may be; the next `tick` puts it
        in order."""
        proposal = self.forwarding.take(operation, until, ack)
        if ack is Ack.ALL and self.leading is not None:
            self.leading.spare_nobody()
        if self.office.admission is not None:
            self.office.admission.let_in(self.state.origin, (proposal,))
        return proposal.dot

    def tick(self, now: int) -> Output:
        """Do what is due."""
        state = self.state
        if state.removed:
            self.calm = True  # for good
            return state.take_output()
        if not self.calm or now - self._seen_to >= SEE_TO_MS:
            self._see_to(now)
        self.office.tick(now)
        if self.leading is None and self.following.in_touch(now):
            self.forwarding.tick(now, state.leader)
        return self._finish(now)

    def _see_to(self, now: int) -> None:
        """All that is due by the time alone, or because of what seldom happens."""
        state = self.state
        self._seen_to, self.calm = now, True
        if self._in_touch(now):
            self._led_at = now
        self.joining.tick(now)
        self.epochs.tick(now, self._is_led(now))
        self.election.tick(now)
        self.office.take_if_won(now)
        self.greeting.tick(now)
        self.recovery.tick(now)
        if state.clock.runs:
            self.forwarding.void_overdue(state.clock.running(now))
        self.office.see_to(now)
        self.reading.tick(now)
        self.giving.tick(now)
        self.repair.tick(self.leading, now)
        self.taking.tick(now)

    def change(self, wish: Callable[[Changing], None], now: int) -> Output:
        """Change who belongs, as `wish` says to the one who can. RefusedError where that may not be
        here and now; whether it has come to be shows by `Output.membership`."""
        if self.office.changing is None or self.leading is None:
            raise RefusedError("not_leader", f"{self.state.leader or 'nobody'} leads")
        wish(self.office.changing)
        return self._finish(now)

    def revive(self, members: Sequence[NodeId], now: int) -> Output:
        """Go on with these members and what this node has, in an epoch of its own. A person wants
        it, who knows that those who are away do not come back with more than that. RefusedError
        where somebody leads."""
        if self._in_touch(now):
            raise RefusedError("bad_request", f"{self.state.leader} leads: nothing to be revived")
        self.epochs.revive(members, now)
        return self._finish(now)

    # -- what it is

    def alarms(self, now: int) -> tuple[str, ...]:
        """What a person has to look at."""
        return tuple(alarms(self.epochs, self.joining, self.leading, now))

    def status(self, now: int) -> NodeStatus:
        """Whether this node serves, and if not, why."""
        return status(self.state, self.taking, self.following, self.leading, now)

    @property
    def leading(self) -> Leading | None:
        """What this node does as the leader, while it is."""
        return self.office.leading

    @property
    def leads(self) -> bool:
        """Whether this node leads, for all that it knows."""
        return self.leading is not None

    @property
    def digests(self) -> Digests | None:
        """What the voters have noted of their states, as far as a leader knows."""
        return None if self.leading is None else self.leading.digests

    # -- messages

    def _take(self, envelope: Envelope, message: Message, now: int) -> None:
        sender, election = envelope.sender.id, self.election
        match message:
            case Append():
                self._on_append(sender, message, now)
            case AppendAnswer():
                if self._still_leads(message.term, now) and self.leading is not None:
                    self.leading.on_answer(sender, envelope.incarnation, message, now)
            case Progress():
                self.following.on_progress(sender, message)
                self.recovery.look()
            case Forward():
                self._on_forward(envelope, message)
            case ForwardAnswer():
                if sender == self.state.leader and message.term == self.state.term:
                    self.forwarding.on_answer(message)
            case Hello():
                self.state.levels[envelope.sender] = message.level
                self.epochs.on_hello(sender, message, now)
            case Blank():
                self.epochs.on_blank(sender, message, now)
            case EpochPropose():
                self.epochs.on_propose(sender, message, now, self._is_led(now))
            case EpochAccept():
                self.epochs.on_accept(sender, message)
            case EpochAsk():
                self.epochs.on_ask(sender)
            case EpochAnswer():
                led = self._in_touch(now)
                self.epochs.on_answer(envelope.sender, envelope.epoch, message, now, led)
            case JoinAsk():
                self.office.on_join_ask(envelope.sender, message, now)
            case JoinAnswer():
                self.joining.on_answer(sender, message, now)
            case Removed():
                # How long nobody has led.
                self.joining.on_removed(envelope.epoch, message, now - self._led_at)
            case PreVote():
                election.on_pre_vote(sender, message, now, self._in_touch(now))
            case PreVoteAnswer():
                election.on_pre_vote_answer(sender, message, now)
            case Vote():
                election.on_vote(envelope.sender, message, now)
            case VoteAnswer():
                self._still_leads(message.term, now)
                election.on_vote_answer(sender, message, now)
            case TakeLog():
                election.on_take_log(sender, message)
            case NewerLog():
                election.on_newer_log(sender, message, now)
            case Probe():
                self.following.on_probe(sender, message)
            case ProbeAnswer():
                if self._still_leads(message.term, now) and self.leading is not None:
                    self.leading.on_probe_answer(sender, message, now)
            case TransferLead():
                election.on_transfer(message, now)
            case BarrierAsk():
                self.office.on_barrier_ask(sender, message, now)
            case BarrierAnswer():
                self.reading.on_answer(message)
            case Recover():
                self._on_recover(sender, message, now)
            case RecoverAnswer():
                self.recovery.on_answer(message)
            case SnapshotAsk():
                life = Life(envelope.sender.birth, envelope.incarnation)
                self.giving.on_ask(sender, life, message, now)
            case SnapshotPiece():
                self.taking.on_piece(sender, message, now)
            case SnapshotGone():
                self.taking.on_gone(sender, message)
            case _:
                assert_never(message)
        self.office.take_if_won(now)

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

    def _is_led(self, now: int) -> bool:
        """Whether there is a leader, this node included, suspended or not."""
        return self.leading is not None or self.following.in_touch(now)

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

    # -- operations

    def _is_busy(self) -> bool:
        """Whether this node leads, and has as much to keep as may be."""
        return self.leading is not None and (self.leading.is_busy or self.giving.is_much)

    def _on_forward(self, envelope: Envelope, forward: Forward) -> None:
        if self.office.admission is None:
            return  # its sender hears who leads, and sends it there
        if not self._is_busy():
            self.office.admission.let_in(envelope.sender, forward.operations)
        self.office.forwarded.add((envelope.sender.id, envelope.incarnation))

    # -- the rest

    def _ask_barrier(self, ask: AskBarrier, now: int) -> None:
        if self.leading is not None:
            self.leading.ask(None, ask.number, now)
        elif self.following.in_touch(now):
            self.reading.ask(ask, now)
        else:
            self.reading.refuse(ask)

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

    def _finish(self, now: int) -> Output:
        state = self.state
        draft = state.draft
        if draft.membership is not None:
            self.calm = False
            self.joining.look()
            self.office.resign_if_out(now)
        self.office.leave_if_over(now)
        if self._leader_was != (state.term, state.leader):
            self.calm = False
            self._leader_was = (state.term, state.leader)
            self.forwarding.begin_again()
        if draft.apply:
            self.forwarding.on_committed(draft.apply)
        state.let_go(self.giving.pinned)
        side = self.following if self.leading is None else self.leading
        self.forwarding.on_everywhere(side.everywhere)
        if state.removed:
            self.forwarding.give_up()
            self.reading.give_up()
        return state.take_output()
