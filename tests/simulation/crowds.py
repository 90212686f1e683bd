"""Clients of a cache over its budget: many keys, of which some go all the time.

What they read is judged as a session's, over evictions: an item may be gone, and what was seen to
be gone does not come back.
"""

from __future__ import annotations

import msgpack

from tests.simulation.node import Node
from tests.simulation.sessions import Act, Session
from tlru.engine.items import is_reserved
from tlru.engine.machine import Result
from tlru.engine.operations import Delete, Operation, Set, SetMany, Settings, Touch

KEYS = tuple(f"b{number}" for number in range(14))
BUDGETS = (5, 10)


class Crowd(Session):
    """One session that uses more than there is room for."""

    PAUSE_MS = (1, 200)

    def choose(self) -> Act:
        acts: list[Act] = [*[self._get] * 4, *[self._set] * 4, *[self._set_many] * 4]
        acts += [self._save, self._save, self._touch, self._delete]
        return self._budget if self.random.random() < 0.02 else self.random.choice(acts)

    def _key(self) -> str:
        return self.random.choice(KEYS)

    def _get(self, node: Node, now: int) -> None:
        self.read_local(node, self._key(), now)
        self._next()

    def _set(self, node: Node, now: int) -> None:
        key = self._key()
        ttl = self.random.choice([None, None, None, 700])

        def told(result: Result) -> None:
            if "version" in result:
                self.saw_own_write(key, result["version"], node.machine.index)

        self.ask(node, now, Set(key, msgpack.packb(f"{self.name}{self.number}"), ttl), told)

    def _set_many(self, node: Node, now: int) -> None:
        value = msgpack.packb(f"{self.name}{self.number}")
        keys = self.random.sample(KEYS, 4)
        self._ask(node, now, SetMany(tuple((key, value, None, None, None) for key in keys)))

    def _save(self, node: Node, now: int) -> None:
        """Change the item that is the next to go: an order that names it may be under way."""
        entries = node.machine.items.store.entries
        key = next((key for key in entries if not is_reserved(key)), None) or self._key()
        self._ask(node, now, Touch(key, None))

    def _touch(self, node: Node, now: int) -> None:
        self._ask(node, now, Touch(self._key(), self.random.choice([None, 300])))

    def _delete(self, node: Node, now: int) -> None:
        self._ask(node, now, Delete((self._key(), self._key())))

    def _budget(self, node: Node, now: int) -> None:
        """The operator changes the budget."""
        self._ask(node, now, Settings((("max_entries", self.random.choice(BUDGETS)),)))

    def _ask(self, node: Node, now: int, operation: Operation) -> None:
        self.ask(node, now, operation, lambda result: None)
