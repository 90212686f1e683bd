"""How a follower's log becomes the leader's.

Pure. It decides what of an append is taken, what is cut, and what the answer says; who leads is
decided in `election.py`.

A log that agrees with the leader's at one position agrees with it on all before. A tail that
conflicts is cut; nothing committed is ever in it. An answer says how far the log is the leader's
*and* on the disk: only that may count. Whoever lacks what the leader no longer keeps takes a
snapshot.

A leader whose time is further on than it can be, by our own clock, is heard, and what is committed
is taken from it; nothing else is, or its mistake would become the cluster's.
"""

from __future__ import annotations

from peers.core.entry import Batch, Position
from peers.core.membership import NodeId
from peers.core.messages import Append, AppendAnswer, Probe, ProbeAnswer, Progress
from peers.core.state import Part, State
from peers.core.syncing import Taking
from peers.core.timing import stamped_at

_new = tuple.__new__  # a third of the time that a named tuple takes, for each answer

PATIENCE = 8  # election timeouts of leaders alone whose time is refused; then it is taken


class Following:
    """A follower's side of replication."""

    def __init__(self, state: State, taking: Taking) -> None:
        self.state = state
        self._taking = taking
        self.leader_heard: int | None = None  # when a leader's word came last
        self.lease_from: int | None = None  # a moment before the leader sent its last word
        self.everywhere = 0
        self._elected_after: int | None = None  # the present leader, by our clock
        self._echo = 0  # the stamp of the leader's last message
        self._answered = 0  # what the last answer said
        self.caught_up = False  # it was where the leader was, once since the start
        self.refuses = False  # the leader's time: it cannot be right
        self._refusing_since: int | None = None  # and every leader's since then
        self.lacks = False  # something that the leader no longer keeps

    def in_touch(self, now: int) -> bool:
        """Whether a leader was heard within an election timeout."""
        heard = self.leader_heard
        return heard is not None and now - heard < self.state.timing.election_timeout_ms

    def on_lost(self, node: NodeId, now: int) -> bool:
        """Wait no longer for a member than if it had been silent for an election timeout; whether
        it was the leader. If it is there after all it is heard of with its next word, and nobody
        who hears it is unseated by this."""
        state = self.state
        silent_since = now - state.timing.election_timeout_ms
        if state.membership.get(node) is not None:
            state.heard[node] = min(state.heard.get(node, now), silent_since)
        if state.leader != node or state.part is Part.LEADER:
            return False
        self.leader_heard = None
        return True

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
        ahead = self.refuses = self._is_ahead(append, now)
        self._hear(leader, append, now, follow=not ahead)
        self.lacks = False
        if not self._agrees_at(append.previous):
            self._disagree(leader, append, now)
            return
        end = append.previous.index
        for batch in append.batches:
            if ahead and batch.last.index > append.commit:
                break
            self._take(batch)
            end = batch.last.index
        state.agreed = max(state.agreed, end)
        self.everywhere = min(append.everywhere, state.agreed)
        state.commit_to(min(append.commit, state.agreed))
        if self.lease_from is not None and state.commit >= append.commit:
            self.caught_up = True
        matched = min(state.agreed, state.stored)
        self._answer(leader, matched, state.log.last, append.sent, now)

    def _disagree(self, leader: NodeId, append: Append, now: int) -> None:
        """Say where our log may be the leader's; or take its state, where that is no use."""
        if append.previous.index == append.since:
            self.lacks = True
            self._taking.begin(leader, now)
        hint = self.state.log.end_before(append.previous.index)
        self._answer(leader, None, hint, append.sent, now)

    def _is_ahead(self, append: Append, now: int) -> bool:
        """Whether the leader's time, or that of what it wants to commit, cannot be right.

        So many may hold entries of a wrong time, from a leader that has gone since, that nobody
        else can be elected, and with them nobody is a majority. Rather than for ever nothing, the
        time is taken then, wrong as it is.
        """
        clock = self.state.clock
        if not clock.runs:
            return False
        # What our own log has, of an earlier leader's, no later one can go back behind.
        known = max(clock.running(now) + clock.error(now), self.state.log.last_at)
        latest = known + self.state.timing.max_clock_step_ms
        at = append.batches[-1].entries[-1].at if append.batches else 0
        if max(at, append.time) <= latest:
            self._refusing_since = None
            return False
        if at > latest and append.batches[-1].last.index <= append.commit:
            clock.set(at, now)  # a majority has taken it: it is the time
            return False
        if self._refusing_since is None:
            self._refusing_since = now
        return now - self._refusing_since < PATIENCE * self.state.timing.election_timeout_ms

    def _hear(self, leader: NodeId, append: Append, now: int, *, follow: bool) -> None:
        state = self.state
        assert state.part is not Part.LEADER, "a term has at most one leader"
        if state.leader != leader:
            self._begin_to_follow()
        state.part = Part.FOLLOWER
        state.leader = leader
        self.leader_heard = now
        self._echo = append.sent
        asked = None if append.echo is None else stamped_at(append.echo)
        if asked is not None and asked > now:
            asked = None  # of ours, from before this machine was started: it measures nothing now
        if asked is not None and (self.lease_from is None or asked > self.lease_from):
            self.lease_from = asked
        if follow:
            said_after = self._elected_after if asked is None else asked
            state.clock.hear(append.time, now, said_after)

    def _begin_to_follow(self) -> None:
        """Another leader. Of its first word, which echoes nothing, we know only that it was said
        after its election; and that was not long before the former leader's last word, since one
        that was deposed falls silent within an election timeout."""
        self.state.clock.forget_samples()
        since = self.lease_from
        timeout = self.state.timing.election_timeout_ms
        self._elected_after = None if since is None else since - timeout

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
        state.append(batch)

    def on_progress(self, leader: NodeId, progress: Progress) -> None:
        """More of what we have from this leader is committed."""
        state = self.state
        if progress.term == state.term and state.leader == leader:
            self.everywhere = max(self.everywhere, min(progress.everywhere, state.agreed))
            state.commit_to(min(progress.commit, state.agreed))

    def on_stored(self, now: int) -> None:
        """The disk has more of the log: the leader may count on it."""
        state = self.state
        matched = min(state.agreed, state.stored)
        if state.part is Part.FOLLOWER and state.leader is not None and matched != self._answered:
            self._answer(state.leader, matched, state.log.last, self._echo, now)

    def on_probe(self, leader: NodeId, probe: Probe) -> None:
        """A suspended leader asks whether it is heard. Nobody's timer is reset by that; but who is
        in an earlier term would answer in vain."""
        if probe.term > self.state.term:
            self.state.enter_term(probe.term)
        self.state.draft.tell(leader, ProbeAnswer(self.state.term, probe.sent))

    def _is_able(self) -> bool:
        """Whether it could lead: who could not serve is not to."""
        sound = self.state.intact and self.state.can_apply_all
        return sound and not self._taking.under_way and not self.lacks

    def _answer(
        self,
        leader: NodeId,
        matched: int | None,
        last: Position,
        echo: int,
        now: int,
    ) -> None:
        state = self.state
        if matched is not None:
            self._answered = matched
        answer = _new(
            AppendAnswer,
            (
                *(state.term, matched, last, echo, state.stamps.next(now), state.takes_part),
                *(self._is_able(), self.refuses, state.noted, state.reaches(now)),
            ),
        )
        state.draft.tell(leader, answer)
