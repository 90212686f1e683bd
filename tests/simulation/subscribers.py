"""Subscribers of a simulated cluster: they are told of changes by one node, and resume at another.

A node pushes what is behind a connection's position, in frames that take their time and come in
order while the connection lasts. The subscriber writes down what it was told; `check_feed` judges
it by what the log made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from peers.core.outcomes import NodeStatus
from tests.simulation import histories
from tests.simulation.feed import Delivery
from tests.simulation.histories import Mark, Reset
from tests.simulation.world import TICK_MS, World
from tlru.engine.events import Event, EventType

FRAME = 10  # events, about
AWAY = 100  # turns at the most for which somebody is without a connection


def belongs(event: Event, prefix: str) -> bool:
    """Whether a subscription to all keys with a prefix is told of an event."""
    if event.type is EventType.CLEAR:
        return event.key.startswith(prefix) or prefix.startswith(event.key)
    return event.key.startswith(prefix)


def as_told(event: Event) -> histories.Event:
    """An event, as the checker compares it."""
    return histories.Event(event.version, event.key, event.type.value)


class Subscriber:
    """One subscription, over many connections."""

    def __init__(
        self, world: World, name: str, prefix: str, seed: int, counts: Counter[str]
    ) -> None:
        self.world = world
        self.name, self.prefix = name, prefix
        self.random = Random(seed)
        self.counts = counts
        self.pos = 0
        # Of each part: a new one begins where something that was acknowledged has been lost.
        self.received: list[list[histories.Event | Mark | Reset]] = [[]]
        self.connection = 0
        self._arrives = 0  # the last frame; none overtakes another
        self._attach()
        self._later()

    def _attach(self) -> None:
        """Go to a node, with the position up to where all was told."""
        self.connection += 1
        self.node = self.world.nodes[self.random.choice(sorted(self.world.nodes))]
        self.life = self.node.life
        self.sent = self.pos
        self.counts["subscriptions"] += 1

    def _later(self, most: int = 8) -> None:
        # At the turns that there are anyway.
        wait = TICK_MS * self.random.randint(2, most)
        self.world.after(wait - self.world.now % TICK_MS, self._look)

    def _look(self, now: int) -> None:
        if not self._is_connected(now):
            self._attach()
        elif len(self.received) <= len(self.world.invariants.losses):
            self._begin_anew()
        elif self.random.random() < 0.03:
            self._attach()
            self._later(self.random.choice([2, AWAY]))
            return
        elif (delivery := self.node.feed.behind(self.sent, FRAME)) is None:
            upto = self.sent = self.node.feed.upto
            self._send(lambda: self._on_reset(upto))
        elif delivery.upto > self.sent:
            self.sent = delivery.upto
            self._send(lambda: self._on_delivery(delivery))
        self._later()

    def _begin_anew(self) -> None:
        """The node answers in another epoch: no position of the one before means anything there."""
        self.connection += 1
        self.received.append([])
        self.sent = self.node.feed.upto
        self._on_reset(self.sent)

    def _is_connected(self, now: int) -> bool:
        node = self.node
        if not node.up or node.life != self.life or now < node.paused_until:
            return False
        return node.status(now) is NodeStatus.ACTIVE

    def _send(self, arrive: Callable[[], None]) -> None:
        """A frame takes one turn or two; it is lost where the connection ends before."""
        connection = self.connection
        self._arrives = max(self._arrives, self.world.now + TICK_MS * self.random.randint(1, 2))

        def on_frame(now: int) -> None:
            if self.connection == connection:
                arrive()

        self.world.after(self._arrives - self.world.now, on_frame)

    def _on_delivery(self, delivery: Delivery) -> None:
        told = [as_told(event) for event in delivery.events if belongs(event, self.prefix)]
        self.received[-1] += [*told, Mark(delivery.upto)]
        self.counts["events told"] += len(told)
        self.pos = delivery.upto

    def _on_reset(self, upto: int) -> None:
        self.received[-1].append(Reset(upto))
        self.counts["feeds reset"] += 1
        self.pos = upto
