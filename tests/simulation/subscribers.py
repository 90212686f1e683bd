"""Subscribers of a simulated cluster: they follow one node, stand still, go to another, go on.

Each has a connection with one subscription, which takes only so much that is not read. What it is
told is written down as it comes, and judged in the end (`following.py`). A stream belongs to one
epoch: positions of another mean nothing, so that there another begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from peers.core.entry import Epoch
from peers.core.outcomes import NodeStatus
from tests.simulation.desk import Desk, Push
from tests.simulation.following import Began, Listed, Pushed, Reset, Told
from tests.simulation.node import Node
from tests.simulation.reference import Reference
from tests.simulation.world import TICK_MS, World
from tlru.engine.feeds import Reader, Since
from tlru.engine.patterns import Pattern

UNREAD_MAX = 3  # pushes, before a connection takes no more
AWAY = 100  # turns at the most for which somebody is without a connection, or does not read
WAIT_MS = 1_000  # for a node that is behind
SIZES = (150, 300, 2_000)  # of a push, in bytes


class Connection:
    """The way from a node to a subscriber: in order, and it takes its time."""

    def __init__(self, world: World, random: Random) -> None:
        self.stalled = False
        self.reader: Reader[Push] | None = None
        self.under_way: deque[tuple[int, Push]] = deque()
        self._world, self._random = world, random

    def deliver(self, data: Push) -> bool:
        """Take a push; whether it takes more."""
        before = self.under_way[-1][0] if self.under_way else 0
        arrives = self._world.now + TICK_MS * self._random.randint(1, 2)
        self.under_way.append((max(before, arrives), data))
        self.stalled = len(self.under_way) >= UNREAD_MAX
        return not self.stalled

    def arrived(self, most: int) -> list[Push]:
        """What has come, so many of it at the most."""
        found: list[Push] = []
        while self.under_way and self.under_way[0][0] <= self._world.now and len(found) < most:
            found.append(self.under_way.popleft()[1])
        return found


@dataclass(slots=True)
class Stream:
    """What was told in one epoch."""

    epoch: Epoch
    reference: Reference
    told: list[Told] = field(default_factory=list)


class Subscriber:
    """One subscription, over many connections."""

    def __init__(
        self,
        world: World,
        name: str,
        pattern: Pattern,
        seed: int,
        *,
        snapshot: bool = False,
        fold: bool = False,
        slow: bool = False,
    ) -> None:
        self.world, self.counts = world, world.counts
        self.name, self.pattern = name, pattern
        self.snapshot, self.fold, self.slow = snapshot, fold, slow
        self.random = Random(seed)
        self.streams: list[Stream] = []
        self.pos = 0
        self.whole = True  # it has all of its snapshot, if it asked for one
        self.node: Node | None = None
        self._desk: Desk | None = None  # of the node's present life
        self._connection = Connection(world, self.random)
        self.calm = False  # it only goes where it must
        self._still_until = 0
        self._waits_until = 0
        self._later()

    def has_all(self) -> bool:
        """Whether it was told of all that was committed."""
        newest = self.world.invariants.histories.newest
        return (
            bool(self.streams)
            and self.streams[-1].reference is newest
            and self.whole
            and self.pos >= len(newest.committed)
        )

    def _later(self, turns: int | None = None) -> None:
        # At the turns that there are anyway.
        wait = TICK_MS * (self.random.randint(1, 6) if turns is None else turns)
        self.world.after(wait - self.world.now % TICK_MS, self._look)

    def _look(self, now: int) -> None:
        self._later(self._do(now))

    def _do(self, now: int) -> int | None:
        """One look; how many turns until the next, if not as usual."""
        node = self.node
        if node is None:
            self._attach(self._some_node(), now)
            return None
        if self._is_broken(node):
            self._leave("broken")
            return None
        if self._desk is None:
            self._subscribe(node, now)
            return None
        if now < self._still_until:
            return None
        self._read()
        return self._wander(node, now)

    def _some_node(self) -> Node:
        return self.world.nodes[self.random.choice(sorted(self.world.nodes))]

    def _is_broken(self, node: Node) -> bool:
        return not node.up or (self._desk is not None and node.desk is not self._desk)

    def _wander(self, node: Node, now: int) -> int | None:
        """Now and then it goes elsewhere, or does not read for a while."""
        chance = self.random.random()
        serves = now >= node.paused_until and node.status(now) is NodeStatus.ACTIVE
        if serves and self.calm:
            return None
        if chance < (0.02 if serves else 0.2):
            self._leave("moved")
            return self.random.choice([1, 1 if self.calm else AWAY])
        if chance > 0.98:
            self.counts["subscribers that stopped reading"] += 1
            self._still_until = now + TICK_MS * self.random.randint(5, AWAY)
        return None

    def _leave(self, why: str) -> None:
        node, desk = self.node, self._desk
        if desk is not None:
            self.counts[f"subscribers {why}"] += 1
            if node is not None and node.up and node.desk is desk:
                desk.forget(self._connection)
        self.node = self._desk = None

    # -- subscribing

    def _attach(self, node: Node, now: int) -> None:
        self.node, self._waits_until = node, now + WAIT_MS
        self._subscribe(node, now)

    def _subscribe(self, node: Node, now: int) -> None:
        """From where it was, once the node has come as far; else it goes on to another."""
        epoch = node.disk.promise.epoch
        serves = node.up and now >= node.paused_until and node.status(now) is NodeStatus.ACTIVE
        known = bool(self.streams) and self.streams[-1].epoch == epoch
        ahead = known and self.pos > node.machine.index
        if not serves or (ahead and now > self._waits_until):
            self.node = None
            return
        if ahead:
            self.counts["subscribers that waited for a node"] += 1
            return
        since = None
        if self.streams and self.whole and self.random.random() > 0.05:
            since = Since(self.pos, known)
        if not known:
            reference = self.world.invariants.histories.of(node)
            self.streams.append(Stream(epoch, reference))
        self._begin(node, since)

    def _begin(self, node: Node, since: Since | None) -> None:
        connection = self._connection = Connection(self.world, self.random)
        self._desk = node.desk
        upto, resumed = node.desk.subscribe(
            connection,
            self.pattern,
            self.random.choice(SIZES),
            since=since,
            snapshot=self.snapshot,
            fold=self.fold,
        )
        self.counts["subscriptions"] += 1
        self.counts["feeds resumed"] += resumed
        known = since.pos if since is not None and since.same_epoch else None
        self._note(Began(upto, known, resumed))

    # -- what it is told

    def _read(self) -> None:
        connection, desk = self._connection, self._desk
        assert desk is not None
        for push in connection.arrived(1 if self.slow else UNREAD_MAX):
            self._note(push)
        if connection.stalled and len(connection.under_way) < UNREAD_MAX:
            self.counts["connections that took no more"] += 1
            connection.stalled = False
            desk.wake(connection)

    def _note(self, told: Told) -> None:
        self.streams[-1].told.append(told)
        match told:
            case Began(resumed=True):
                return
            case Began(since=since):
                self.whole = not self.snapshot and since is None
            case Reset():
                self.counts["feeds reset"] += 1
                self.whole = not self.snapshot
            case Listed():
                self.counts["snapshot parts told"] += 1
                self.counts["snapshots told"] += told.last
                self.whole = told.last
            case Pushed(events=events, counts=counts):
                self.counts["events told"] += len(events)
                if counts is not None:
                    self.counts["events folded away"] += sum(counts) - len(counts)
        self.pos = told.upto
