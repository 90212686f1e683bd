"""What a member that means harm cannot make the core of another do, whatever it says."""

from __future__ import annotations

import pytest

from peers.core.base import Base
from peers.core.entry import Epoch, Origin, Position
from peers.core.epochs import FORKS_MAX
from peers.core.lives import KNOWN_MAX
from peers.core.membership import Member, Membership
from peers.core.messages import (
    Hello,
    Lost,
    NewerLog,
    PreVote,
    PreVoteAnswer,
    Restored,
    SnapshotPiece,
    Vote,
    VoteAnswer,
)
from peers.core.state import TERMS_AHEAD_MAX
from peers.wire_fields import INT_MAX
from tests.peers.sound_stage import (
    AT,
    EPOCH,
    LAST,
    MEMBERS,
    NOW,
    PARTS,
    TERM,
    A,
    C,
    an_append,
    batch,
    candidate,
    follower,
    from_,
    hear,
    newcomer,
    vector_at,
    without_log,
)

LATER_MS = NOW + 10_000  # when the candidate stands
FAR = TERM + 5 * TERMS_AHEAD_MAX


# -- terms


@pytest.mark.parametrize("part", ["follower", "candidate", "leader", "without_log"])
def test_a_term_that_is_far_ahead_is_come_to_in_steps(part: str) -> None:
    """One word cannot use up the terms of all; and nobody votes for whoever says it."""
    replica = PARTS[part]()
    before = replica.state.term
    output = hear(replica, from_(Vote(INT_MAX, Position(INT_MAX, 9), True), C), LATER_MS)
    assert replica.state.term == before + TERMS_AHEAD_MAX
    assert replica.state.vote is None
    assert [each for each in output.send if isinstance(each.message, VoteAnswer)] == []
    assert not replica.leads


def test_two_nodes_that_were_parted_by_terms_come_together() -> None:
    """One of them was lifted, step by step, and leads there: the other follows in as many steps."""
    replica = follower()
    for _ in range(6):
        hear(replica, from_(an_append(term=FAR), C))
    assert (replica.state.term, replica.state.leader) == (FAR, "c")


def test_a_question_of_a_far_term_changes_nothing() -> None:
    replica = follower()
    output = hear(replica, from_(PreVote(FAR, Position(9, 9)), C))
    assert [each.message for each in output.send] == [PreVoteAnswer(FAR, TERM, False, LAST)]
    assert replica.state.term == TERM


def test_a_newcomer_comes_to_a_cluster_of_late_terms() -> None:
    replica = without_log()
    for _ in range(6):
        hear(replica, from_(an_append(term=FAR, previous=Position(FAR, 90)), C))
    assert (replica.state.term, replica.state.leader) == (FAR, "c")


def test_who_enters_an_epoch_by_a_word_of_a_far_term_recovers_first() -> None:
    """It does not know who leads there, and comes to the term in steps."""
    replica = PARTS["accepting"]()
    child = replica.state.accepted
    assert child is not None
    output = hear(replica, from_(an_append(term=INT_MAX), epoch=child), LATER_MS)
    assert output.enter is not None
    promise = output.enter.promise
    assert (promise.epoch, promise.term, promise.vote, promise.whole) == (child, 0, None, False)


def test_a_snapshot_of_a_later_term_is_taken_with_the_term() -> None:
    """Its giver went on meanwhile. An earlier leader would else find a log that is ahead of it."""
    replica = candidate()
    state, later = replica.state, TERM + 4
    hear(replica, from_(NewerLog(later, Position(later, 40), ()), C), LATER_MS)
    base = Base(Position(later, 40), AT, tuple(vector_at(6).places()), MEMBERS)
    hear(replica, from_(SnapshotPiece(1, 0, base, b"", True), C), LATER_MS)
    output = replica.hear(Restored(1, True), LATER_MS)
    assert output.install is not None
    assert output.promise is not None
    assert (output.promise.term, state.term, state.log.last) == (later, later, Position(later, 40))


# -- elections


def test_a_vote_that_is_said_twice_brings_one_clock() -> None:
    """Else one voter would be the majority by which a clock is believed."""
    members = Membership(tuple(Member(id, f"birth of {id}") for id in "abcde"))
    replica = candidate()
    replica.state.log.begin(Base(LAST, AT, tuple(vector_at(6).places()), members))
    replica.state.commit = replica.state.applied = LAST.index
    for voter in (C, Origin("d", "birth of d")):
        hear(replica, from_(PreVoteAnswer(TERM + 1, TERM, True, LAST), voter), LATER_MS)
    assert replica.state.term == TERM + 1
    for _ in range(3):
        hear(replica, from_(VoteAnswer(TERM + 1, True, LAST, AT + 90_000, 5, 0), C), LATER_MS)
    assert replica.election.clocks == [(AT + 90_000, 5)]


def test_a_candidate_that_keeps_nothing_counts_what_it_takes_from_a_newer_log() -> None:
    replica = candidate()
    made = batch(7, vector_at(6), (None, b""), term=TERM + 1)
    hear(replica, from_(PreVoteAnswer(TERM + 1, TERM, False, made.last), C), LATER_MS)
    hear(replica, from_(NewerLog(TERM + 1, LAST, (made,)), C), LATER_MS)
    assert (replica.state.log.last, replica.state.stored) == (made.last, 7)


# -- what is kept of others


def test_of_other_epochs_a_bounded_number_is_kept() -> None:
    replica = follower()
    hear(replica, from_(an_append(echo=1)))
    for number in range(20 * FORKS_MAX):
        other = Epoch(EPOCH.number, f"{number}", "two")
        hear(replica, from_(an_append(), C, epoch=other))
    assert len(replica.epochs.forks(NOW)) == FORKS_MAX
    later = Epoch(9, "a later one", "two")
    hear(replica, from_(an_append(), A), NOW + 6_000)
    hear(replica, from_(an_append(), C, epoch=later), NOW + 6_000)
    assert replica.epochs.forks(NOW + 6_000) == (later,)


def test_of_strangers_a_bounded_number_is_kept() -> None:
    replica = follower()
    hello = Hello((), 1, LAST, True, False)
    for number in range(2 * KNOWN_MAX):
        stranger = Origin(f"n{number}", "1")
        hear(replica, from_(hello, stranger))
        replica.hear(Lost(stranger.id), NOW)
    assert len(replica.state.lives) <= KNOWN_MAX
    assert replica.state.lives["a"].birth == A.birth
    assert set(replica.state.heard) <= {"a", "b", "c"}


def test_a_newcomer_asks_a_bounded_number_of_others() -> None:
    replica = newcomer()
    for number in range(1_000):
        replica.joining.may_ask(f"n{number}")
    assert len(replica.joining._contacts) == 256
