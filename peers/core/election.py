"""Who leads: terms, votes and when to stand.

Pure. It decides when this node stands, whom it votes for, and that it has won; what a leader then
does is decided in `replication.py`.

A term has at most one leader: a voter votes once a term, keeps that before it says so, and only a
majority elects. Asking beforehand (the pre-vote) changes nothing anywhere, so a node that was cut
off, and whose log may be old, unseats nobody when it comes back.
"""

from __future__ import annotations

from peers.core.entry import Origin, Position
from peers.core.membership import NodeId
from peers.core.messages import (
    NewerLog,
    PreVote,
    PreVoteAnswer,
    TakeLog,
    TransferLead,
    Vote,
    VoteAnswer,
)
from peers.core.state import Part, State
from peers.core.syncing import Taking

PATIENCE = 4  # election timeouts without anybody to vote for: perhaps nobody's state is trusted


class Election:
    """One node's part in elections."""

    def __init__(self, state: State, taking: Taking) -> None:
        self.state = state
        self._taking_state = taking
        self.won = False  # a majority has just voted for us; the replica takes it from here
        self.clocks: list[tuple[int, int]] = []  # of the voters, each with its error
        self.resumed: list[int] = []
        self._round = 0  # the term that is asked about, or stood in
        self._granted: dict[NodeId, int] = {}  # who would vote, or did, and when that came
        self._taking = False  # a newer log was asked for in this round
        self._stand_at = 0
        self._gives_way = False  # to those who come first, from then on
        self._rested = state.started
        self.rest(state.started)

    # -- when to stand

    def rest(self, now: int) -> None:
        """There is a leader, or somebody was voted for: wait for long before standing. Who comes
        first is looked at then: who is silent by that time, as a leader that is gone, does not."""
        self._rested = now
        self._stand_at, self._gives_way = now + self.state.timing.election_timeout_ms, True

    def hurry(self, now: int) -> None:
        """Nobody leads any more, and everybody knows: stand as soon as it is our turn."""
        self._stand_at, self._gives_way = now + self._turn(now), False

    def _turn(self, now: int) -> int:
        """How long to give way to those who come first: the highest priority stands at once."""
        state = self.state
        if not state.membership.is_voter(state.id):
            return 0
        rank = state.membership.rank(state.id, state.silent(now))
        return int((rank + state.chance()) * state.timing.step_ms)

    def tick(self, now: int) -> None:
        """Stand if it is time, and if this node may lead."""
        if self.state.part is Part.LEADER or now < self._stand_at:
            return
        if self._gives_way:
            self._stand_at, self._gives_way = self._stand_at + self._turn(now), False
            if now < self._stand_at:
                return
        if self._may_stand() or self._is_nobody_able(now):
            self._ask(now)

    def _is_nobody_able(self, now: int) -> bool:
        """Whether it has been so for long that nobody with a trusted state could be elected: it may
        be that nobody has one. Then somebody must lead for that to be found out; it serves nobody
        until then."""
        waited = now - self._rested >= PATIENCE * self.state.timing.election_timeout_ms
        return waited and self._may_stand(trusted=False)

    def _may_stand(self, *, trusted: bool = True) -> bool:
        state = self.state
        able = state.takes_part and not self._taking_state.under_way and state.can_apply_all
        able = able and (state.intact or not trusted)
        return able and state.membership.is_voter(state.id)

    def _ask(self, now: int) -> None:
        """Find out whether a majority would vote for us."""
        state = self.state
        state.part = Part.CANDIDATE
        state.leader = None
        granted = self._granted if self._round == state.term + 1 else {}
        self._begin_round(state.term + 1)
        # Somebody may be so far away that the answer comes after the question is asked again.
        since = now - 2 * state.timing.election_timeout_ms
        self._granted |= {node: at for node, at in granted.items() if at > since}
        # Silence may be the network's: the same is asked again, a little later.
        self._stand_at = now + state.timing.election_timeout_ms // 2 + self._turn(now)
        state.draft.tell_all(self._electorate(), PreVote(self._round, state.log.last))
        if state.membership.is_majority(self._granted):
            self._stand(now, handed=False)

    def _stand(self, now: int, *, handed: bool) -> None:
        """Enter a term of our own and ask for votes in it."""
        state = self.state
        state.enter_term(state.term + 1)
        state.part = Part.CANDIDATE
        state.vote = state.origin
        state.promise()
        self._begin_round(state.term)
        self._stand_at = now + state.timing.election_timeout_ms // 2 + self._turn(now)
        state.draft.tell_all(self._electorate(), Vote(state.term, state.log.last, handed))
        self._count()

    def _begin_round(self, term: int) -> None:
        self._round = term
        self._granted = {self.state.id: self.state.started}
        self._taking = False
        self.clocks, self.resumed = [], []

    def _electorate(self) -> tuple[NodeId, ...]:
        membership = self.state.membership
        return tuple(node for node in membership.voters if node != self.state.id)

    def _count(self) -> None:
        state = self.state
        self.won = state.part is Part.CANDIDATE and state.membership.is_majority(self._granted)

    # -- as a voter

    def on_pre_vote(self, sender: NodeId, request: PreVote, now: int, in_touch: bool) -> None:
        """`in_touch`: a leader was heard lately, or is heard by a majority where we are it."""
        state = self.state
        granted = (
            self._may_vote(now)
            and not in_touch
            and request.term > state.term
            and request.last >= state.log.last
        )
        last = self._end_to_be_taken()
        state.draft.tell(sender, PreVoteAnswer(request.term, state.term, granted, last))

    def on_vote(self, candidate: Origin, request: Vote, now: int) -> None:
        """A voter votes once a term, and only for a log that is at least as new: a leader that
        lacked an entry of ours could undo a commit."""
        state = self.state
        if request.term > state.term:
            state.enter_term(request.term)
        current = request.term == state.term
        granted = (
            self._may_vote(now, handed=request.handed)
            and current
            and state.vote in (None, candidate)
            and request.last >= state.log.last
        )
        if granted:
            state.vote = candidate
            state.promise()
            self.rest(now)
        clock = state.clock.running(now) if state.clock.runs else None
        last = self._end_to_be_taken()
        error = state.clock.error(now)
        answer = VoteAnswer(state.term, granted, last, clock, error, state.resumed)
        state.draft.tell(candidate.id, answer)

    def _may_vote(self, now: int, *, handed: bool = False) -> bool:
        """A node that lacks what it promised to keep must not judge logs by its own. One that has
        just started may have said to a leader, a moment ago, that it hears it. A leader that hands
        its lead over is not harmed by that, whatever it was told: so does who started long ago."""
        state = self.state
        young = now - state.started < state.timing.election_timeout_ms
        waits = young and not handed and len(state.membership.voters) > 1
        return state.takes_part and not waits

    def _end_to_be_taken(self) -> Position:
        """Where our log ends, as others may have it from us: nothing of one with holes."""
        state = self.state
        return state.log.last if state.counts else Position(0, 0)

    # -- as a candidate

    def on_pre_vote_answer(self, sender: NodeId, answer: PreVoteAnswer, now: int) -> None:
        """With a majority of them the election itself begins."""
        state = self.state
        if state.part is not Part.CANDIDATE or answer.asked != self._round:
            return
        if answer.term > state.term:
            state.enter_term(answer.term)  # ours is past: ask about one that is not
            self.hurry(now)
            return
        if self._round != state.term + 1:
            return  # the election itself has begun
        if not answer.granted:
            self._take_newer(sender, answer.last)
            return
        self._granted[sender] = now
        if state.membership.is_majority(self._granted):
            self._stand(now, handed=False)

    def on_vote_answer(self, sender: NodeId, answer: VoteAnswer, now: int) -> None:
        """With a majority of them we lead."""
        state = self.state
        if (
            state.part is not Part.CANDIDATE
            or answer.term != state.term
            or self._round != state.term
        ):
            return
        if not answer.granted:
            self._take_newer(sender, answer.last)
            return
        if sender in self._granted:
            return  # said twice: its clock counts once, too
        self._granted[sender] = now
        if answer.clock is not None:
            self.clocks.append((answer.clock, answer.error))
        self.resumed.append(answer.resumed)
        self._count()

    def _take_newer(self, sender: NodeId, last: Position) -> None:
        """Refused for an old log: whoever has the newer one may not be able to stand itself, or to
        be heard by a majority. So take it from there and stand again."""
        state = self.state
        if last > state.log.last and not self._taking:
            self._taking = True
            state.draft.tell(sender, TakeLog(state.log.last, state.committed()))

    def on_take_log(self, sender: NodeId, request: TakeLog) -> None:
        """Give what our log has behind the candidate's."""
        state = self.state
        if not state.counts or request.have >= state.log.last:
            return
        previous = request.have
        if state.log.term_at(previous.index) != previous.term:
            previous = request.committed
        if state.log.term_at(previous.index) == previous.term:
            bounds = state.bounds
            batches = state.log.after(previous.index, bounds.append_bytes, bounds.append_batches)
        else:
            previous, batches = state.log.base.position, ()  # it lies before our window
        state.draft.tell(sender, NewerLog(state.term, previous, batches))

    def on_newer_log(self, sender: NodeId, newer: NewerLog, now: int) -> None:
        """Take it, in one step, and stand again. Whatever of ours it lacks was never committed:
        its holder would have it."""
        state, log = self.state, self.state.log
        if state.part is not Part.CANDIDATE:
            return
        if not newer.batches:
            if newer.previous.index > state.commit:
                self._taking_state.begin(sender, now)
            return
        if newer.batches[-1].last <= log.last or newer.previous.index < state.commit:
            return
        if log.term_at(newer.previous.index) != newer.previous.term:
            return
        if newer.term > state.term:
            # Its entries may be of that term, and we must never answer to an earlier one again.
            state.enter_term(newer.term)
        for batch in newer.batches:
            if log.term_at(batch.last.index) == batch.last.term:
                continue
            if log.last.index >= batch.first:
                state.cut(batch.first - 1)
            state.append(batch)
        self._ask(now)

    def on_transfer(self, transfer: TransferLead, now: int) -> None:
        """The leader wants us to lead: nobody has to be asked beforehand."""
        if transfer.term == self.state.term and self._may_stand():
            self._stand(now, handed=True)
