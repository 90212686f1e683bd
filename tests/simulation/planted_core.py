"""Faults in how the log is led, replicated and recovered, and in what an origin does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from peers.core.clock import FollowedClock, Sample
from peers.core.election import Election
from peers.core.entry import Origin, Position
from peers.core.following import Following
from peers.core.forwarding import Admission, Forwarding
from peers.core.lives import Lives
from peers.core.messages import Append, Envelope, Local, Lost, Progress, Vote
from peers.core.output import NOTHING, Output
from peers.core.recovery import Recovery
from peers.core.replica import Replica
from peers.core.replication import Leading
from tests.simulation.node import Node
from tests.simulation.planting import planted

# -- elections


@planted("a voter votes for whoever asks, as often as it is asked", "partition", "bad_network")
def votes_twice() -> Iterator[None]:
    honest = Election.on_vote

    def on_vote(self: Election, sender: Origin, request: Vote, now: int) -> None:
        if request.term == self.state.term:
            self.state.vote = None
        honest(self, sender, request, now)

    with patch.object(Election, "on_vote", on_vote):
        yield


@planted(
    "a vote is sent and not kept, and given again after a crash",
    scenario="a_voter_remembers_its_vote",
)
def vote_not_kept() -> Iterator[None]:
    honest = Node._carry_out

    def carry_out(self: Node, output: Output) -> None:
        if output.promise is not None and output is not NOTHING:
            output = output._replace(promise=replace(output.promise, vote=None))
        honest(self, output)

    with patch.object(Node, "_carry_out", carry_out):
        yield


@planted("a voter votes for a log that is older than its own", "isolate", "partition", "crash")
def votes_for_an_older_log() -> Iterator[None]:
    honest, ask = Election.on_vote, Election.on_pre_vote
    newest = Position(1 << 40, 1 << 40)

    def on_vote(self: Election, sender: Origin, request: Vote, now: int) -> None:
        honest(self, sender, replace(request, last=newest), now)

    def on_pre_vote(self: Election, sender: str, request: Any, now: int, in_touch: bool) -> None:
        ask(self, sender, replace(request, last=newest), now, in_touch)

    with (
        patch.object(Election, "on_vote", on_vote),
        patch.object(Election, "on_pre_vote", on_pre_vote),
    ):
        yield


@planted(
    "who has just started refuses even the vote that its leader wants",
    scenario="a_lead_that_is_handed_over_right_after_the_founding",
)
def refuses_what_is_handed() -> Iterator[None]:
    honest = Election._may_vote

    with patch.object(Election, "_may_vote", lambda self, now, handed=False: honest(self, now)):
        yield


@planted(
    "a leader is waited for although its process is known to be gone", scenario="links_that_break"
)
def waits_for_a_leader_that_is_gone() -> Iterator[None]:
    with patch.object(Following, "on_lost", lambda self, node, now: False):
        yield


@planted("who loses the link with its leader stands without asking", scenario="links_that_break")
def stands_where_a_link_breaks() -> Iterator[None]:
    honest = Replica.hear

    def hear(self: Replica, local: Local, now: int) -> Output:
        if isinstance(local, Lost) and local.node == self.state.leader:
            self.election._stand(now, handed=False)
        return honest(self, local, now)

    with patch.object(Replica, "hear", hear):
        yield


@planted(
    "a follower obeys the leader of an earlier term", scenario="a_late_append_of_an_old_leader"
)
def obeys_an_old_leader() -> Iterator[None]:
    honest = Following.on_append

    def on_append(self: Following, leader: str, append: Append, now: int) -> None:
        if append.term < self.state.term and self.state.leader not in (None, self.state.id):
            append = append._replace(term=self.state.term)
        honest(self, leader, append, now)

    with patch.object(Following, "on_append", on_append):
        yield


# -- replication


@planted("a word of how far is committed is taken from the leader of an earlier term", "partition")
def believes_a_former_leader() -> Iterator[None]:
    def on_progress(self: Following, leader: str, progress: Progress) -> None:
        self.state.commit_to(min(progress.commit, self.state.log.last.index))

    with patch.object(Following, "on_progress", on_progress):
        yield


@planted("a follower acknowledges before its disk has it", "crash", "slow_disk")
def acknowledges_before_it_is_kept() -> Iterator[None]:
    honest = Following._answer

    def answer(self: Following, leader: str, matched: int | None, *rest: Any) -> None:
        honest(self, leader, None if matched is None else self.state.agreed, *rest)

    with patch.object(Following, "_answer", answer):
        yield


@planted("the leader counts itself before its own disk has it", "crash", "slow_disk")
def counts_itself_before_it_is_kept() -> Iterator[None]:
    def held(self: Leading) -> list[int]:
        state = self.state
        return [
            state.log.last.index if node == state.id else self.followers[node].match
            for node in state.membership.voters
        ]

    with patch.object(Leading, "_held", held):
        yield


@planted("an entry of an earlier term is committed by counting", scenario="figure_8")
def commits_an_earlier_term_by_counting() -> Iterator[None]:
    def commit(self: Leading) -> None:
        state = self.state
        index = sorted(self._held(), reverse=True)[state.membership.majority - 1]
        if index > state.commit:
            state.commit_to(index)

    with patch.object(Leading, "_commit", commit):
        yield


@planted("a minority is enough to commit", "isolate", "partition", nodes=4)
def commits_with_a_minority() -> Iterator[None]:
    def commit(self: Leading) -> None:
        state = self.state
        held = sorted(self._held(), reverse=True)
        index = held[len(state.membership.voters) // 2 - 1]
        if index > state.commit and state.log.term_at(index) == state.term:
            state.commit_to(index)

    with patch.object(Leading, "_commit", commit):
        yield


@planted("a tail that conflicts is not cut", "isolate", "partition")
def forgets_to_cut() -> Iterator[None]:
    honest = Following._take

    def take(self: Following, batch: Any) -> None:
        if batch.last.index <= self.state.log.last.index:
            return
        if batch.first == self.state.log.last.index + 1:
            honest(self, batch)

    def agrees(self: Following, previous: Position) -> bool:
        return previous.index <= self.state.log.last.index

    with patch.object(Following, "_take", take), patch.object(Following, "_agrees_at", agrees):
        yield


@planted("a follower applies what the leader has committed, its own log or not", "isolate")
def applies_what_is_not_agreed() -> Iterator[None]:
    honest = Following.on_append

    def on_append(self: Following, leader: str, append: Append, now: int) -> None:
        state = self.state
        if append.term >= state.term and state.log.term_at(append.commit) is not None:
            state.commit_to(append.commit)
        honest(self, leader, append, now)

    with patch.object(Following, "on_append", on_append):
        yield


@planted("what all are said to hold is what a majority holds", "isolate", "slow_disk", "crash")
def takes_a_majority_for_all() -> Iterator[None]:
    honest = Leading._commit

    def commit(self: Leading) -> None:
        honest(self)
        self.everywhere = self.state.commit

    with patch.object(Leading, "_commit", commit):
        yield


# -- reading as of now


@planted(
    "a barrier is answered before anybody has said that we still lead",
    scenario="a_read_as_of_now_at_a_leader_that_was",
)
def answers_barriers_by_old_heartbeats() -> Iterator[None]:
    def answer_questions(self: Leading, now: int) -> None:
        questions, self._questions = self._questions, []
        for question in questions:
            self._answer(question.asker, question.number, self.state.commit, now)

    with patch.object(Leading, "_answer_questions", answer_questions):
        yield


@planted(
    "a new leader answers barriers before it knows what is committed",
    scenario="a_new_leader_that_is_asked_at_once",
)
def answers_barriers_too_early() -> Iterator[None]:
    with patch.object(Leading, "may_read", True):
        yield


# -- exactly once


@planted("the leader lets an operation in again", "bad_network", "partition", "isolate")
def lets_operations_in_twice() -> Iterator[None]:
    def place(self: Admission, origin: Any) -> tuple[int, int]:
        incarnation, last = self._ahead.get(origin) or self._state.log.vector.of(origin)
        return incarnation, max(0, last - 1)

    with patch.object(Admission, "_place", place):
        yield


@planted("an origin does not send again what its leader may have lost", "isolate", "partition")
def does_not_send_again() -> Iterator[None]:
    with patch.object(Forwarding, "begin_again", lambda self: None):
        yield


@planted("what only waits for more counts as let in no longer", "bad_network", "slow_links")
def forgets_what_it_has_gathered() -> Iterator[None]:
    with patch.object(Leading, "has_gathered", False):
        yield


@planted("the leader passes over an operation that it has no room for", "bad_network")
def refuses_after_the_dot() -> Iterator[None]:
    honest = Admission.let_in

    def let_in(self: Admission, origin: Any, operations: Any) -> None:
        honest(self, origin, operations)
        if operations and operations[-1].dot.sequence % 7 == 0:
            incarnation, last = self._place(origin)
            self._ahead[origin] = (incarnation, last + 1)

    with patch.object(Admission, "let_in", let_in):
        yield


@planted("an answer to an operation of an earlier life is taken for this one's", "crash")
def forgets_that_a_life_has_ended() -> Iterator[None]:
    honest = Node.start

    def start(self: Node, now: int, **how: Any) -> None:
        if self.life:
            before = self.disk.promise
            self.disk.promise = replace(before, incarnation=before.incarnation - 1)
        honest(self, now, **how)

    with patch.object(Node, "start", start):
        yield


# -- coming back


@planted("a node that lost its log counts as if it had it", "lose_log", "crash", "isolate")
def counts_without_its_log() -> Iterator[None]:
    honest = Node.start

    def start(self: Node, now: int, **how: Any) -> None:
        self.disk.damaged = False
        honest(self, now, **how)

    with patch.object(Node, "start", start):
        yield


@planted("a node that lost its log votes", "lose_log", "isolate", "crash")
def votes_while_it_recovers() -> Iterator[None]:
    honest = Election._may_vote

    def may_vote(self: Election, now: int, **how: Any) -> bool:
        counts, self.state.counts = self.state.counts, True
        try:
            return honest(self, now, **how)
        finally:
            self.state.counts = counts

    with patch.object(Election, "_may_vote", may_vote):
        yield


@planted("what answers an earlier life is taken", scenario="an_answer_to_an_earlier_life")
def takes_answers_to_an_earlier_life() -> Iterator[None]:
    with patch.object(Lives, "is_for_another", lambda self, envelope: False):
        yield


@planted(
    "a node that fails while it recovers takes itself for whole",
    scenario="a_recovery_that_is_interrupted",
)
def forgets_that_it_recovers() -> Iterator[None]:
    honest = Node.start

    def start(self: Node, now: int, **how: Any) -> None:
        damaged = self.disk.damaged
        self.disk.promise = replace(self.disk.promise, whole=not damaged)
        honest(self, now, **how)

    with patch.object(Node, "start", start):
        yield


@planted(
    "a node counts again as soon as a leader has answered", scenario="a_lost_log_and_no_answer_yet"
)
def recovers_before_it_has_the_log() -> Iterator[None]:
    def look(self: Recovery) -> None:
        if self._through is not None:
            self.state.counts = True

    with patch.object(Recovery, "look", look):
        yield


@planted(
    "what a follower held in an earlier life still counts",
    scenario="an_acknowledgement_of_an_earlier_life",
)
def counts_an_earlier_life() -> Iterator[None]:
    honest = Leading.on_answer

    def on_answer(self: Leading, node: str, incarnation: int, answer: Any, now: int) -> None:
        honest(self, node, 1, answer._replace(counts=True), now)

    with patch.object(Leading, "on_answer", on_answer):
        yield


# -- forwarding


@planted("an origin takes an operation for done when the leader has it", "isolate", "partition")
def forgets_what_is_only_appended() -> Iterator[None]:
    honest = Forwarding._note_appended

    def note_appended(self: Forwarding, through: int) -> None:
        honest(self, through)
        while self._waiting and self._waiting[0].proposal.dot.sequence <= through:
            self._waiting.popleft()

    with patch.object(Forwarding, "_note_appended", note_appended):
        yield


@planted("a life that has ended is let in again after the next has begun", "crash", "late_messages")
def lets_in_a_life_that_has_ended() -> Iterator[None]:
    honest = Replica.receive

    def receive(self: Replica, envelope: Envelope, now: int) -> Output:
        self.state.lives.pop(envelope.sender.id, None)
        return honest(self, envelope, now)

    def place(self: Admission, origin: Origin) -> tuple[int, int]:
        incarnation, last = self._ahead.get(origin) or self._state.log.vector.of(origin)
        return min(incarnation, 1), last if incarnation == 1 else 0

    with (
        patch.object(Replica, "receive", receive),
        patch.object(Admission, "_place", place),
    ):
        yield


# -- time


@planted("a follower says that its clock has no error", "slow_links", "late_messages")
def states_no_error() -> Iterator[None]:
    with patch.object(FollowedClock, "error", lambda self, now: 0):
        yield


@planted("a new leader starts its time anew", scenario="time_over_a_change_of_leader")
def starts_its_time_anew() -> Iterator[None]:
    def anew(self: FollowedClock, cluster: int, now: int) -> None:
        self._best = Sample(0, now, 0)

    with patch.object(FollowedClock, "set", anew):
        yield


@planted(
    "after a night without power, time goes on where it stopped",
    scenario="the_whole_cluster_down_for_an_hour",
)
def forgets_the_time_between() -> Iterator[None]:
    with patch.object(Node, "_resumed", lambda self, now, age: self.disk.clock_pair[0]):
        yield


# -- leading on


@planted("a leader that hears nobody goes on serving", "isolate", "partition")
def serves_while_suspended() -> Iterator[None]:
    with patch.object(Leading, "is_suspended", lambda self, now: False):
        yield


@planted(
    "a suspended leader has those wait whose writes are in flight",
    scenario="isolated_leader_with_a_client",
)
def leaves_them_waiting() -> Iterator[None]:
    with patch.object(Forwarding, "say_unknown", lambda self: None):
        yield


@planted("the lead is never handed back", "isolate", "crash")
def never_hands_back() -> Iterator[None]:
    with patch.object(Leading, "_heir", lambda self, now: None):
        yield
