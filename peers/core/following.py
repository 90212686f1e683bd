"""How a follower's log becomes the leader's.

Pure. It decides what of an append is taken, what is cut, and what the answer says; who leads is
decided in `election.py`.

A log that agrees with the leader's at one position agrees with it on all before. A tail that
conflicts is cut; nothing committed is ever in it. An answer says how far the log is the leader's
*and* on the disk: only that may count.
"""

from __future__ import annotations

from peers.core.entry import Batch, Position
from peers.core.membership import NodeId
from peers.core.messages import Append, AppendAnswer, Probe, ProbeAnswer
from peers.core.state import Part, State
from peers.core.timing import stamped_at


class Following:
    """A follower's side of replication."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.leader_heard: int | None = None  # when a leader's word came last
        self.lease_from: int | None = None  # a moment before the leader sent its last word
        self.everywhere = 0
        self._echo = 0  # the stamp of the leader's last message
        self._answered = 0  # what the last answer said
        self.caught_up = False  # it was where the leader was, once since the start

    def in_touch(self, now: int) -> bool:
        """Whether a leader was heard within an election timeout."""
        heard = self.leader_heard
        return heard is not None and now - heard < self.state.timing.election_timeout_ms

    def has_lease(self, now: int) -> bool:
        """Whether the leader was in office, for all that anybody knows, an election timeout ago.
        Counted from when it *sent* its word, which may have been on the way for long."""
        since = self.lease_from
        return since is not None and now - since < self.state.timing.election_timeout_ms

    def on_append(self, leader: NodeId, append: Append, now: int) -> None:
        """Take what follows the own log, and answer."""
        state = self.state
        if append.term < state.term:
            self._answer(leader, None, state.log.last, append.sent, now)
            return
        if append.term > state.term:
            state.enter_term(append.term)
        self._hear(leader, append, now)
        if not self._agrees_at(append.previous):
            hint = state.log.end_before(append.previous.index)
            self._answer(leader, None, hint, append.sent, now)
            return
        for batch in append.batches:
            self._take(batch)
        end = append.batches[-1].last.index if append.batches else append.previous.index
        state.agreed = max(state.agreed, end)
        self.everywhere = min(append.everywhere, state.agreed)
        state.commit_to(min(append.commit, state.agreed))
        if self.lease_from is not None and state.commit >= append.commit:
            self.caught_up = True
        self._answer(leader, min(state.agreed, state.stored), state.log.last, append.sent, now)

    def _hear(self, leader: NodeId, append: Append, now: int) -> None:
        state = self.state
        assert state.part is not Part.LEADER, "a term has at most one leader"
        if state.leader != leader:
            state.clock.forget_samples()
        state.part = Part.FOLLOWER
        state.leader = leader
        state.leader_commit = max(state.leader_commit, append.commit)
        self.leader_heard = now
        self._echo = append.sent
        asked = None if append.echo is None else stamped_at(append.echo)
        if asked is not None and (self.lease_from is None or asked > self.lease_from):
            self.lease_from = asked
        state.clock.hear(append.time, now, asked)

    def _agrees_at(self, previous: Position) -> bool:
        state = self.state
        if previous.index < state.commit:
            return True  # what is committed is in every leader's log
        return state.log.term_at(previous.index) == previous.term

    def _take(self, batch: Batch) -> None:
        state, log = self.state, self.state.log
        if batch.last.index <= state.commit or log.term_at(batch.last.index) == batch.last.term:
            return  # it is here already
        if log.last.index >= batch.first:
            state.cut(batch.first - 1)
        log.append(batch)
        state.draft.append.append(batch)

    def on_stored(self, now: int) -> None:
        """The disk has more of the log: the leader may count on it."""
        state = self.state
        matched = min(state.agreed, state.stored)
        if state.part is Part.FOLLOWER and state.leader is not None and matched != self._answered:
            self._answer(state.leader, matched, state.log.last, self._echo, now)

    def on_probe(self, leader: NodeId, probe: Probe) -> None:
        """A suspended leader asks whether it is heard. Nobody's timer is reset by that."""
        self.state.draft.tell(leader, ProbeAnswer(self.state.term, probe.sent))

    def _answer(
        self, leader: NodeId, matched: int | None, last: Position, echo: int, now: int
    ) -> None:
        state = self.state
        if matched is not None:
            self._answered = matched
        answer = AppendAnswer(
            state.term,
            matched,
            last,
            echo,
            state.stamps.next(now),
            state.counts,
            False,
            state.reaches(now),
        )
        state.draft.tell(leader, answer)
