"""What a replica counts, lets in and waits for, where something has changed in between.

Three replicas by hand, without disks: what one says reaches the others at once, and time passes
only where a test lets it.
"""

from __future__ import annotations

from collections import deque

from peers import wire
from peers.core.base import Base
from peers.core.due import gathers, rests
from peers.core.entry import Dot, Entry, Epoch, Origin, Position
from peers.core.log import Log
from peers.core.membership import Member, Membership
from peers.core.messages import (
    Append,
    AppendAnswer,
    Envelope,
    Forward,
    Message,
    Progress,
    Restored,
    SnapshotPiece,
    Stored,
)
from peers.core.outcomes import Ack, Settled
from peers.core.output import NOTHING, Output, Promise
from peers.core.replica import Replica
from peers.core.sparing import BYTES_MAX
from peers.core.timing import GATHER_MS, Timing

EPOCH = Epoch(1, "e")
MEMBERS = Membership(tuple(Member(id, f"birth-{id}", 100 - n) for n, id in enumerate("abc")))
TIMING = Timing(heartbeat_ms=50, election_timeout_ms=500, step_ms=80, hand_back=False)
STEP_MS = 10
MUCH = bytes(BYTES_MAX)  # so much that nobody is spared it


def replica(id: str, *, volatile: bool = True) -> Replica:
    """One of them, as it comes up for the first time."""
    return Replica(
        id,
        Promise(EPOCH, f"birth-{id}", 1, 0, None),
        Log(Base(membership=MEMBERS)),
        wire.pack_batch,
        now=0,
        chance=lambda: 0.0,
        volatile=volatile,
        timing=TIMING,
    )


class Trio:
    """The three, and the messages between them."""

    def __init__(self) -> None:
        self.now = 0
        self.replicas = {id: replica(id) for id in "abc"}
        self.deaf: set[str] = set()  # nothing reaches these, and nothing leaves them
        self.sent: list[tuple[str, Message]] = []  # in the last step: by whom, and what
        self.settled: list[tuple[Dot, Settled]] = []
        self.ticked: dict[str, int] = {}  # when each was asked last what is due
        self._under_way: deque[Envelope] = deque()

    def __getitem__(self, id: str) -> Replica:
        return self.replicas[id]

    def put_out(self, id: str, output: Output) -> None:
        """Carry out what a replica wants done."""
        self.settled.extend(output.settle)
        for to, birth, life, message in output.send:
            self.sent.append((id, message))
            if id not in self.deaf and to not in self.deaf:
                sender = Origin(id, f"birth-{id}")
                self._under_way.append(Envelope(sender, 1, EPOCH, to, birth, life, message))

    def end_turn(self) -> None:
        """Everybody does what is due, and all that is said arrives."""
        for id, each in self.replicas.items():
            # What is due by the time alone has been done where this moment has seen a tick.
            rested = self.ticked.get(id) == self.now and rests(each, self.now)
            output = each.tick(self.now)
            assert not rested or output == NOTHING, "its shell would not have asked it"
            self.ticked[id] = self.now
            self.put_out(id, output)
        while self._under_way:
            envelope = self._under_way.popleft()
            self.put_out(envelope.to, self[envelope.to].receive(envelope, self.now))

    def run(self, ms: int) -> None:
        """Let time pass."""
        self.sent.clear()
        for _ in range(0, ms, STEP_MS):
            self.now += STEP_MS
            self.end_turn()

    def write(self, id: str, text: bytes = b"x", ack: Ack = Ack.QUORUM) -> Dot:
        """Propose an operation, without the end of the turn."""
        (dot,), output = self[id].propose([(text, None, ack)], self.now)
        self.put_out(id, output)
        return dot


def at_rest() -> Trio:
    """`a` leads, and all have all that there is."""
    trio = Trio()
    trio.run(2_000)
    assert trio["a"].leads
    assert {each.state.applied for each in trio.replicas.values()} == {1}
    return trio


# -- what counts as stored


def one(index: int, term: int) -> Append:
    """A leader's word with one entry."""
    batch = wire.pack_batch([Entry(index, term, 1, None, None, b"")], ())
    before = Position(term, index - 1) if index > 1 else Position(0, 0)
    return Append(term, before, (batch,), 0, 0, 0, 1, index, None)


def test_what_a_snapshot_replaced_is_not_taken_for_stored() -> None:
    """Twenty entries of a leader that was cut off are on the disk. What its successor committed is
    less, and comes as a snapshot: the entries behind that are others, and not on the disk yet."""
    follower = replica("b", volatile=False)

    def say(id: str, message: Message) -> Output:
        sender = Origin(id, f"birth-{id}")
        return follower.receive(Envelope(sender, 1, EPOCH, "b", "birth-b", 1, message), 1_000)

    def matched(output: Output) -> list[int | None]:
        return [each.message.matched for each in output.send if type(each.message) is AppendAnswer]

    for index in range(1, 21):
        say("a", one(index, term=1))
    assert matched(follower.hear(Stored(1, 20), 1_000)) == [20]
    base = Base(Position(2, 12), 1, (), MEMBERS)
    say("c", Append(2, base.position, (), 12, 12, 0, 1, 21, None))
    assert follower.taking.under_way
    say("c", SnapshotPiece(1, 0, base, b"all of it", True))
    assert follower.hear(Restored(1, True), 1_000).install is not None
    assert follower.state.stored == 12
    assert matched(say("c", one(13, term=2)._replace(since=12))) == [12]
    assert matched(follower.hear(Stored(2, 13), 1_000)) == [13]


# -- who is let in


def test_a_leader_that_takes_itself_out_lets_in_nothing_more_of_its_own() -> None:
    """Its place in the vector is given up with its seat: what it writes afterwards has none. It
    hears that nobody will tell it what became of that."""
    trio = at_rest()
    for _ in range(3):
        trio.write("a")
    trio.put_out("a", trio["a"].change(lambda changing: changing.remove("a", trio.now), trio.now))
    late = trio.write("a", b"late")
    trio.run(2_000)
    assert trio["a"].state.removed
    assert trio.settled == [(late, Settled.UNKNOWN)]
    log = trio["b"].state.log
    assert b"late" not in [entry.operation for entry in log.entries(0, log.last.index)]


# -- what waits for more


def test_what_waits_for_more_is_due_within_the_time_of_gathering() -> None:
    trio = at_rest()
    assert not gathers(trio["b"], trio.now)
    trio.write("b", b"first")
    trio.put_out("b", trio["b"].tick(trio.now))
    assert not gathers(trio["b"], trio.now), "a lone one waits for nobody"
    trio.write("b", b"second")
    trio.put_out("b", trio["b"].tick(trio.now))
    assert gathers(trio["b"], trio.now), "one is under way"
    later = trio.now + GATHER_MS
    trio.put_out("b", trio["b"].tick(later))
    assert not gathers(trio["b"], later)


def test_what_waits_for_a_leader_waits_for_its_word_and_not_for_a_time() -> None:
    """Asked for every two milliseconds, as long as nobody leads, the core would do nothing else.
    What waits goes with the first word of whoever leads."""
    trio = at_rest()
    trio.deaf = {"b"}
    trio.write("b", b"first")
    trio.end_turn()
    trio.write("b", b"second")
    assert gathers(trio["b"], trio.now)
    silent_since = trio["b"].following.leader_heard
    assert silent_since is not None
    assert not gathers(trio["b"], silent_since + TIMING.election_timeout_ms), "it hears no leader"
    trio.run(2 * TIMING.election_timeout_ms)
    assert trio["b"].state.leader is None
    assert not gathers(trio["b"], trio.now), "and knows of none"
    trio.deaf.clear()
    trio.run(1_000)
    forwarded = [message for id, message in trio.sent if id == "b" and type(message) is Forward]
    assert {p.operation for message in forwarded for p in message.operations} == {
        b"first",
        b"second",
    }
    assert not trio["b"].forwarding.waiting


def test_who_is_out_waits_for_nothing_more() -> None:
    """What it had not sent yet when it heard so is given up, and not gathered for ever."""
    trio = at_rest()
    trio.put_out("a", trio["a"].change(lambda changing: changing.remove("b", trio.now), trio.now))
    trio.end_turn()
    trio.now += STEP_MS
    trio.write("b", b"first")
    trio.put_out("b", trio["b"].tick(trio.now))
    late = trio.write("b", b"late")
    assert gathers(trio["b"], trio.now)
    trio.end_turn()
    assert trio["b"].state.removed
    assert (late, Settled.UNKNOWN) in trio.settled
    trio.end_turn()
    assert rests(trio["b"], trio.now), "else its shell would ask it again, turn after turn"
    assert not gathers(trio["b"], trio.now)


# -- who is told how far is committed


def said_to(trio: Trio, by: str, kind: type) -> int:
    """How many messages of a kind one of them has sent since `sent` was cleared."""
    return sum(id == by and type(message) is kind for id, message in trio.sent)


def test_who_waits_for_nothing_hears_of_a_commit_with_the_next_append() -> None:
    trio = at_rest()
    trio.sent.clear()
    trio.write("a", MUCH)
    trio.end_turn()
    assert rests(trio["a"], trio.now), "a tick in this moment would change nothing"
    trio.end_turn()
    assert trio["a"].state.applied == 2, "a majority has it"
    assert trio["b"].state.applied == 1
    assert gathers(trio["a"], trio.now), "a tick is due soon"
    trio.write("a", MUCH)
    trio.now += GATHER_MS - 1
    trio.end_turn()
    assert trio["b"].state.applied == trio["c"].state.applied == 2
    assert said_to(trio, "a", Append) == 4
    assert said_to(trio, "a", Progress) == 0


def test_nobody_waits_longer_than_others_gather() -> None:
    trio = at_rest()
    trio.sent.clear()
    trio.write("a", MUCH)
    trio.end_turn()
    trio.end_turn()
    trio.now += GATHER_MS
    trio.end_turn()
    assert trio["b"].state.applied == trio["c"].state.applied == 2
    assert said_to(trio, "a", Progress) == 2
    assert not gathers(trio["a"], trio.now)


def test_whose_clients_wait_hears_of_it_at_once() -> None:
    trio = at_rest()
    trio.sent.clear()
    trio.write("b")
    for _ in range(3):  # it is forwarded; put in order and held; told of
        trio.end_turn()
    assert trio["b"].state.applied == 2
    assert trio["c"].state.applied == 1
    assert said_to(trio, "a", Progress) == 1


def test_who_forwarded_to_the_leader_before_hears_from_the_next_at_once() -> None:
    trio = at_rest()
    trio.write("c")
    for _ in range(2):  # it is forwarded, and put in order
        trio.end_turn()
    trio.deaf = {"a"}
    trio.sent.clear()
    for _ in range(200):
        trio.now += STEP_MS
        trio.end_turn()
        if trio["b"].leads and trio["b"].leading is not None and trio["b"].leading.may_read:
            break
    assert trio["b"].leads
    trio.end_turn()  # without any time in between
    assert not trio["c"].forwarding.waiting
