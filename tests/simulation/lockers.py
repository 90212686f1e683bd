"""Clients that take locks: at once or in their turn, named or not, held for a while, renewed, let
go, or forgotten.

They decide nothing about whose turn it is; `judgement` takes that from the log, `check_locks`
judges it.
"""

from __future__ import annotations

from peers.core.outcomes import Ack
from peers.errors import RefusedError
from tests.simulation.node import Node
from tests.simulation.sessions import TIMEOUT_MS, Act, Records, Session
from tests.simulation.world import World
from tlru.engine.machine import Result
from tlru.engine.operations import GiveUpWait, Lock, Renew, Unlock, encode

LOCKS = ("l0", "l1")
WANTED = ("l0", "l0", "l0", "l1")
LIVES_MS = (150, 600, 2_500)
WAITS_MS = (0, 300, 1_500, 1_500)


class Locker(Session):
    """One session that takes one lock at a time."""

    PAUSE_MS = (200, 1_200)

    def __init__(self, world: World, name: str, seed: int, records: Records) -> None:
        self._hold: tuple[str, int] | None = None  # lock and fence
        self._former: tuple[str, int] | None = None
        super().__init__(world, name, seed, records)

    def choose(self) -> Act:
        if self._hold is None:
            acts = [self._take] * 9 + [self._use_former]
            return self.random.choice(acts if self._former else acts[:-1])
        return self.random.choice([self._renew, self._unlock, self._unlock, self._forget])

    def _take(self, node: Node, now: int) -> None:
        lock, wait = self.random.choice(WANTED), self.random.choice(WAITS_MS)
        operation = Lock(lock, self.random.choice(LIVES_MS), wait)

        def told(result: Result | None) -> None:
            if result is not None and result.get("held"):
                self._hold = self._former = (lock, result["fence"])
                self.records.counts["locks taken"] += 1
            elif result is not None:
                self.records.counts["locks refused"] += 1

        if self.random.random() < 0.3:
            self.ask_named(operation, self.new_name(node, now), told, now, wait_ms=wait)
            return
        life = node.life

        def give_up() -> None:
            if wait and dot is not None and node.up and node.life == life:
                self._gone(node, GiveUpWait(lock, dot.incarnation, dot.sequence))

        patience = self.random.choice([100, TIMEOUT_MS + wait]) if wait else TIMEOUT_MS
        dot = self.ask(node, now, operation, told, patience, late=give_up)

    def _gone(self, node: Node, operation: GiveUpWait) -> None:
        """The connection that waited is gone: its node says so."""
        try:
            node.propose(encode(operation), None, Ack.QUORUM, lambda *_: None, self.world.now)
        except RefusedError:
            return
        self.records.counts["waits given up"] += 1

    def _renew(self, node: Node, now: int) -> None:
        assert self._hold is not None
        lock, fence = self._hold

        def told(result: Result | None) -> None:
            if result is None or not result.get("held"):
                self._hold = None

        operation = Renew(lock, fence, self.random.choice(LIVES_MS))
        if self.random.random() < 0.3:
            self.ask_named(operation, self.new_name(node, now), told, now)
        else:
            self.ask(node, now, operation, told)

    def _unlock(self, node: Node, now: int) -> None:
        assert self._hold is not None
        operation, self._hold = Unlock(*self._hold), None
        if self.random.random() < 0.5:
            self.ask_named(operation, self.new_name(node, now), lambda result: None, now)
        else:
            self.ask(node, now, operation, lambda result: None)

    def _forget(self, node: Node, now: int) -> None:
        """Whoever holds it may be gone: the lock ends by itself."""
        self._hold = None
        self._next()

    def _use_former(self, node: Node, now: int) -> None:
        """Somebody comes back who takes himself for the holder."""
        assert self._former is not None
        lock, fence = self._former
        late = Unlock(lock, fence) if self.random.random() < 0.5 else Renew(lock, fence, 600)
        self.ask(node, now, late, lambda result: None)
