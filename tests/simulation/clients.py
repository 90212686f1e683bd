"""Clients of a simulated cluster: they ask, are refused, change nodes, ask again, and write down
exactly what they were told.

Each is a session of its own that has one request under way. What it was told is judged afterwards
by `histories` and `linearizability`; nothing here decides whether an answer was right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import msgpack

from peers.core.outcomes import Ack, NodeStatus, Settled
from peers.core.output import Barrier
from peers.errors import RefusedError
from tests.simulation.histories import Did, Increment, Observation, Outcome
from tests.simulation.linearizability import Call, Kind
from tests.simulation.node import Node
from tests.simulation.world import World
from tlru.engine.machine import Result
from tlru.engine.operations import Delete, Incr, Once, Operation, Set, encode

KEYS = ("k0", "k1", "k2")
MORTAL = ("t0", "t1", "t2", "t3")  # keys whose items end
COUNTERS = ("n0", "n1")
TIMEOUT_MS = 2_000
TRIES = 12  # of a named write whose outcome is not known

Then = Callable[[Result | None, Settled | None, int], None]


class Client:
    """One session."""

    def __init__(self, world: World, name: str, seed: int, records: Records) -> None:
        self.world = world
        self.name = name
        self.random = Random(seed)
        self.records = records
        self.number = 0
        self.pos = 0
        self.time = 0
        self.named = 0
        self.busy = False
        self.stopped = False
        self.node = self.random.choice(sorted(world.nodes))
        self._next(0)

    # -- the loop

    def _next(self, now: int) -> None:
        self.busy = False
        self.world.after(self.random.randint(1, 120), self._act)

    def _act(self, now: int) -> None:
        if self.stopped:
            return
        node = self.world.nodes[self.node]
        if not node.up or now < node.paused_until or node.status(now) is not NodeStatus.ACTIVE:
            self._move()
            self.world.after(self.random.randint(20, 200), self._act)
            return
        self.busy = True
        self.number += 1
        acts = [self._linear_get] * 3 + [self._local_get] * 3 + [self._set] * 4
        acts += [self._add, self._delete, self._incr, self._incr, self._set_mortal]
        self.random.choice(acts)(node, now)

    def _move(self) -> None:
        self.node = self.random.choice(sorted(self.world.nodes))
        self.records.counts["client moves"] += 1

    # -- reads

    def _local_get(self, node: Node, now: int) -> None:
        if node.machine.index < self.pos:
            self._move()  # as the node would refuse after a while
            self._next(now)
            return
        key = self.random.choice(KEYS + MORTAL)
        at = max(node.cluster_ms(now), self.time)
        item = node.machine.read(key, at)
        version = 0 if item is None else item.version
        pos = node.machine.index
        seen = Observation(Did.READ, key, version, pos, "e", self.pos)
        self.records.observe(self.name, seen)
        self.pos, self.time = max(self.pos, pos), at
        self._next(now)

    def _linear_get(self, node: Node, now: int) -> None:
        key = self.random.choice(KEYS)
        number, life, invoked = self.number, node.life, now

        def on_barrier(barrier: Barrier) -> None:
            if barrier.index is None or not node.up or node.life != life:
                self._give_up(number)
                return
            self._when_there(node, life, barrier, key, invoked, number)

        self._watch(number)
        node.barrier(on_barrier, now)

    def _when_there(
        self, node: Node, life: int, barrier: Barrier, key: str, invoked: int, number: int
    ) -> None:
        if self.number != number or not self.busy:
            return
        if not node.up or node.life != life:
            self._give_up(number)
            return
        assert barrier.index is not None
        if node.machine.index < barrier.index:
            self.world.after(
                5, lambda _: self._when_there(node, life, barrier, key, invoked, number)
            )
            return
        item = node.machine.read(key, max(barrier.time, self.time))
        value = None if item is None else msgpack.unpackb(item.value)
        now = self.world.now
        self._record(Kind.GET, key, None, invoked, now, Outcome.DONE, value)
        version = 0 if item is None else item.version
        seen = Observation(Did.READ, key, version, node.machine.index, "e", 0)
        self.records.observe(self.name, seen)
        self.pos = max(self.pos, node.machine.index)
        self.records.counts["linear reads"] += 1
        self._next(now)

    # -- writes

    def _set(self, node: Node, now: int) -> None:
        key, value = self.random.choice(KEYS), f"{self.name}{self.number}"
        ack = self.random.choice([Ack.QUORUM] * 6 + [Ack.ALL, Ack.LEADER, Ack.NONE])
        operation = Set(key, msgpack.packb(value))
        self._write(node, now, operation, ack, Kind.SET, key, value, lambda result: None)

    def _set_mortal(self, node: Node, now: int) -> None:
        key, value = self.random.choice(MORTAL), f"{self.name}{self.number}"
        operation = Set(key, msgpack.packb(value), self.random.choice([50, 500, 3_000]))
        self._write(node, now, operation, Ack.QUORUM, Kind.SET, key, value, lambda result: None)

    def _add(self, node: Node, now: int) -> None:
        key, value = self.random.choice(KEYS), f"{self.name}{self.number}"
        operation = Set(key, msgpack.packb(value), condition=("absent",))

        def judge(result: Result) -> Any:
            return None if result["applied"] else msgpack.unpackb(result["value"])

        self._write(node, now, operation, Ack.QUORUM, Kind.ADD, key, value, judge)

    def _delete(self, node: Node, now: int) -> None:
        key = self.random.choice(KEYS)
        self._write(
            node,
            now,
            Delete((key,)),
            Ack.QUORUM,
            Kind.DELETE,
            key,
            None,
            lambda result: result["deleted"] == 1,
        )

    def _write(
        self,
        node: Node,
        now: int,
        operation: Operation,
        ack: Ack,
        kind: Kind,
        key: str,
        argument: str | None,
        judge: Callable[[Result], Any],
    ) -> None:
        number, invoked = self.number, now
        recorded = False

        def record(outcome: Outcome, result: Any = None) -> None:
            nonlocal recorded
            if not recorded:
                recorded = True
                self._record(kind, key, argument, invoked, self.world.now, outcome, result)

        def then(result: Result | None, settled: Settled | None, at: int) -> None:
            if settled is Settled.APPENDED:
                record(Outcome.UNKNOWN)
                self._finish(number)
            elif settled is Settled.HELD_BY_ALL:
                self._finish(number)
            elif result is not None:
                if "error" in result:
                    record(Outcome.NOT_DONE)
                else:
                    record(Outcome.DONE, judge(result))
                    if kind is Kind.SET and self.number == number:
                        self._saw_own_write(key, result["version"], node.machine.index)
                if ack is not Ack.ALL:
                    self._finish(number)

        try:
            until = node.cluster_ms(now) + TIMEOUT_MS
            node.propose(encode(operation), until, ack, then, now)
        except RefusedError:
            self.records.counts["writes refused"] += 1
            record(Outcome.NOT_DONE)
            self._give_up(number)
            return
        if ack is Ack.NONE:
            record(Outcome.UNKNOWN)
            self._finish(number)
            return
        self._watch(number, lambda: record(Outcome.UNKNOWN))

    def _saw_own_write(self, key: str, version: int, pos: int) -> None:
        self.records.observe(self.name, Observation(Did.WROTE, key, version, pos, "e"))
        self.pos = max(self.pos, version)

    # -- named writes, repeated until they are known

    def _incr(self, node: Node, now: int) -> None:
        counter = self.random.choice(COUNTERS)
        self.named += 1
        once = Once(self.name, self.named, node.cluster_ms(now))
        self._try_incr(counter, once, TRIES, now)

    def _try_incr(self, counter: str, once: Once, tries: int, now: int) -> None:
        number = self.number
        if not tries:
            self.records.increments.append((counter, Increment(1, Outcome.UNKNOWN)))
            self._finish(number)
            return
        node = self.world.nodes[self.node]
        answered = False

        def again(after_ms: int) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            self._move()
            self.world.after(after_ms, lambda at: self._try_incr(counter, once, tries - 1, at))

        def then(result: Result | None, settled: Settled | None, at: int) -> None:
            nonlocal answered
            if result is None or answered:
                return
            if "error" in result:
                self.records.counts[f"incr {result['error']}"] += 1
                again(self.random.randint(10, 300))
                return
            answered = True
            value = msgpack.unpackb(result["value"])
            self.records.increments.append((counter, Increment(1, Outcome.DONE, value)))
            self._finish(number)

        if not node.up or node.status(now) is not NodeStatus.ACTIVE:
            again(self.random.randint(50, 500))
            return
        try:
            until = node.cluster_ms(now) + TIMEOUT_MS
            node.propose(encode(Incr(counter, 1), once), until, Ack.QUORUM, then, now)
        except RefusedError:
            again(self.random.randint(50, 500))
            return
        if tries < TRIES:
            self.records.counts["named writes repeated"] += 1
        self.world.after(TIMEOUT_MS, lambda at: again(1))

    # -- ends of a call

    def _watch(self, number: int, late: Callable[[], None] | None = None) -> None:
        def on_time(now: int) -> None:
            if self.number == number and self.busy:
                if late is not None:
                    late()
                self.records.counts["calls timed out"] += 1
                self._give_up(number)

        self.world.after(TIMEOUT_MS, on_time)

    def _give_up(self, number: int) -> None:
        if self.number == number and self.busy:
            self._move()
            self._next(self.world.now)

    def _finish(self, number: int) -> None:
        if self.number == number and self.busy:
            self._next(self.world.now)

    def _record(
        self,
        kind: Kind,
        key: str,
        argument: str | None,
        invoked: int,
        returned: int,
        outcome: Outcome,
        result: Any,
    ) -> None:
        done = returned if outcome is Outcome.DONE else None
        call = Call(self.name, self.number, kind, key, argument, invoked, done, outcome, result)
        self.records.calls.append(call)


class Records:
    """All that clients were told."""

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self.calls: list[Call] = []
        self.observations: dict[str, list[Observation]] = {}
        self.increments: list[tuple[str, Increment]] = []

    def observe(self, session: str, seen: Observation) -> None:
        """A session saw something."""
        self.observations.setdefault(session, []).append(seen)
