"""What a simulated node shows of itself, to whoever watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers.core.base import Base
from peers.core.entry import Dot, Entry
from peers.core.messages import Envelope
from peers.core.outcomes import Settled
from peers.core.output import Entrance, Output
from tlru.engine.machine import Applied, Machine

if TYPE_CHECKING:
    from tests.simulation.node import Node


class Observer:
    """Who wants to see what a node puts out. It sees nothing else of it."""

    def sent(self, node: Node, envelope: Envelope) -> None:
        """A message leaves."""

    def applied(self, node: Node, entries: tuple[Entry, ...], machine: Machine) -> None:
        """Entries were applied."""

    def started(self, node: Node) -> None:
        """A life begins, with the state that the disk had."""

    def copied(self, node: Node) -> None:
        """It was told that another has lived on with its state directory."""

    def entered(self, node: Node, entrance: Entrance) -> None:
        """It goes on in another epoch."""

    def installed(self, node: Node, base: Base, machine: Machine) -> None:
        """A snapshot has taken the place of the state."""

    def put_out(self, node: Node, entry: Entry, applied: Applied) -> None:
        """One of them led to this."""

    def kept(self, node: Node, output: Output) -> None:
        """Something was given to the disk."""

    def settled(self, node: Node, dot: Dot, settled: Settled) -> None:
        """Somebody who waits is told what became of an operation."""
