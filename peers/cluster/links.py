"""The owner of a cluster node's mesh: who is let in, what is heard, whom to reach.

It decides with whom there may be links at all. What is said over them is decided by the core.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol

from peers import wire
from peers.clocks import boot_ms
from peers.cluster.asking import Asking
from peers.cluster.guard import guarded
from peers.cluster.met import Met
from peers.cluster.plan import mesh_addresses
from peers.cluster.turns import Turns
from peers.core.epochs import have_common_descent
from peers.core.membership import Membership, NodeId
from peers.core.messages import Envelope, Local, Lost
from peers.core.output import Output, Promise
from peers.core.replica import Replica
from peers.core.sound import why_unsound
from peers.errors import LinkError, WireError
from peers.mesh.ends import Close, End
from peers.mesh.greeting import Greeting
from peers.mesh.mesh import Mesh
from peers.mesh.settings import Lineage
from peers.mesh.status import Complaints

logger = logging.getLogger(__name__)


class Driver(Protocol):
    """Who drives the core."""

    replica: Replica | None
    promise: Promise
    asking: Asking
    turns: Turns

    @property
    def id(self) -> NodeId:
        """Which node it is."""

    def drive(self, output: Output) -> None:
        """Carry out what comes of a message."""

    def hear(self, local: Local) -> None:
        """Tell the core what this node itself knows."""

    def is_a_copy(self) -> None:
        """Another process lives with our state directory."""

    def break_off(self, why: str) -> None:
        """This process takes no more part."""


class Links:
    """What one node's mesh asks and tells."""

    def __init__(self, driver: Driver, met: Met) -> None:
        self._driver, self._met = driver, met
        self._reached: Membership | None = None
        self._complaints = Complaints(time.monotonic)

    def lineage(self) -> Lineage:
        """Where our log belongs."""
        promise = self._driver.promise
        return Lineage(promise.epoch, promise.ancestors)

    def accept(self, greeting: Greeting) -> str | None:
        """Whether there may be a link: not with another cluster."""
        promise = self._driver.promise
        mine, theirs = promise.epoch, greeting.epoch
        if have_common_descent(mine, promise.ancestors, theirs, greeting.ancestors):
            return None
        return (
            f"{greeting.node} belongs to another cluster (epoch {theirs}, and {self._driver.id} to "
            f"{mine}); if it is to come to this one, start it with an empty state directory"
        )

    def seat_of(self, node: NodeId) -> str | None:
        """Whose name that is, as far as this node knows."""
        replica = self._driver.replica
        member = None if replica is None else replica.state.membership.get(node)
        return None if member is None else member.birth

    def on_message(self, sender: NodeId, data: bytes) -> None:
        """A peer says something."""
        driver = self._driver
        if wire.is_beside(data):
            driver.asking.hear(sender, data)
            return
        if driver.replica is None:
            return  # it will be said again
        try:
            envelope = wire.decode(data)
        except wire.UnknownKindError:
            return  # of a later release, which knows that we may not know it
        except WireError as exc:
            # It may be of a later release that allows more: no reason to have no link.
            if self._complaints.may(sender):
                logger.error("node %s: %s sent %s", driver.id, sender, exc)
            return
        if envelope.sender.id == sender and envelope.to == driver.id:
            self._receive(sender, driver.replica, envelope)

    def _receive(self, sender: NodeId, replica: Replica, envelope: Envelope) -> None:
        now = boot_ms()
        why = why_unsound(envelope, replica, now)
        if why is not None:
            said = f"{sender} sent a {type(envelope.message).__name__} that nobody can mean: {why}"
            if self._complaints.may((sender, "unsound")):
                logger.error(
                    "node %s ends its link with %s: %s; look at what runs there",
                    *(self._driver.id, sender, said),
                )
            raise LinkError(Close.PROTOCOL, said)
        output = guarded(lambda: replica.receive(envelope, now), self._driver)
        self._driver.drive(output)

    def on_turn_end(self) -> None:
        """What one peer had to say has been heard."""
        self._driver.turns.end_peers()

    def on_up(self, node: NodeId) -> None:
        """There is a link."""
        replica = self._driver.replica
        if self._met.meet(node) and replica is not None:
            for contact in self._met.contacts:
                replica.joining.may_ask(contact)
            replica.epochs.found_with(self._met.founders)

    def on_down(self, node: NodeId, end: End) -> None:
        """There is none any more. Where the other end broke it off without a word its process is no
        more, or will be heard of again at once; of all else the core finds out by silence."""
        if end.code == Close.ABNORMAL and not end.ours:
            self._driver.hear(Lost(node))
            self._driver.turns.owe()  # whoever is to stand for it does not wait for a beat
        self._driver.asking.lost(node)

    def on_copy(self, node: NodeId) -> None:
        """Somebody runs on a copy of another's state directory."""
        logger.error("two processes run with the state directory of node %s", node)

    def on_being_a_copy(self) -> None:
        """It is us."""
        self._driver.is_a_copy()

    def reach(self, mesh: Mesh, replica: Replica, *, anew: bool = False) -> None:
        """Have links with whoever belongs, as far as is known."""
        membership = replica.state.membership
        if not membership.members:
            membership = replica.joining.told
        if anew or membership is not self._reached:
            self._reached = membership
            mesh.reach({m.id: mesh_addresses(m) for m in membership.members})
