"""One replica in each of the parts that a node can have, for tests of what it takes from others.

It is `b` of a, b and c. Its log ends at 6, as far as 4 it is committed, and `a` led it in term 2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from peers.core.entry import NO_EPOCH, Batch, Dot, Entry, Epoch, Origin, Position
from peers.core.log import Log
from peers.core.membership import Member, Membership
from peers.core.messages import (
    Append,
    Envelope,
    EpochPropose,
    Message,
    PreVoteAnswer,
    VoteAnswer,
)
from peers.core.outcomes import Ack
from peers.core.output import Output, Promise
from peers.core.replica import Replica
from peers.core.sound import why_unsound
from peers.core.state import Part
from peers.core.timing import Bounds
from peers.core.vector import GapError, Vector
from peers.wire import decode, encode, pack_batch

A, B, C = (Origin(id, f"birth of {id}") for id in "abc")
STRANGER = Origin("z", "birth of z")
MEMBERS = Membership(tuple(Member(*origin) for origin in (A, B, C)))
EPOCH = Epoch(3, "three", "two")
TERM = 2
NOW = 5_000_000  # of its machine
AT = 7_000_000_000  # the time of the last entry
LAST = Position(TERM, 6)
COMMIT = 4
LIFE = 3  # which start of `b` this is
LIVES = {A: 1, C: 5}  # of the others
Row = tuple[Dot | None, bytes]


def batch(first: int, vector: Vector, *rows: Row, term: int = TERM, at: int = AT) -> Batch:
    """A batch as a leader makes it; `vector` goes on to what follows."""
    before = tuple(vector.places())
    for dot, _ in rows:
        if dot is not None:
            with contextlib.suppress(GapError):  # then nothing honest goes on from there
                vector.admit(dot)
    entries = [Entry(first + n, term, at, dot, None, data) for n, (dot, data) in enumerate(rows)]
    return pack_batch(entries, before)


def founding(members: Membership = MEMBERS, index: int = 1, term: int = TERM) -> Batch:
    """A batch that says who belongs."""
    entry = Entry(index, term, AT, None, None, b"", members)
    return pack_batch([entry], tuple(vector_at(index - 1).places()))


def vector_at(index: int) -> Vector:
    """How far each origin is behind these entries."""
    vector = Vector()
    for dot in (Dot(A, 1, 1), Dot(A, 1, 2), Dot(B, LIFE, 1), Dot(C, 5, 1))[: max(0, index - 2)]:
        vector.admit(dot)
    return vector


def whole_log() -> tuple[Batch, ...]:
    """What `b` holds: 1, 2, 3 and 4 as one batch, 5 and 6 as another."""
    vector = Vector()
    return (
        founding(),
        batch(2, vector, (None, b"")),
        batch(3, vector, (Dot(A, 1, 1), b"one"), (Dot(A, 1, 2), b"two")),
        batch(5, vector, (Dot(B, LIFE, 1), b"ours"), (Dot(C, 5, 1), b"theirs")),
    )


def an_append(batches: Sequence[Batch] = (), **said: object) -> Append:
    """What `a` says next: nothing new, but for this."""
    plain = Append(TERM, LAST, tuple(batches), COMMIT, 0, COMMIT, AT, 99, None)
    return plain._replace(**said)  # type: ignore[arg-type]


def from_(
    message: Message,
    sender: Origin = A,
    *,
    incarnation: int | None = None,
    epoch: Epoch = EPOCH,
    birth: str = B.birth,
    life: int = LIFE,
) -> Envelope:
    """A message on its way to `b`."""
    if incarnation is None:
        incarnation = LIVES.get(sender, 1)
    return Envelope(sender, incarnation, epoch, B.id, birth, life, message)


def why(replica: Replica, envelope: Envelope, now: int = NOW) -> str | None:
    """Why a message is refused, once it has travelled."""
    return why_unsound(decode(encode(envelope)), replica, now)


def hear(replica: Replica, envelope: Envelope, now: int = NOW) -> Output:
    """What comes of an honest message."""
    refused = why(replica, envelope, now)
    assert refused is None, refused
    return replica.receive(envelope, now)


def a_replica(promise: Promise, **told: object) -> Replica:
    """`b`, that has just started."""
    return Replica(
        B.id,
        promise,
        Log(),
        pack_batch,
        now=NOW - 60_000,
        chance=lambda: 0.5,
        volatile=True,
        wall_ahead=AT - NOW,
        bounds=Bounds(window_entries=50, pieces=2),
        **told,  # type: ignore[arg-type]
    )


def follower() -> Replica:
    """It follows `a`."""
    replica = a_replica(Promise(EPOCH, B.birth, LIFE, 1, None))
    replica.forwarding.take(b"ours", None, Ack.QUORUM)
    hear(replica, from_(an_append(whole_log(), previous=Position(0, 0), echo=None)))
    state = replica.state
    assert (state.part, state.leader) == (Part.FOLLOWER, "a")
    assert (state.log.last, state.commit) == (LAST, COMMIT)
    return replica


def candidate() -> Replica:
    """It has not heard its leader for long, and asks whether it would be voted for."""
    replica = follower()
    replica.tick(NOW + 10_000)
    assert replica.state.part is Part.CANDIDATE
    return replica


def leader() -> Replica:
    """`c` has voted for it."""
    replica, now = candidate(), NOW + 10_000
    hear(replica, from_(PreVoteAnswer(TERM + 1, TERM, True, LAST), C), now)
    vote = VoteAnswer(TERM + 1, True, LAST, AT + 10_000, 5, 0)
    hear(replica, from_(vote, C), now)
    replica.tick(now)
    assert replica.leads
    return replica


def suspended() -> Replica:
    """It leads and hears nobody."""
    replica = leader()
    replica.tick(NOW + 60_000)
    assert replica.leading is not None
    assert replica.leading.is_suspended(NOW + 60_000)
    return replica


def newcomer() -> Replica:
    """It belongs to nothing, and asks `a` to let it in."""
    promise = Promise(NO_EPOCH, B.birth, LIFE, 0, None)
    return a_replica(promise, member=Member(*B), contacts=("a",))


def founder() -> Replica:
    """It belongs to nothing, and would begin a cluster with the others."""
    promise = Promise(NO_EPOCH, B.birth, LIFE, 0, None)
    return a_replica(promise, member=Member(*B), contacts=("a", "c"), founders=("a", "b", "c"))


def without_log() -> Replica:
    """It has lost what it promised to keep."""
    promise = Promise(EPOCH, B.birth, LIFE, TERM, A, whole=False)
    replica = a_replica(promise)
    replica.state.log.name(0, MEMBERS)
    return replica


def accepting() -> Replica:
    """It has lost its log, and has agreed to go on in another epoch."""
    replica = without_log()
    child = Epoch(EPOCH.number + 1, "four", EPOCH.random)
    state = replica.state
    hear(replica, from_(EpochPropose(child, MEMBERS, LAST)))
    assert state.accepted == child
    return replica


PARTS: dict[str, Callable[[], Replica]] = {
    "follower": follower,
    "candidate": candidate,
    "leader": leader,
    "suspended": suspended,
    "newcomer": newcomer,
    "founder": founder,
    "without_log": without_log,
    "accepting": accepting,
}
