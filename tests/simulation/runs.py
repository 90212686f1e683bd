"""A run: a cluster, clients and faults from one seed; then peace, and the judgement.

In the first phase faults come and go, and safety is judged after every step. In the second they
have ended: the cluster must come to one leader, the one of the highest priority, with every node
active and in the same state; a run that does not says what it still waits for. Then what the
clients were told is judged.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from random import Random

import msgpack

from peers.core.outcomes import Ack, NodeStatus, Settled
from peers.core.timing import Bounds
from peers.errors import RefusedError
from tests.simulation.clients import COUNTERS, Client, Records
from tests.simulation.faults import FAULTS, heal_everything
from tests.simulation.histories import Outcome, Violation, check_counter, check_session
from tests.simulation.linearizability import check_linearizable
from tests.simulation.world import World
from tlru.engine.machine import Result
from tlru.engine.operations import Set, encode

PEACE_MS = 60_000


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
            snapshot_every=self.random.choice([None, 10, 60]),
            trace=trace,
        )
        self.records = Records(self.world.counts)
        self.faults = faults
        self.seconds = seconds
        self.clients: list[Client] = []

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
        world = self.world
        world.run(3_000)
        for number in range(4):
            seed = self.random.getrandbits(32)
            self.clients.append(Client(world, f"c{number}", seed, self.records))
        end = world.now + int(self.seconds * 1_000)
        while world.now < end:
            world.run(self.random.randint(50, 1_500))
            self._harm()
        heal_everything(world)
        for client in self.clients:
            client.stopped = True
        self._say_last_word(world.now)
        self._come_to_rest()
        self._judge()

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
                leader.propose(encode(Set("peace", b"\x01")), None, Ack.QUORUM, then, now)
        world.after(1_000, lambda at: None if said else self._say_last_word(at))

    def _come_to_rest(self) -> None:
        if not self.world.run(PEACE_MS, lambda: not self.waits_for()):
            waits = "; ".join(self.waits_for())
            raise Broken("invariant 13", f"{PEACE_MS} ms without faults, and it waits for: {waits}")
        self.world.run(100)

    def waits_for(self) -> list[str]:
        """What is not as it should be when nothing goes wrong any more."""
        world = self.world
        waits = []
        leader = world.leader()
        first = world.membership.members[0].id  # the highest priority
        if leader is None or leader.id != first:
            waits.append(f"{first} to lead, not {leader and leader.id}")
        for node in world.nodes.values():
            if not node.up:
                waits.append(f"{node.id} to be up")
            elif (status := node.status(world.now)) is not NodeStatus.ACTIVE:
                waits.append(f"{node.id} to be active, not {status}")
            elif node.machine.index != len(world.invariants.committed):
                waits.append(
                    f"{node.id} to apply {len(world.invariants.committed)}, not "
                    f"{node.machine.index}"
                )
            elif node.machine.next_due() is not None:
                waits.append(f"{node.id} to let go of what is over")
            elif node.replica.forwarding.waiting:
                waits.append(f"{node.id} to see its own operations committed")
        if len({node.machine.digest() for node in world.nodes.values()}) > 1:
            leading = None if leader is None else leader.replica.leading
            # A state that was corrupt may have been given to others before that was found. Where
            # neither kind has a majority nobody can say which is right: that is an alarm.
            if leading is None or not leading.is_split:
                waits.append("all to have one digest")
        elif world.nodes[first].corrupted and not world.invariants.spread:
            waits.append("all to have the digest of the log")
        waits += [f"{client.name} to be answered" for client in self.clients if client.busy]
        return waits

    # -- the judgement

    def _judge(self) -> None:
        self._hold(8, check_linearizable(self.records.calls))
        for session, seen in self.records.observations.items():
            self._hold(7, check_session(session, seen))
        node = next(iter(self.world.nodes.values()))
        for counter in COUNTERS:
            item = node.machine.read(counter, node.machine.at)
            final = None if item is None else msgpack.unpackb(item.value)
            mine = [each for name, each in self.records.increments if name == counter]
            self._hold(6, check_counter(counter, mine, final))
        done = [call for call in self.records.calls if call.outcome is Outcome.DONE]
        self.counts["calls answered"] += len(done) + len(self.records.increments)
        self.counts["virtual seconds"] += self.world.now // 1_000

    @staticmethod
    def _hold(number: int, violation: Violation | None) -> None:
        if violation is not None:
            raise Broken(f"invariant {number}", str(violation))
