"""What becomes of the operations of this node's own clients: exactly once, whoever leads.

Pure. An operation gets a dot and is never given up from then on: only the log decides. It is sent
to whoever leads, and again after every change of leader and whenever nothing is heard of it, until
it is seen committed. One whose time is over becomes a void under the same dot; whichever of the two
is appended first stands. The leader lets the operations of an origin in one after another, each
once, by the vector of its whole log.

Invariant: what waits is a run of sequences without a gap, and ends with the last that was given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from peers.core.entry import Dot, Entry, Origin, Places, Proposal
from peers.core.membership import NodeId
from peers.core.messages import Forward, ForwardAnswer
from peers.core.outcomes import Ack, Settled
from peers.core.state import State
from peers.core.timing import GATHER_MS

_new = tuple.__new__  # a third of the time that a named tuple takes, for each operation


class Waiting:
    """An operation of our own that was not seen committed yet."""

    __slots__ = ("ack", "proposal", "told")

    def __init__(self, proposal: Proposal, ack: Ack, told: bool = False) -> None:
        self.proposal, self.ack = proposal, ack
        self.told = told  # its client has the answer that it asked for, or another


class Forwarding:
    """This node as an origin."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.sequence = 0
        self.bytes = 0
        self._waiting: deque[Waiting] = deque()
        self._sent = 0  # to the present leader, up to this sequence
        self._appended = 0  # it has said so
        self._again_at = self._sent_at = 0
        self._early = 0  # so many that wait want to hear of it when they are appended
        self._in_doubt = 0  # up to this sequence all clients have been told something
        self._soonest: int | None = None  # nothing that waits is overdue before
        self._for_all: deque[tuple[int, Dot]] = deque()  # (index, dot): applied, not everywhere yet

    @property
    def is_full(self) -> bool:
        """Whether no more may wait."""
        bounds = self.state.bounds
        return len(self._waiting) >= bounds.pending or self.bytes >= bounds.pending_bytes

    @property
    def waiting(self) -> int:
        """How many of this node's operations were not seen committed yet."""
        return len(self._waiting)

    def take(self, operation: bytes, until: int | None, ack: Ack) -> Proposal:
        """Give an operation its dot. It cannot be refused any more."""
        self.sequence += 1
        dot = _new(Dot, (self.state.origin, self.state.incarnation, self.sequence))
        proposal = _new(Proposal, (dot, operation, until))
        self._waiting.append(Waiting(proposal, ack))
        if ack is Ack.LEADER:
            self._early += 1
        if until is not None and (self._soonest is None or until < self._soonest):
            self._soonest = until
        self.bytes += len(operation)
        return proposal

    # -- to the leader

    def begin_again(self) -> None:
        """Another leader, or a broken link: what waits is sent anew."""
        self._sent = self._appended = self._first() - 1

    def _first(self) -> int:
        return self.sequence - len(self._waiting) + 1

    def tick(self, now: int, leader: NodeId | None) -> None:
        """Send what was not sent yet, and again what was sent in vain."""
        if leader is None or leader == self.state.id:
            return
        if self._waiting and now >= self._again_at:
            if self._appended < self._sent:
                self._sent = self._appended
            self._again_at = now + self.state.timing.election_timeout_ms // 2
        if self._appended < self._sent and now - self._sent_at < GATHER_MS:
            return  # few large messages where there is much; a lone operation waits for nobody
        while self._sent < self.sequence:
            part = self._next_part()
            self.state.draft.tell(leader, Forward(part))
            self._sent = part[-1].dot.sequence
            self._again_at = now + self.state.timing.election_timeout_ms // 2
            self._sent_at = now

    @property
    def gathers(self) -> bool:
        """Whether something waits to be sent, and there is a leader to send it to."""
        led = self.state.leader is not None
        return led and bool(self._waiting) and self._sent < self.sequence

    def _next_part(self) -> tuple[Proposal, ...]:
        part: list[Proposal] = []
        size = 0
        for number in range(max(self._sent + 1, self._first()), self.sequence + 1):
            proposal = self._waiting[number - self._first()].proposal
            bounds = self.state.bounds
            too_long = size + len(proposal.operation) > bounds.append_bytes
            if part and (too_long or len(part) >= bounds.forward_operations):
                break
            part.append(proposal)
            size += len(proposal.operation)
        return tuple(part)

    def on_answer(self, answer: ForwardAnswer) -> None:
        """The leader's log has our operations up to a sequence."""
        self._note_appended(answer.through)

    def _note_appended(self, through: int) -> None:
        self._appended = max(self._appended, min(through, self.sequence))
        self._sent = max(self._sent, self._appended)
        if not self._early:
            return
        for waiting in self._waiting:
            if waiting.proposal.dot.sequence > self._appended:
                return
            if waiting.ack is Ack.LEADER and not waiting.told:
                waiting.told = True
                self._early -= 1
                self.state.draft.settle.append((waiting.proposal.dot, Settled.APPENDED))

    def all_waiting(self) -> Sequence[Proposal]:
        """Everything that waits, for a leader that has just been elected and is this node."""
        return [waiting.proposal for waiting in self._waiting]

    def appended_here(self, through: int) -> None:
        """We lead, and our log has our own operations up to a sequence."""
        self._note_appended(through)

    # -- time

    def void_overdue(self, cluster_ms: int) -> None:
        """Of what may not be applied any more only the dot is still needed."""
        if self._soonest is None or self._soonest >= cluster_ms:
            return
        self._soonest = None
        for number, waiting in enumerate(self._waiting):
            proposal = waiting.proposal
            until = proposal.until
            if until is None or not proposal.operation:
                continue
            if until >= cluster_ms:
                if self._soonest is None or until < self._soonest:
                    self._soonest = until
                continue
            self.bytes -= len(proposal.operation)
            void = Proposal(proposal.dot, b"", None)
            self._waiting[number] = Waiting(void, waiting.ack, waiting.told)

    # -- the log has spoken

    def on_committed(self, entries: Sequence[Entry]) -> None:
        """Our own operations among these are done with; their replies come from the application."""
        me, incarnation = self.state.origin, self.state.incarnation
        for entry in entries:
            dot = entry.dot
            if dot is None or dot.origin != me or dot.incarnation != incarnation:
                continue
            if dot.sequence < self._first():
                continue  # once more, to a state that was replaced
            waiting = self._done_with_first()
            assert waiting.proposal.dot == dot, f"{dot} came before {waiting.proposal.dot}"
            self._sent = max(self._sent, dot.sequence)
            self._appended = max(self._appended, dot.sequence)
            if waiting.ack is Ack.ALL:
                self._for_all.append((entry.index, dot))

    def on_passed_over(self, vector: Places) -> None:
        """A snapshot was installed: of our own operations that it covers, nobody will see here what
        they led to."""
        through = next(
            (
                sequence
                for origin, incarnation, sequence in vector
                if (origin, incarnation) == (self.state.origin, self.state.incarnation)
            ),
            0,
        )
        while self._waiting and self._waiting[0].proposal.dot.sequence <= through:
            waiting = self._done_with_first()
            self.state.draft.settle.append((waiting.proposal.dot, Settled.UNKNOWN))
        self._sent = max(self._sent, through)
        self._appended = max(self._appended, through)

    def say_unknown(self) -> None:
        """It cannot be said soon what becomes of what waits: its clients hear that now. It waits
        on, since only the log decides; and is told to nobody any more."""
        if self._in_doubt == self.sequence:
            return
        self._in_doubt = self.sequence
        for waiting in self._waiting:
            if not waiting.told:
                waiting.told = True
                if waiting.ack is Ack.LEADER:
                    self._early -= 1
                self.state.draft.settle.append((waiting.proposal.dot, Settled.UNKNOWN))

    def give_up(self) -> None:
        """This node belongs no more: whether its operations were done it will not hear."""
        while self._waiting:
            waiting = self._done_with_first()
            self.state.draft.settle.append((waiting.proposal.dot, Settled.UNKNOWN))

    def _done_with_first(self) -> Waiting:
        """The log has spoken of it, or will never speak to us again."""
        waiting = self._waiting.popleft()
        self.bytes -= len(waiting.proposal.operation)
        if waiting.ack is Ack.LEADER and not waiting.told:
            self._early -= 1
        return waiting

    def on_everywhere(self, index: int) -> None:
        """Every voter holds the log up to here."""
        while self._for_all and self._for_all[0][0] <= index:
            _, dot = self._for_all.popleft()
            self.state.draft.settle.append((dot, Settled.HELD_BY_ALL))


class Admission:
    """The leader's side: which forwarded operations are let into its log, each once."""

    def __init__(self, state: State, gather: Callable[[Proposal], None]) -> None:
        self._state = state
        self._gather = gather
        # Let in and not sealed yet: the log's vector does not know of them.
        self._ahead: dict[Origin, tuple[int, int]] = {}

    def sealed(self) -> None:
        """What was gathered is in the log."""
        self._ahead.clear()

    def let_in(self, origin: Origin, operations: Sequence[Proposal]) -> None:
        """Take those that are next in the origin's sequence; pass over those that are there. Who
        is out has no place any more that they could be next to: a leader that takes itself out
        lets in nothing more of its own."""
        if not self._state.membership.has(origin):
            return
        for proposal in operations:
            dot = proposal.dot
            incarnation, last = self._place(origin)
            if dot.incarnation < incarnation:
                return  # of a life that is over: what of it is not in the log never will be
            if dot.incarnation > incarnation:
                last = 0
            if dot.sequence <= last:
                continue
            if dot.sequence > last + 1:
                return  # one before it got lost on the way: all of them will come again
            self._ahead[origin] = (dot.incarnation, dot.sequence)
            self._gather(proposal)

    def _place(self, origin: Origin) -> tuple[int, int]:
        return self._ahead.get(origin) or self._state.log.vector.of(origin)

    def through(self, origin: Origin, incarnation: int) -> int:
        """Up to which sequence of this life the log has the origin's operations."""
        known, sequence = self._state.log.vector.of(origin)
        return sequence if known == incarnation else 0
