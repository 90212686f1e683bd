"""A run: a cluster, clients and faults from one seed; then peace, and the judgement.

In the first phase faults come and go, and safety is judged after every step. In the second they
have ended: the cluster must come to one leader, the one of the highest priority, with every node
active and in the same state; a run that does not says what it still waits for. Then what the
clients were told is judged.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from unittest.mock import patch

from peers.core.membership import Role
from peers.core.outcomes import Ack, NodeStatus, Settled
from peers.core.timing import Bounds
from peers.errors import RefusedError
from tests.simulation.faults import FAULTS, heal_everything
from tests.simulation.histories import Outcome
from tests.simulation.judgement import judge
from tests.simulation.node import Node
from tests.simulation.sessions import Records, Session
from tests.simulation.subscribers import Subscriber
from tests.simulation.workload import Workload
from tests.simulation.world import World
from tlru.engine import feeds, once
from tlru.engine.machine import Result
from tlru.engine.operations import Set, encode

PEACE_MS = 60_000
FSYNC_MS = (200, 1_000)  # in a quarter of the runs; in the others each write is synced


class Broken(AssertionError):
    """What clients were promised was not kept, or the cluster did not come to rest."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise


class Run:
    """One run, from its seed."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int | None = None,
        seconds: float = 10.0,
        faults: tuple[str, ...] = tuple(FAULTS),
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.random = Random(f"run {seed}")
        voters = nodes or self.random.choice([1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 7])
        self.world = World(
            seed,
            voters,
            bounds=self._bounds(),
            drift=True,
            on_the_wire=seed % 5 == 0,
            forming=seed % 4 == 2,
            snapshot_every=self.random.choice([None, 10, 60]),
            fsync_ms=FSYNC_MS[seed % 2] if (seed + seed // 4) % 4 == 0 else None,
            volatile=(seed + seed // 4) % 4 == 1,
            tells_of_links=seed % 3 != 0,
            levels=Random(f"levels {seed}").choice([(1,), (1, 2), (2,)]),
            trace=trace,
        )
        self.workload = Workload.drawn(seed)
        self.records = Records(self.world.counts, self.workload.space)
        self.faults = faults
        self.seconds = seconds
        self.clients: list[Session] = []
        self.subscribers: list[Subscriber] = []

    def _bounds(self) -> Bounds:
        """In a third of the runs every batch travels by itself: catching up takes many steps. In
        most of them so little of the log is kept that who was away needs a snapshot."""
        usual = Bounds()
        return Bounds(
            append_bytes=1 if self.seed % 3 == 1 else usual.append_bytes,
            window_entries=self.random.choice([8, 40, usual.window_entries]),
            pieces=self.random.choice([1, 3]),
        )

    @property
    def counts(self) -> Counter[str]:
        """What happened, by kind."""
        return self.world.counts

    def go(self) -> None:
        """Run it, and raise what is broken."""
        with (
            patch.object(once, "RECORDS_MAX", self.workload.once_records),
            patch.object(feeds, "LOOKS_A_STEP", self.workload.looks_a_step),
        ):
            self._begin()
            end = self.world.now + int(self.seconds * 1_000)
            while self.world.now < end:
                self.world.run(self.random.randint(50, 1_500))
                self._harm()
            heal_everything(self.world)
            for client in self.clients:
                client.stopped = True
            for subscriber in self.subscribers:
                subscriber.calm = True
            self._say_last_word(self.world.now)
            self._come_to_rest()
            self._judge()

    def _begin(self) -> None:
        """A cluster that is set as this run wants it, and all who use it."""
        world = self.world
        for node in world.nodes.values():
            node.events_kept = self.workload.events_kept
            node.desk.keep(node.events_kept)
        world.run(3_000)
        self._configure()
        self.clients = self.workload.sessions(world, self.random, self.records)
        self.subscribers = self.workload.subscribers(world, self.random)

    def _configure(self) -> None:
        settings = self.workload.settings()
        if not settings.changes:
            return
        leader = self.world.leader()
        told: list[object] = []
        if leader is not None:
            operation = encode(settings)
            leader.propose(operation, None, Ack.QUORUM, lambda *it: told.append(it), self.world.now)
        if not self.world.run(1_000, lambda: bool(told)):
            raise Broken("invariant 13", "no fault yet, and the settings are not applied")

    def _harm(self) -> None:
        name = self.random.choice(self.faults)
        self.counts[f"fault {name}"] += 1
        FAULTS[name](self.world, self.random)

    # -- peace

    def _say_last_word(self, now: int) -> None:
        """One more write, by whoever leads: with it digests are compared once more."""
        world = self.world
        leader = world.leader()
        said = False

        def then(result: Result | None, settled: Settled | None, at: int) -> None:
            nonlocal said
            said = said or result is not None

        if leader is not None and leader.status(now) is NodeStatus.ACTIVE:
            with contextlib.suppress(RefusedError):
                leader.propose(encode(Set("_tlru/peace", b"\x01")), None, Ack.QUORUM, then, now)
        world.after(1_000, lambda at: None if said else self._say_last_word(at))

    def _come_to_rest(self) -> None:
        if not self.world.run(PEACE_MS, lambda: next(self.waits_for(), None) is None):
            waits = "; ".join(self.waits_for())
            raise Broken("invariant 13", f"{PEACE_MS} ms without faults, and it waits for: {waits}")
        self.world.run(100)

    def waits_for(self) -> Iterator[str]:
        """What is not as it should be when nothing goes wrong any more."""
        world = self.world
        leader = world.leader()
        voters = [m for m in world.membership.members if m.role is Role.VOTER]
        highest = max(member.priority for member in voters)
        first = [member.id for member in voters if member.priority == highest]
        if leader is None or leader.id not in first:
            yield f"one of {first} to lead, not {leader and leader.id}"
        for node in world.nodes.values():
            if world.membership.has(node.origin):
                yield from self._node_waits_for(node)
            elif not node.up or node.status(world.now) is not NodeStatus.REMOVED:
                yield f"{node.id} to be let in, or to know that it is out"
        for member in world.membership.members:
            if member.joining:
                yield f"{member.id} to become a voter"
        yield from self._state_waits_for(leader)
        for client in self.clients:
            if client.busy:
                yield f"{client.name} to be answered"
        for subscriber in self.subscribers:
            if not subscriber.has_all():
                yield f"{subscriber.name} to be told of all"

    def _state_waits_for(self, leader: Node | None) -> Iterator[str]:
        if len({node.machine.digest() for node in self._members()}) > 1:
            leading = None if leader is None else leader.replica.leading
            # A state that was corrupt may have been given to others before that was found. Where
            # neither kind has a majority nobody can say which is right: that is an alarm.
            if leading is None or not leading.digests.is_split:
                yield "all to have one digest"
        elif leader is not None and leader.corrupted and not self.world.invariants.spread:
            yield "all to have the digest of the log"

    def _members(self) -> list[Node]:
        world = self.world
        return [node for node in world.nodes.values() if world.membership.has(node.origin)]

    def _node_waits_for(self, node: Node) -> Iterator[str]:
        machine, end = node.machine, len(self.world.invariants.committed)
        if not node.up:
            yield f"{node.id} to be up"
        elif (status := node.status(self.world.now)) is not NodeStatus.ACTIVE:
            yield f"{node.id} to be active, not {status}"
        elif machine.index != end:
            yield f"{node.id} to apply {end}, not {machine.index}"
        elif machine.next_due() is not None:
            yield f"{node.id} to let go of what is over"
        elif len(machine.locks) or machine.locks.waiting:
            yield f"{node.id} to free its locks"
        elif any(machine.over_budget()):
            yield f"{node.id} to keep its budget"
        elif node.replica.forwarding.waiting:
            yield f"{node.id} to see its own operations committed"

    # -- the judgement

    def _judge(self) -> None:
        nodes = self._members()
        for number, violation in judge(self.records, self.world, self.subscribers, nodes):
            if violation is not None:
                raise Broken(f"invariant {number}", str(violation))
        for node in nodes:
            node.machine.check()
        done = [call for call in self.records.calls if call.outcome is Outcome.DONE]
        self.counts["calls answered"] += len(done) + len(self.records.increments)
        self.counts["virtual seconds"] += self.world.now // 1_000
        events = self.world.invariants.ledger.events
        self.counts.update(f"event {event.type}" for event in events)
