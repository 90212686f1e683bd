"""Clients that carry over what a source of truth says, each write under a condition.

Some bring the source's own revision, which must not go backwards, also over a delete. Some fill
what they missed, unless it was written since (`unchanged`). And they publish messages.
"""

from __future__ import annotations

import msgpack

from tests.simulation.node import Node
from tests.simulation.sessions import Act, Records, Session
from tests.simulation.world import World
from tlru.engine.machine import Result
from tlru.engine.operations import Clear, Delete, Operation, Publish, Set

REVISED = ("r0", "r1")
FILLED = ("f0", "f1")
CHANNEL = "news"


def _nobody(result: Result) -> None:
    """What the answer says is taken from the log."""


class Source(Session):
    """One session that carries over."""

    def __init__(self, world: World, name: str, seed: int, records: Records) -> None:
        self._missed: list[tuple[str, int]] = []  # key and position of a miss
        super().__init__(world, name, seed, records)

    def choose(self) -> Act:
        acts: list[Act] = [*[self._set_revised] * 3, *[self._delete_revised] * 2]
        acts += [self._look] * 4 + [self._write_filled] + [self._delete_filled] * 3
        acts += [self._fill] * 4 if self._missed else []
        return self.random.choice([*acts, self._publish])

    def begin_anew(self) -> None:
        super().begin_anew()
        self._missed.clear()  # at positions of another log

    # -- revisions

    def _revision(self) -> int:
        """A source's revision is its time; what it says may be late."""
        late = self.random.choice([0, 0, 50, 500])
        return self.world.now - late

    def _set_revised(self, node: Node, now: int) -> None:
        value = msgpack.packb(f"{self.name}{self.number}")
        operation = Set(self.key(REVISED), value, rev=self._revision())
        self.ask(node, now, operation, _nobody)

    def _delete_revised(self, node: Node, now: int) -> None:
        rev = self._revision() if self.random.random() < 0.7 else None
        self.ask(node, now, Delete((self.key(REVISED),), rev=rev), _nobody)

    # -- fills

    def _look(self, node: Node, now: int) -> None:
        key = self.key(FILLED)
        if not self.read_local(node, key, now):
            self._missed.append((key, node.machine.index))
            del self._missed[:-6]
        self._next()

    def _fill(self, node: Node, now: int) -> None:
        key, pos = self._missed.pop(0)  # what was looked up took its time
        value = msgpack.packb(f"{self.name}{self.number}")
        operation = Set(key, value, condition=("unchanged", pos))
        self.ask(node, now, operation, self._filled)

    def _filled(self, result: Result) -> None:
        self.records.counts["fills let in" if result.get("applied") else "fills refused"] += 1

    def _write_filled(self, node: Node, now: int) -> None:
        value = msgpack.packb(f"{self.name}{self.number}")
        self.ask(node, now, Set(self.key(FILLED), value), _nobody)

    def _delete_filled(self, node: Node, now: int) -> None:
        operation: Operation = Delete((self.key(FILLED),))
        if self.random.random() < 0.2:
            operation = Clear("f")
        self.ask(node, now, operation, _nobody)

    # -- messages

    def _publish(self, node: Node, now: int) -> None:
        value = msgpack.packb(f"{self.name}{self.number}")
        operation = Publish(CHANNEL, value)
        self.ask_named(operation, self.new_name(node, now), lambda result: None, now)
