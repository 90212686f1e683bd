"""Clients that read and write single keys, and count.

What they were told is judged by `linearizability` and `histories`: keys as registers, sessions, and
counters whose named increments are repeated until their outcome is known, and now and then once
more when it was known long ago.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from peers.core.outcomes import Ack, Settled
from peers.core.output import Barrier
from peers.errors import RefusedError
from tests.simulation.histories import Did, Increment, Observation, Outcome
from tests.simulation.linearizability import Call, Kind
from tests.simulation.node import Node
from tests.simulation.sessions import TIMEOUT_MS, Act, Counted, Records, Session
from tests.simulation.world import World
from tlru.engine.machine import Result
from tlru.engine.operations import Delete, Incr, Once, Operation, Set, encode

KEYS = ("k0", "k1", "k2")
MORTAL = ("t0", "t1", "t2", "t3")  # keys whose items end
COUNTERS = ("n0", "n1")
KNOWN_MAX = 9  # named increments whose results may be asked for again


class Client(Session):
    """One session that reads, writes and counts."""

    def __init__(self, world: World, name: str, seed: int, records: Records) -> None:
        self._known: list[tuple[str, Once]] = []  # increments that were answered
        super().__init__(world, name, seed, records)

    def choose(self) -> Act:
        acts = [self._linear_get] * 5 + [self._local_get] * 3 + [self._set] * 4
        acts += [self._add, self._delete, self._incr, self._incr, self._set_mortal]
        if self._known:
            acts.append(self._repeat)
        return self.random.choice(acts)

    def begin_anew(self) -> None:
        super().begin_anew()
        self._known.clear()  # what was counted may be lost: asked for again, it would count anew

    # -- reads

    def _local_get(self, node: Node, now: int) -> None:
        self.read_local(node, self.key(KEYS + MORTAL), now)
        self._next()

    def _linear_get(self, node: Node, now: int) -> None:
        key = self.key(KEYS)
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
        seen = Observation(Did.READ, key, version, node.machine.index, str(self.part), 0)
        self.records.observe(self.name, seen)
        self.pos = max(self.pos, node.machine.index)
        self.records.counts["linear reads"] += 1
        self._next()

    # -- writes

    def _set(self, node: Node, now: int) -> None:
        key, value = self.key(KEYS), f"{self.name}{self.number}"
        ack = self.random.choice([Ack.QUORUM] * 6 + [Ack.ALL, Ack.LEADER, Ack.NONE])
        operation = Set(key, msgpack.packb(value))
        self._write(node, now, operation, ack, Kind.SET, key, value, lambda result: None)

    def _set_mortal(self, node: Node, now: int) -> None:
        key, value = self.key(MORTAL), f"{self.name}{self.number}"
        operation = Set(key, msgpack.packb(value), self.random.choice([50, 500, 3_000]))
        self._write(node, now, operation, Ack.QUORUM, Kind.SET, key, value, lambda result: None)

    def _add(self, node: Node, now: int) -> None:
        key, value = self.key(KEYS), f"{self.name}{self.number}"
        operation = Set(key, msgpack.packb(value), condition=("absent",))

        def judge(result: Result) -> Any:
            return None if result["applied"] else msgpack.unpackb(result["value"])

        self._write(node, now, operation, Ack.QUORUM, Kind.ADD, key, value, judge)

    def _delete(self, node: Node, now: int) -> None:
        key = self.key(KEYS)
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
                        self.saw_own_write(key, result["version"], node.machine.index)
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

    # -- named increments

    def _incr(self, node: Node, now: int) -> None:
        counter = self.random.choice(COUNTERS)
        once = self.new_name(node, now)
        asked = self.part

        def told(result: Result | None) -> None:
            if result is None:
                increment = Increment(1, Outcome.UNKNOWN)
            else:
                increment = Increment(1, Outcome.DONE, msgpack.unpackb(result["value"]))
                self._keep(counter, once)
            counted = Counted(counter, increment, asked, self.newest_part())
            self.records.increments.append(counted)

        self.ask_named(Incr(self.records.space + counter, 1), once, told, now)

    def _keep(self, counter: str, once: Once) -> None:
        """It may be asked for again, until the session says that it will not."""
        self._known.append((counter, once))
        if len(self._known) > KNOWN_MAX:
            self.done = self._known[2][1].n
            del self._known[:3]

    def _repeat(self, node: Node, now: int) -> None:
        """Ask anew what was answered long ago, perhaps elsewhere: it must not count again."""
        counter, once = self._known[0] if self.random.random() < 0.5 else self._known[-1]
        self.records.counts["named writes repeated late"] += 1
        self.ask(node, now, Incr(self.records.space + counter, 1), lambda result: None, once=once)

    # -- what it was told

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
