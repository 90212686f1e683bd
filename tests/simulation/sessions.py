"""What every client of a simulated cluster does: it asks, is refused, changes nodes, asks again.

Each is a session of its own that has one request under way, and writes down exactly what it was
told. That is judged afterwards; nothing here decides whether an answer was right.

Where an epoch began with a loss, every node answers in another epoch than before: a client that
hears that begins a new session. `part` counts those: what is written down has the part in which it
was asked or seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from peers.core.entry import Dot
from peers.core.outcomes import Ack, NodeStatus, Settled
from peers.errors import RefusedError
from tests.simulation.histories import Did, Increment, Observation
from tests.simulation.linearizability import Call
from tests.simulation.node import Node
from tests.simulation.world import World
from tlru.engine.machine import Result
from tlru.engine.operations import Once, Operation, encode

TIMEOUT_MS = 2_000
TRIES = 12  # of a named write whose outcome is not known
ASK_AGAIN = ("timeout", "overloaded", "bad_request")  # it was not done, and may be asked again

Act = Callable[[Node, int], None]


@dataclass(frozen=True, slots=True)
class Counted:
    """A named increment of a counter, from its first try to the last answer."""

    counter: str
    increment: Increment
    asked: int  # in which part, and told:
    told: int


class Records:
    """All that clients were told. `space` stands before every key that must not be evicted."""

    def __init__(self, counts: Counter[str], space: str = "") -> None:
        self.counts = counts
        self.space = space
        self.calls: list[Call] = []
        self.observations: dict[str, list[Observation]] = {}
        self.increments: list[Counted] = []

    def observe(self, session: str, seen: Observation) -> None:
        """A session saw something."""
        self.observations.setdefault(session, []).append(seen)


class Session:
    """One session."""

    PAUSE_MS = (1, 160)  # from an answer to the next question

    def __init__(self, world: World, name: str, seed: int, records: Records) -> None:
        self.world = world
        self.name = name
        self.random = Random(seed)
        self.records = records
        self.number = 0
        self.pos = 0
        self.time = 0
        self.named = 0
        self.done: int | None = None  # results up to this number are asked for no more
        self.busy = False
        self.stopped = False
        self.node = self.random.choice(sorted(world.nodes))
        self.part = self.newest_part()
        self._next()

    def choose(self) -> Act:
        """What it does next."""
        raise NotImplementedError

    def key(self, keys: tuple[str, ...]) -> str:
        """One of some keys that are never evicted."""
        return self.records.space + self.random.choice(keys)

    # -- what lasts longer than a call

    def newest_part(self) -> int:
        """How often something that was acknowledged has been lost."""
        return len(self.world.invariants.losses)

    def begin_anew(self) -> None:
        """Another session: what was seen before means nothing in this epoch."""
        self.pos = 0

    # -- the loop

    def _next(self) -> None:
        self.busy = False
        self.world.after(self.random.randint(*self.PAUSE_MS), self._act)

    def _act(self, now: int) -> None:
        if self.stopped:
            return
        node = self.world.nodes[self.node]
        if not node.up or now < node.paused_until or node.status(now) is not NodeStatus.ACTIVE:
            self._move()
            self.world.after(self.random.randint(20, 200), self._act)
            return
        if self.part != self.newest_part():
            self.part = self.newest_part()
            self.begin_anew()
            self.records.counts["sessions begun anew"] += 1
        self.busy = True
        self.number += 1
        self.choose()(node, now)

    def _move(self) -> None:
        self.node = self.random.choice(sorted(self.world.nodes))
        self.records.counts["client moves"] += 1

    # -- reads

    def read_local(self, node: Node, key: str, now: int) -> bool:
        """Read what the node has, and whether there is an item; or move, if the node is behind."""
        if node.machine.index < self.pos:
            self._move()  # as the node would refuse after a while
            return False
        at = max(node.cluster_ms(now), self.time)
        item = node.machine.read(key, at)
        version = 0 if item is None else item.version
        pos = node.machine.index
        seen = Observation(Did.READ, key, version, pos, str(self.part), self.pos)
        self.records.observe(self.name, seen)
        self.pos, self.time = max(self.pos, pos), at
        return item is not None

    def saw_own_write(self, key: str, version: int, pos: int) -> None:
        """An answer said which version it made."""
        seen = Observation(Did.WROTE, key, version, pos, str(self.part))
        self.records.observe(self.name, seen)
        self.pos = max(self.pos, version)

    # -- writes

    def ask(
        self,
        node: Node,
        now: int,
        operation: Operation,
        told: Callable[[Result], None],
        patience_ms: int = TIMEOUT_MS,
        late: Callable[[], None] | None = None,
        once: Once | None = None,
    ) -> Dot | None:
        """Ask once; the dot of the operation. Who gets no answer in time goes on elsewhere."""
        number = self.number

        def then(result: Result | None, settled: Settled | None, at: int) -> None:
            if result is not None and self.number == number and self.busy:
                self.records.counts["calls answered"] += 1
                told(result)
                self._finish(number)

        try:
            until = node.cluster_ms(now) + TIMEOUT_MS
            dot = node.propose(encode(operation, once), until, Ack.QUORUM, then, now)
        except RefusedError:
            self.records.counts["writes refused"] += 1
            self._give_up(number)
            return None
        self._watch(number, late, patience_ms)
        return dot

    def new_name(self, node: Node, now: int) -> Once:
        """A name for the next operation."""
        self.named += 1
        return Once(self.name, self.named, node.cluster_ms(now), self.done)

    def ask_named(
        self,
        operation: Operation,
        once: Once,
        told: Callable[[Result | None], None],
        now: int,
        tries: int = TRIES,
        wait_ms: int = 0,
    ) -> None:
        """Ask until it is known what became of it, here and there; None where that is in vain."""
        number = self.number
        node = self.world.nodes[self.node]
        answered = False

        def tell(result: Result | None) -> None:
            told(result)
            self._finish(number)

        def again(after_ms: int) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            self._move()
            self.world.after(
                after_ms,
                lambda at: self.ask_named(operation, once, told, at, tries - 1, wait_ms),
            )

        def then(result: Result | None, settled: Settled | None, at: int) -> None:
            nonlocal answered
            if result is None or answered:
                return
            if "error" in result:
                self.records.counts[f"named write {result['error']}"] += 1
            if result.get("error") in ASK_AGAIN:
                again(self.random.randint(10, 300))
                return
            answered = True
            tell(None if "error" in result else result)

        if not tries:
            tell(None)
            return
        if not node.up or node.status(now) is not NodeStatus.ACTIVE:
            again(self.random.randint(50, 500))
            return
        try:
            until = node.cluster_ms(now) + TIMEOUT_MS
            node.propose(encode(operation, once), until, Ack.QUORUM, then, now)
        except RefusedError:
            again(self.random.randint(50, 500))
            return
        if tries < TRIES:
            self.records.counts["named writes repeated"] += 1
        self.world.after(TIMEOUT_MS + wait_ms, lambda at: again(1))

    # -- ends of a call

    def _watch(
        self, number: int, late: Callable[[], None] | None = None, after_ms: int = TIMEOUT_MS
    ) -> None:
        def on_time(now: int) -> None:
            if self.number == number and self.busy:
                if late is not None:
                    late()
                self.records.counts["calls timed out"] += 1
                self._give_up(number)

        self.world.after(after_ms, on_time)

    def _give_up(self, number: int) -> None:
        if self.number == number and self.busy:
            self._move()
            self._next()

    def _finish(self, number: int) -> None:
        if self.number == number and self.busy:
            self._next()
