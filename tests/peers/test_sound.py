"""What nobody can mean is refused whole, in a sentence; nothing that an honest node can say is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peers.core.base import Base
from peers.core.entry import Dot, Epoch, Origin, Position, Proposal
from peers.core.membership import Member, Membership, Role
from peers.core.messages import (
    BEFORE_BELONGING,
    Append,
    AppendAnswer,
    BarrierAnswer,
    Blank,
    Envelope,
    EpochAccept,
    EpochAnswer,
    EpochPropose,
    Forward,
    JoinAnswer,
    JoinAsk,
    Message,
    NewerLog,
    Progress,
    SnapshotPiece,
    VoteAnswer,
)
from peers.core.output import Life
from peers.core.sound import EPOCHS_AHEAD_MAX, PLACES_MAX, TAKEN_BLINDLY_MAX, TIME_AHEAD_MAX_MS
from peers.core.state import TERMS_AHEAD_MAX
from peers.core.vector import Vector
from peers.wire_fields import INT_MAX
from tests.peers.sound_stage import (
    AT,
    EPOCH,
    LAST,
    LIFE,
    MEMBERS,
    PARTS,
    STRANGER,
    TERM,
    A,
    B,
    C,
    Row,
    an_append,
    batch,
    founding,
    from_,
    hear,
    vector_at,
    whole_log,
    why,
)

CHILD = Epoch(EPOCH.number + 1, "four", EPOCH.random)
FAR_EPOCH = Epoch(EPOCH.number + EPOCHS_AHEAD_MAX + 1, "far", EPOCH.random)
FAR = AT + TIME_AHEAD_MAX_MS + 60_000_000  # more than any clock here has run on
NOTHING: Row = (None, b"")
START = Position(0, 0)
OBSERVERS = Membership(tuple(replace(each, role=Role.OBSERVER) for each in MEMBERS.members))
MORE = MEMBERS.with_member(Member(*STRANGER))
LATER = Life("its birth", 1_000)  # than all that is said here
TOO_MANY = tuple((Origin(f"n{n:04}", "1"), 1, 1) for n in range(PLACES_MAX + 1))


def behind(*rows: Row, **said: int) -> Append:
    """Entries behind all that `b` has."""
    return an_append([batch(7, vector_at(6), *rows, **said)])


def replacing(first: int, *rows: Row, term: int = TERM, **said: int) -> Append:
    """Entries in the place of some."""
    made = batch(first, vector_at(first - 1), *rows, **said)
    return an_append([made], previous=Position(TERM, first - 1), term=term)


def newer(first: int, *rows: Row, term: int = TERM + 1, of: int = TERM + 1) -> NewerLog:
    """What another has behind an end that `b` has."""
    made = batch(first, vector_at(first - 1), *rows, term=of)
    return NewerLog(term, Position(TERM, first - 1), (made,))


def holding(matched: int | None, term: int = TERM + 1) -> Envelope:
    """What `c` says of itself to `b`, which leads."""
    answer = AppendAnswer(term, matched, LAST, 1, 1, True, True, False, None, ())
    return from_(answer, C)


def forwarded(*dots: Dot) -> Envelope:
    """Operations that `c` forwards, in its fifth life."""
    message = Forward(tuple(Proposal(dot, b"x", None) for dot in dots))
    return from_(message, C)


def snapshot(**said: object) -> SnapshotPiece:
    """A piece of a snapshot of something later than `b` has, but for this."""
    base = Base(Position(TERM, 40), AT, tuple(vector_at(6).places()), MEMBERS)
    return SnapshotPiece(1, 0, replace(base, **said), b"", False)  # type: ignore[arg-type]


def asked_in(epoch: Epoch) -> JoinAnswer:
    """Somebody lets in a newcomer, in this epoch."""
    return JoinAnswer(epoch, "a", 1, "", MEMBERS)


def vote(**said: int | None) -> VoteAnswer:
    """`c` has a clock."""
    return replace(VoteAnswer(TERM + 1, True, LAST, AT, 5, AT), **said)  # type: ignore[arg-type]


LEADERS: list[tuple[str, Message, str]] = [
    ("follower", an_append(time=FAR), f"the time {FAR}, where "),
    ("without_log", an_append(time=FAR), "the time"),
    ("follower", behind(NOTHING, at=FAR), f"the time {FAR}, where "),
    ("follower", behind(NOTHING, at=AT - 1), "the time goes back at entry 7"),
    ("follower", behind(NOTHING, term=1), "entry 7 is of term 1, behind one of 2"),
    ("follower", behind(NOTHING, term=3), "entry 7 is of term 3, which is after 2"),
    ("follower", an_append([batch(8, vector_at(6), NOTHING)]), "entry 8 stands where 7 should"),
    ("follower", behind((Dot(A, 1, 4), b"")), "entry 7 is operation 4 of a, out of turn"),
    ("follower", behind((Dot(A, 1, 3), b""), (Dot(A, 1, 3), b"")), "operation 3 of a, out of turn"),
    ("follower", behind((Dot(A, 1, 2), b"")), "entry 7 is operation 2 of a, out of turn"),
    ("follower", behind((Dot(C, 4, 1), b"")), "entry 7 is operation 1 of c, out of turn"),
    ("follower", behind((Dot(C, 6, 2), b"")), "entry 7 is operation 2 of c, out of turn"),
    ("follower", behind((Dot(B, LIFE, 2), b"")), "with entry 7 come operations of ours that we"),
    ("follower", behind((Dot(STRANGER, 1, 1), b"")), "is an operation of z, who does not belong"),
    ("follower", an_append([batch(7, Vector(), NOTHING)]), "said to follow other operations"),
    ("follower", an_append([founding(OBSERVERS, 7)]), "entry 7 leaves nobody who votes"),
    ("follower", replacing(3, *[NOTHING] * 5), "entry 3 differs from what is committed here"),
    ("follower", replacing(5, NOTHING, at=AT - 1), "the time goes back at entry 5"),
    ("follower", an_append(commit=5), "what is committed ends at 5, inside a batch"),
    ("follower", an_append(whole_log()[:2], previous=START, commit=5), "ends at 5, inside a batch"),
    ("follower", behind(NOTHING, NOTHING)._replace(commit=7), "ends at 7, inside a batch"),
    ("follower", Progress(TERM, 5, 0), "what is committed ends at 5, inside a batch"),
]
OTHERS: list[tuple[str, Envelope, str]] = [
    ("follower", from_(an_append(), C), "it leads in term 2, in which a does"),
    ("leader", from_(an_append(term=3), C), "it leads in term 3, in which b does"),
    ("leader", holding(5), "it holds our log up to 5, where none of it ends"),
    ("suspended", holding(99), "it holds our log up to 99, where none of it ends (the last is 7)"),
    ("leader", forwarded(Dot(C, 5, 2), Dot(A, 1, 3)), "it forwards an operation of a"),
    ("leader", forwarded(Dot(B, LIFE, 2)), "it forwards an operation of b"),
    ("leader", forwarded(Dot(C, 6, 1)), "it forwards an operation of its life 6, in its life 5"),
    ("candidate", from_(newer(7, (Dot(A, 1, 9), b"")), C), "operation 9 of a, out of turn"),
    ("candidate", from_(newer(7, (Dot(B, LIFE, 2), b"")), C), "operations of ours that we never"),
    ("candidate", from_(newer(7, NOTHING, of=4), C), "entry 7 is of term 4, which is after 3"),
    ("candidate", from_(vote(clock=FAR), C), "the time"),
    ("candidate", from_(vote(resumed=FAR), C), "the time"),
    ("follower", from_(BarrierAnswer(1, 4, FAR)), "the time"),
    ("founder", from_(EpochAccept(CHILD, True, FAR)), "the time"),
    ("follower", from_(snapshot(at=FAR)), "the time"),
    ("follower", from_(snapshot(membership=OBSERVERS)), "nobody votes in the cluster"),
    ("follower", from_(snapshot(vector=TOO_MANY)), "operations of 129 nodes, and 128 may be"),
    (
        "follower",
        from_(snapshot(vector=((B, LIFE, 2),))),
        "has operation 2 of ours, which we never",
    ),
    ("follower", from_(snapshot(position=Position(2, TAKEN_BLINDLY_MAX + 1))), "no log comes to"),
    ("follower", from_(snapshot(position=Position(INT_MAX, 40))), "is of term"),
    ("leader", from_(JoinAsk(Member(*A), 1), C), "it asks for the seat of a, under another name"),
    ("leader", from_(JoinAsk(Member("z", "other"), 1), STRANGER), "it asks for the seat of z"),
    ("founder", from_(Blank(Member(*A)), C), "it asks for the seat of a, under another name"),
    ("follower", from_(asked_in(FAR_EPOCH)), "where 3 is known here"),
    ("newcomer", from_(asked_in(Epoch(INT_MAX, "far"))), f"epoch {INT_MAX}-far, where 0 is known"),
    ("follower", from_(EpochAnswer((EPOCH.random,), 5), epoch=FAR_EPOCH), "where 3 is known here"),
    ("without_log", from_(EpochPropose(FAR_EPOCH, MEMBERS, LAST)), "where 3 is known here"),
    ("without_log", from_(EpochPropose(CHILD, OBSERVERS, LAST)), "nobody votes in the epoch"),
]
HOSTILE = [(part, from_(said), sentence) for part, said, sentence in LEADERS] + OTHERS

HONEST: list[tuple[str, str, Envelope]] = [
    ("a heartbeat", "follower", from_(an_append(commit=6))),
    ("one that is ahead of all that is here", "follower", from_(an_append(commit=900))),
    ("a commit at the end of a batch", "follower", from_(an_append(commit=6, previous=START))),
    ("all of the log once more", "follower", from_(an_append(whole_log(), previous=START))),
    ("what was meant for a log without a tail", "follower", from_(replacing(5, NOTHING, term=1))),
    ("what does not follow ours", "follower", from_(an_append(previous=Position(9, 12)))),
    (
        "what follows an entry that is not ours",
        "follower",
        from_(an_append([batch(13, Vector(), (Dot(A, 9, 9), b""))], previous=Position(2, 12))),
    ),
    ("the next of each", "follower", from_(behind((Dot(A, 1, 3), b""), (Dot(C, 5, 2), b"")))),
    ("one in turn with another", "follower", from_(behind(*[(Dot(A, 1, 3), b""), NOTHING]))),
    ("the first of a later life", "follower", from_(behind((Dot(C, 9, 1), b"")))),
    ("a life of ours that we know nothing of", "follower", from_(behind((Dot(B, 4, 1), b"")))),
    (
        "a later leader's, in the place of ours that was not committed",
        "follower",
        from_(replacing(5, (Dot(B, LIFE, 1), b""), NOTHING, term=3), C),
    ),
    ("an earlier leader's", "follower", from_(an_append(term=1, commit=5, time=FAR), C)),
    ("a later leader's", "follower", from_(an_append(term=TERM + TERMS_AHEAD_MAX), C)),
    ("one of a term that is far ahead", "follower", from_(an_append(term=INT_MAX), C)),
    ("a list, and a newcomer's first", "follower", from_(an_append([founding(MORE, 7)]))),
    ("an old clock's", "follower", from_(an_append(time=0))),
    ("a clock that is centuries ahead", "follower", from_(an_append(time=AT + (1 << 43)))),
    ("the present year", "newcomer", from_(an_append(time=AT + 86_400_000))),
    ("how far is committed", "follower", from_(Progress(TERM, 6, 0))),
    ("more than is here", "follower", from_(Progress(TERM, 900, 900))),
    ("of another leader", "follower", from_(Progress(TERM, 5, 0), C)),
    ("of an earlier term", "follower", from_(Progress(1, 5, 0))),
    ("an end of ours", "leader", holding(6)),
    ("the end of ours", "leader", holding(7)),
    ("nothing of ours", "leader", holding(None)),
    ("what answers an earlier term", "leader", holding(99, term=TERM)),
    ("what answers no leader", "follower", holding(99, term=TERM)),
    ("its own operations", "leader", forwarded(Dot(C, 5, 2), Dot(C, 5, 3))),
    ("operations once more", "leader", forwarded(Dot(C, 5, 1))),
    ("operations of which one got lost", "leader", forwarded(Dot(C, 5, 9))),
    ("no operations", "leader", forwarded()),
    ("a newer log", "candidate", from_(newer(7, (Dot(C, 5, 2), b"")), C)),
    ("one that goes on elsewhere", "candidate", from_(newer(5, NOTHING), C)),
    ("a late one, that was not committed", "candidate", from_(newer(3, *[NOTHING] * 9), C)),
    ("one that nobody waits for", "follower", from_(newer(7, (Dot(A, 1, 9), b"")), C)),
    ("that a snapshot is needed", "candidate", from_(NewerLog(3, Position(3, 500), ()), C)),
    ("a vote without a clock", "candidate", from_(vote(clock=None), C)),
    ("a snapshot", "follower", from_(snapshot())),
    ("one of the same state", "follower", from_(snapshot(position=LAST))),
    ("a newcomer's", "leader", from_(JoinAsk(Member(*STRANGER), 1), STRANGER)),
    ("a founder's", "founder", from_(Blank(Member(*A)))),
    ("a first epoch", "founder", from_(EpochPropose(Epoch(1, "one"), MEMBERS, START))),
    ("a child", "without_log", from_(EpochPropose(CHILD, MEMBERS, LAST))),
    ("a member", "newcomer", from_(asked_in(Epoch(1 << 40, "old cluster")), birth=B.birth)),
]


@pytest.mark.parametrize(("part", "envelope", "sentence"), HOSTILE)
def test_what_nobody_can_mean_is_refused_in_a_sentence(
    part: str, envelope: Envelope, sentence: str
) -> None:
    said = why(PARTS[part](), envelope)
    assert said is not None
    assert sentence in said


@pytest.mark.parametrize(("what", "part", "envelope"), HONEST)
def test_what_an_honest_node_can_say_is_let_pass(what: str, part: str, envelope: Envelope) -> None:
    """However late it is, and from whichever history. The core takes it, too."""
    replica = PARTS[part]()
    hear(replica, envelope)
    replica.state.log.check()


@pytest.mark.parametrize(("part", "envelope", "sentence"), HOSTILE)
def test_nobody_is_to_blame_for_what_is_not_taken(
    part: str, envelope: Envelope, sentence: str
) -> None:
    """What was meant for an earlier life of ours, or one who had our name; what is of an earlier
    life of its sender, or of another epoch."""
    replica = PARTS[part]()
    late = envelope._replace(life=LIFE - 1)
    lost = envelope._replace(birth="another birth")
    replica.state.lives["a"] = replica.state.lives["c"] = replica.state.lives["z"] = LATER
    former = envelope._replace(sender=Origin(envelope.sender.id, LATER.birth), incarnation=1)
    elsewhere = envelope._replace(epoch=Epoch(7, "elsewhere"))
    before = isinstance(envelope.message, BEFORE_BELONGING)
    for each in (former, *(() if before else (late, lost, elsewhere))):
        assert why(replica, each) is None
    replica.state.removed = True
    assert why(replica, envelope) is None
