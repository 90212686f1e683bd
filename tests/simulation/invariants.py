"""What must hold after every step, judged only by what nodes put out.

Each check has the number that it has in docs/replication.md. A breach raises `Broken` with a
sentence; the run prints its seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from peers.core.base import Base
from peers.core.entry import Dot, Entry, Epoch, Origin, Position
from peers.core.membership import Membership
from peers.core.messages import Append, Envelope, VoteAnswer
from peers.core.outcomes import NodeStatus, Settled
from peers.core.output import Entrance, Output, Promise
from tests.simulation.ledger import Ledger
from tests.simulation.node import Node
from tests.simulation.observer import Observer
from tlru.engine.machine import Applied, Machine

LATE_MS = 5_000  # no message is under way for longer
DRIFT_MS = 2  # of two clocks between two words, and what rounding adds
# A leader goes on from the highest that its voters read, who may be behind by their error: a lease,
# and the time that a word was on the slowest link, there and back.
BACK_MS = 4_500
SILENCE_MS = 2_000  # four election timeouts of the simulated clusters


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"invariant {number}: {what}")
        self.number = number


class Invariants(Observer):
    """Watches a whole cluster."""

    def __init__(
        self, counts: Counter[str], nodes: Mapping[str, Node], membership: Membership
    ) -> None:
        self.counts = counts
        self.nodes = nodes
        self.membership = membership  # the newest that is committed
        self.memberships = [(0, membership)]
        self.votes: dict[tuple[Origin, Epoch, int], str] = {}  # (voter, epoch, term) -> for whom
        self.leaders: dict[tuple[Epoch, int], str] = {}  # of a term
        self.committed: list[Entry] = []  # whatever any node has applied, in order
        self.truth = Machine()  # to which every entry is applied as soon as any node has
        self.digests = [self.truth.digest()]  # of it, by index
        self.ledger = Ledger()
        self.dots: dict[Dot, int] = {}
        self.spread = 0  # how often a corrupt state was given to another, or kept over a start
        self.corruptions = 0  # that were done; a snapshot of one may be taken before it is found
        self.leaps = 0  # of clocks: the time may be wrong for as long as nobody has said so
        self.read_at_most = 0  # of the cluster time, by nodes that serve
        self.sequences: dict[tuple[Origin, int], int] = {}
        self.incarnations: dict[Origin, int] = {}
        self.promises: dict[Origin, Promise] = {}
        self.applied_to: dict[tuple[str, int], int] = {}  # (node, life) -> index

    # 1. At most one leader in a term; 3. it has all that was committed.

    def sent(self, node: Node, envelope: Envelope) -> None:
        """Appends are a leader's alone."""
        message = envelope.message
        if isinstance(message, VoteAnswer) and message.granted:
            self.granted(node, envelope, message)
        if not isinstance(message, Append):
            return
        term = message.term
        leader = self.leaders.get((envelope.epoch, term))
        if leader is None:
            self.leaders[envelope.epoch, term] = node.id
            self.counts["elections"] += 1
            self._has_all_committed(node, term)
        elif leader != node.id:
            raise Broken(1, f"{leader} and {node.id} both lead in term {term}")

    def _has_all_committed(self, node: Node, term: int) -> None:
        entries = [entry for batch in node.disk.batches for entry in batch.entries]
        begins = node.disk.base.position.index
        if begins > len(self.committed):
            raise Broken(3, f"{node.id} leads with a log that begins behind what is committed")
        for number, entry in enumerate(self.committed[begins:]):
            held = entries[number] if number < len(entries) else None
            if held != entry:
                raise Broken(
                    3, f"{node.id} leads in term {term} without entry {entry.index}: {held}"
                )

    # A node keeps its word.

    def kept(self, node: Node, output: Output) -> None:
        """Promises only go forward, and a vote is not changed."""
        promise = output.promise
        if promise is None:
            return
        before = self.promises.get(node.origin)
        self.promises[node.origin] = promise
        if before is None or promise.incarnation != before.incarnation:
            return
        if promise.term < before.term:
            raise Broken(1, f"{node.id} went back from term {before.term} to {promise.term}")
        if promise.term == before.term and before.vote not in (None, promise.vote):
            raise Broken(1, f"{node.id} voted twice in term {promise.term}")

    # 2., 4. and 6. The same entries, states and dots everywhere, and the same comes of them.

    def put_out(self, node: Node, entry: Entry, applied: Applied) -> None:
        """An entry has the same answers and events wherever it is applied."""
        if self.committed[entry.index - 1 : entry.index] not in ([], [entry]):
            return  # another entry, as `applied` will say
        if (what := self.ledger.differs(entry, applied)) is not None:
            raise Broken(4, f"at {node.id} {what}")

    def applied(self, node: Node, entries: tuple[Entry, ...], machine: Machine) -> None:
        """Everybody applies the same entries in the same order."""
        for entry in entries:
            self._follows(node, entry)
            if entry.index <= len(self.committed):
                known = self.committed[entry.index - 1]
                if known != entry:
                    raise Broken(2, f"{node.id} applied {entry}, where others applied {known}")
            else:
                self._new(node, entry)
        if not node.corrupted and machine.digest() != self.digests[machine.index]:
            raise Broken(4, f"at {machine.index} {node.id}'s digest is not that of the log")

    def started(self, node: Node) -> None:
        """It goes on where its disk has its state."""
        self.applied_to[node.id, node.life] = node.machine.index
        self._took_over(node)

    def installed(self, node: Node, base: Base, machine: Machine) -> None:
        """A snapshot is the state that everybody has at its index, and of what is committed."""
        index = base.position.index
        if machine.index != index or index > len(self.committed):
            raise Broken(2, f"{node.id} installs {machine.index} as {index}")
        if self.committed[index - 1].term != base.position.term:
            raise Broken(2, f"{node.id} installs {base.position}, which is another's entry")
        if tuple(machine.vector.places()) != base.vector:
            raise Broken(6, f"{node.id} installs {index} with the vector of another index")
        self.applied_to[node.id, node.life] = index
        self.counts["snapshots installed"] += 1
        self._took_over(node)

    def copied(self, node: Node) -> None:
        """Count it."""
        self.counts["copies found"] += 1

    def entered(self, node: Node, entrance: Entrance) -> None:
        """Who lets another's log take the place of its own is to have it before it counts."""
        self.counts["epochs entered"] += 1

    def _took_over(self, node: Node) -> None:
        """Nobody knows at once whether a state that was taken from elsewhere is a healthy one."""
        machine = node.machine
        node.corrupted = machine.digest() != self.digests[machine.index]
        self.spread += node.corrupted
        if node.corrupted and not self.corruptions:
            raise Broken(4, f"{node.id} takes up a state at {machine.index} that is not the log's")

    def _follows(self, node: Node, entry: Entry) -> None:
        life = (node.id, node.life)
        if entry.index != self.applied_to.get(life, 0) + 1:
            raise Broken(2, f"{node.id} applied {entry.index} after {self.applied_to.get(life)}")
        self.applied_to[life] = entry.index

    def _new(self, node: Node, entry: Entry) -> None:
        assert entry.index == len(self.committed) + 1
        if self.committed and entry.at < self.committed[-1].at:
            raise Broken(9, f"time went back at {entry.index}: {self.committed[-1].at}, {entry.at}")
        self._is_held(node, entry)
        self.committed.append(entry)
        self.truth.apply([entry])
        self.digests.append(self.truth.digest())
        if entry.membership is not None:
            self._changes(entry.index, entry.membership)
        self.counts["entries"] += 1
        if entry.dot is not None:
            self._new_dot(entry.dot, entry.index)

    # 11. Only who is in touch with a majority serves.

    def looked(self, node: Node, now: int) -> None:
        """Who heard nothing at all for much longer than a lease must know it."""
        self._keeps_time(node, now)
        self._keeps_bounds(node)
        inconsistent = node.status(now) is NodeStatus.INCONSISTENT
        if inconsistent and not node.corrupted and not self.spread:
            raise Broken(4, f"{node.id} has the state of the log, and is said to be inconsistent")
        silent = now - node.heard_at > SILENCE_MS
        alone = node.replica.state.membership.voters == (node.id,)
        if silent and not alone and node.status(now) is NodeStatus.ACTIVE:
            raise Broken(11, f"{node.id} is active, and heard nothing for {SILENCE_MS} ms")

    # 12. No more is kept than may be.

    @staticmethod
    def _keeps_bounds(node: Node) -> None:
        replica = node.replica
        state, bounds = replica.state, replica.state.bounds
        kept = state.applied - state.log.base.position.index
        if kept > bounds.window_entries and replica.giving.pinned is None:
            raise Broken(12, f"{node.id} keeps {kept} entries")
        if replica.forwarding.waiting > bounds.pending:
            raise Broken(12, f"{node.id} lets {replica.forwarding.waiting} operations wait")

    # 9. Nobody serves what is over by more than the error that it states.

    def _keeps_time(self, node: Node, now: int) -> None:
        state = node.replica.state
        if node.status(now) is NodeStatus.ACTIVE and not self.leaps:
            read = node.cluster_ms(now)
            if node.replica.leads and read < self.read_at_most - BACK_MS:
                raise Broken(9, f"{node.id} leads at {read}, and {self.read_at_most} was read")
            self.read_at_most = max(self.read_at_most, read)
        leader = None if state.leader is None else self.nodes[state.leader]
        if leader is None or not leader.up or now < leader.paused_until or leader.leapt:
            return
        if node.replica.following.refuses:
            return  # it does not believe the leader's time, and judges by its own
        if not leader.replica.leads or leader.replica.state.term != state.term:
            return
        behind = leader.running_ms(now) - node.cluster_ms(now)
        error = node.clock_error(now)
        if node.status(now) is NodeStatus.ACTIVE and behind > error + DRIFT_MS:
            raise Broken(9, f"{node.id} is {behind} ms behind, and says {error} ms at most")

    def granted(self, node: Node, envelope: Envelope, answer: VoteAnswer) -> None:
        """A voter gives its vote once a term, also over a crash."""
        vote = (node.origin, envelope.epoch, answer.term)
        given = self.votes.setdefault(vote, envelope.to)
        if given != envelope.to:
            raise Broken(1, f"{node.id} voted for {given} and {envelope.to} in term {answer.term}")

    # 5. What is committed is on the disks of a majority, and what all hold on all of them.

    def _is_held(self, node: Node, entry: Entry) -> None:
        held, impaired = self._holders(entry.index, self.membership)
        in_force = (self.membership, node.replica.state.membership)
        # An acknowledgement may be older than the loss of what was acknowledged, but not for long.
        lost = {
            id for id in impaired - held if node.now - (self.nodes[id].disk.lost_at or 0) < LATE_MS
        }
        if not any(membership.is_majority(held | lost) for membership in in_force):
            raise Broken(5, f"{node.id} applied {entry.index}, which only {sorted(held)} hold")

    def _holders(self, index: int, membership: Membership) -> tuple[set[str], set[str]]:
        """Who has it on its disk; and who is without what it promised, or wholly gone."""
        nodes = self.nodes.values()
        held = {n.id for n in nodes if n.disk.synced_index() >= index and membership.has(n.origin)}
        return held, {n.id for n in nodes if n.impaired or not membership.has(n.origin)}

    def settled(self, node: Node, dot: Dot, settled: Settled) -> None:
        """Who is told that all hold it, must be able to rely on it."""
        if settled is Settled.HELD_BY_ALL:
            index = self.dots[dot]
            then = next(m for since, m in reversed(self.memberships) if since <= index)
            held, impaired = self._holders(index, then)
            # Who leads goes by the list in its log, which need not be committed yet.
            leading = [each for each in self.nodes.values() if each.up and each.replica.leads]
            lists = [self.membership, *(each.replica.state.membership for each in leading)]
            voters = set(then.voters).intersection(*(each.voters for each in lists))
            if missing := voters - held - impaired:
                raise Broken(5, f"{node.id} says that all hold {index}; {sorted(missing)} do not")
            self.counts["acknowledged by all"] += 1

    def _changes(self, index: int, membership: Membership) -> None:
        """One at a time: a majority of the one before and one of this share a voter."""
        changed = self.membership.origins() ^ membership.origins()
        if len(changed) > 1:
            raise Broken(3, f"at {index} {sorted(changed)} come and go at once")
        self.membership = membership
        self.memberships.append((index, membership))
        self.counts["changes of the members"] += 1

    def _new_dot(self, dot: Dot, index: int) -> None:
        if dot in self.dots:
            raise Broken(6, f"{dot} stands at {self.dots[dot]} and at {index}")
        self.dots[dot] = index
        life = (dot.origin, dot.incarnation)
        if dot.sequence != self.sequences.get(life, 0) + 1:
            raise Broken(6, f"{dot} follows {self.sequences.get(life, 0)}")
        self.sequences[life] = dot.sequence
        if dot.incarnation < self.incarnations.get(dot.origin, 0):
            raise Broken(6, f"{dot} is of a life that another has shut")
        self.incarnations[dot.origin] = dot.incarnation

    @property
    def last(self) -> Position:
        """The end of what was committed."""
        if not self.committed:
            return Position(0, 0)
        return Position(self.committed[-1].term, self.committed[-1].index)
