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
from tests.simulation.reference import Broken, Loss, Reference
from tests.simulation.succession import Succession
from tests.simulation.timekeeping import Timekeeping
from tlru.engine.machine import Applied, Machine

__all__ = ["Broken", "Invariants"]

LATE_MS = 5_000  # no message is under way for longer
SILENCE_MS = 2_000  # four election timeouts of the simulated clusters


class Invariants(Observer):
    """Watches a whole cluster."""

    def __init__(
        self, counts: Counter[str], nodes: Mapping[str, Node], membership: Membership
    ) -> None:
        self.counts = counts
        self.nodes = nodes
        self.histories = Succession(counts, nodes, membership)
        self.time = Timekeeping(nodes)
        self.votes: dict[tuple[Origin, Epoch, int], str] = {}  # (voter, epoch, term) -> for whom
        self.leaders: dict[tuple[Epoch, int], str] = {}  # of a term
        self.spread = 0  # how often a corrupt state was given to another, or kept over a start
        self.corruptions = 0  # that were done; a snapshot of one may be taken before it is found
        self.promises: dict[Origin, Promise] = {}
        self.applied_to: dict[tuple[str, int], int] = {}  # (node, life) -> index

    # What the newest epoch's log led to.

    @property
    def committed(self) -> list[Entry]:
        """Whatever any node has applied, in order."""
        return self.histories.newest.committed

    @property
    def ledger(self) -> Ledger:
        """What came of it."""
        return self.histories.newest.ledger

    @property
    def membership(self) -> Membership:
        """Who belongs, by the newest of it that says so."""
        return self.histories.newest.membership

    @property
    def losses(self) -> list[Loss]:
        """When acknowledged entries were lost with the power, as they may be then."""
        return self.histories.losses

    # 1. At most one leader in a term; 3. it has all that was committed.

    def sent(self, node: Node, envelope: Envelope) -> None:
        """Appends are a leader's alone."""
        message = envelope.message
        self.time.sent(node, envelope)
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
            self.time.leads(node, message.time)
        elif leader != node.id:
            raise Broken(1, f"{leader} and {node.id} both lead in term {term}")

    def _has_all_committed(self, node: Node, term: int) -> None:
        entries = [entry for batch in node.disk.batches for entry in batch.entries]
        begins, committed = node.disk.base.position.index, self.histories.of(node).committed
        if committed and committed[-1].term > term:
            return  # its votes were long on the way: another leads by now, in a later term
        if begins > len(committed):
            raise Broken(3, f"{node.id} leads with a log that begins behind what is committed")
        for number, entry in enumerate(committed[begins:]):
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
        self.histories.follows(node, promise.epoch)
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
        history = self.histories.of(node)
        if history.committed[entry.index - 1 : entry.index] not in ([], [entry]):
            return  # another entry, as `applied` will say
        if (what := history.ledger.differs(entry, applied)) is not None:
            raise Broken(4, f"at {node.id} {what}")

    def applied(self, node: Node, entries: tuple[Entry, ...], machine: Machine) -> None:
        """Everybody applies the same entries in the same order."""
        history = self.histories.of(node)
        for entry in entries:
            self._follows(node, entry)
            known = history.committed[entry.index - 1 : entry.index]
            if known not in ([], [entry]):
                raise Broken(2, f"{node.id} applied {entry}, where others applied {known[0]}")
            if entry.index > history.applied:
                self._is_held(node, entry, history)
                history.applied = entry.index
            if not known:
                history.add(entry)
                self._count(entry, history)
        self._can_apply(node, history)
        if not node.corrupted and machine.digest() != history.digests[machine.index]:
            raise Broken(4, f"at {machine.index} {node.id}'s digest is not that of the log")

    def _count(self, entry: Entry, history: Reference) -> None:
        self.counts["entries"] += 1
        if entry.membership is not None:
            self.counts["changes of the members"] += 1
            self._says_what_it_can(entry.index, history)

    def started(self, node: Node) -> None:
        """It goes on where its disk has its state."""
        self.applied_to[node.id, node.life] = node.machine.index
        self.histories.started(node)
        self.time.started(node)
        self._took_over(node)

    def installed(self, node: Node, base: Base, machine: Machine) -> None:
        """A snapshot is the state that everybody has at its index, and of what is committed."""
        index, committed = base.position.index, self.histories.of(node).committed
        if machine.index != index or index > len(committed):
            raise Broken(2, f"{node.id} installs {machine.index} as {index}")
        # A leader that has just started gives the state that it began with, and the log from there.
        if (committed[index - 1].term if index else 0) != base.position.term:
            raise Broken(2, f"{node.id} installs {base.position}, which is another's entry")
        if tuple(machine.vector.places()) != base.vector:
            raise Broken(6, f"{node.id} installs {index} with the vector of another index")
        self.applied_to[node.id, node.life] = index
        self.counts["snapshots installed"] += 1
        self._can_apply(node, self.histories.of(node))
        self._took_over(node)

    def copied(self, node: Node) -> None:
        """Count it."""
        self.counts["copies found"] += 1

    def entered(self, node: Node, entrance: Entrance) -> None:
        """Who lets another's log take the place of its own is to have it before it counts."""
        self.counts["epochs entered"] += 1
        committed = self.histories.of(node).committed
        # By a person's word the older epoch may live on, and be further.
        given = committed[-1].at if committed and not self.histories.by_a_persons_word else 0
        self.time.entered(node, entrance, given)
        self.histories.entered(node, entrance)

    def _took_over(self, node: Node) -> None:
        """Nobody knows at once whether a state that was taken from elsewhere is a healthy one."""
        machine, digests = node.machine, self.histories.of(node).digests
        node.corrupted = machine.digest() != digests[machine.index]
        self.spread += node.corrupted
        if node.corrupted and not self.corruptions:
            raise Broken(4, f"{node.id} takes up a state at {machine.index} that is not the log's")

    def _follows(self, node: Node, entry: Entry) -> None:
        life = (node.id, node.life)
        if entry.index != self.applied_to.get(life, 0) + 1:
            raise Broken(2, f"{node.id} applied {entry.index} after {self.applied_to.get(life)}")
        self.applied_to[life] = entry.index

    # 11. Only who is in touch with a majority serves.

    def looked(self, node: Node, now: int) -> None:
        """Who heard nothing at all for much longer than a lease must know it."""
        self.time.looked(node, now)
        self._keeps_bounds(node)
        inconsistent = node.status(now) is NodeStatus.INCONSISTENT
        if inconsistent and not node.corrupted and not self.spread:
            raise Broken(4, f"{node.id} has the state of the log, and is said to be inconsistent")
        if node.status(now) is NodeStatus.ACTIVE:
            self._can_apply(node, self.histories.of(node))
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

    def granted(self, node: Node, envelope: Envelope, answer: VoteAnswer) -> None:
        """A voter gives its vote once a term, also over a crash."""
        vote = (node.origin, envelope.epoch, answer.term)
        given = self.votes.setdefault(vote, envelope.to)
        if given != envelope.to:
            raise Broken(1, f"{node.id} voted for {given} and {envelope.to} in term {answer.term}")

    # 5. What is committed is on the disks of a majority, and what all hold on all of them.

    def _is_held(self, node: Node, entry: Entry, history: Reference) -> None:
        held, impaired = self._holders(entry.index, history.membership)
        in_force = (history.membership, node.replica.state.membership)
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
            history = self.histories.of(node)
            index = history.dots[dot]
            then = history.membership_at(index)
            held, impaired = self._holders(index, then)
            # Who leads goes by the list in its log, which need not be committed yet.
            leading = [each for each in self.nodes.values() if each.up and each.replica.leads]
            lists = [history.membership, *(each.replica.state.membership for each in leading)]
            voters = set(then.voters).intersection(*(each.voters for each in lists))
            if missing := voters - held - impaired:
                raise Broken(5, f"{node.id} says that all hold {index}; {sorted(missing)} do not")
            self.counts["acknowledged by all"] += 1

    # 17. A feature level is in force where every member can apply it, and nobody applies a higher.

    def _says_what_it_can(self, index: int, history: Reference) -> None:
        """Whoever belongs has once said that it can apply the level; it may have been taken back to
        an earlier release since."""
        level = history.membership.level
        if level == history.membership_at(index - 1).level:
            return
        self.counts["levels raised"] += 1
        for member in history.membership.members:
            node = self.nodes[member.id]
            if node.origin == member.origin and node.stated_level < level:
                raise Broken(17, f"level {level} at {index}: {node.id} never could apply it")

    @staticmethod
    def _can_apply(node: Node, history: Reference) -> None:
        above = history.above(node.level)
        if above is not None and node.machine.index >= above:
            raise Broken(17, f"{node.id} has level {node.level}, and applied {above}")

    @property
    def last(self) -> Position:
        """The end of what was committed."""
        if not self.committed:
            return Position(0, 0)
        return Position(self.committed[-1].term, self.committed[-1].index)
