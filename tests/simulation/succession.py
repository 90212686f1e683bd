"""Which history of the log each epoch has, and whether it may have begun as it did.

An epoch goes on from the log of whoever leads it first. Usually that has all that was committed:
then the history is the same one. It may lack something only if a power cut has taken it from so
many disks that a majority of the voters does not know what it has; and then no voter may have more.
By the numbers in docs/replication.md: 5 for what was acknowledged, 14 for whose state is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from peers.core.entry import Entry, Epoch
from peers.core.membership import Membership
from peers.core.output import Entrance
from tests.simulation.node import Node
from tests.simulation.reference import Broken, Loss, Reference


class Succession:
    """The histories of a cluster, one at first."""

    def __init__(
        self, counts: Counter[str], nodes: Mapping[str, Node], membership: Membership
    ) -> None:
        self.counts = counts
        self.nodes = nodes
        self.newest = Reference(membership)
        self.losses: list[Loss] = []
        self._of_epoch: dict[Epoch, Reference] = {}
        self._of_node: dict[str, Reference] = {}  # in its present life
        self._parents: dict[str, str | None] = {}
        self.by_a_persons_word = False  # whoever opens an epoch now may leave out what it lacks

    def of(self, node: Node) -> Reference:
        """By what a node is to be judged."""
        return self._of_node[node.id]

    def started(self, node: Node) -> None:
        """A life belongs to one epoch; who has none will come to the newest."""
        self.follows(node, node.disk.promise.epoch)

    def follows(self, node: Node, epoch: Epoch) -> None:
        """It is in this epoch from now on: a newcomer that has nothing yet may come to another."""
        self._of_node[node.id] = self._of_epoch.get(epoch, self.newest)

    def entered(self, node: Node, entrance: Entrance) -> None:
        """A node goes on in another epoch, its replica still being the one of the epoch before."""
        epoch, before = entrance.promise.epoch, node.replica.state.epoch
        if entrance.leads:
            if epoch.random in self._parents:
                raise Broken(14, f"{epoch} begins twice")
            self._parents[epoch.random] = epoch.parent
            self._begins(node, entrance)
        if not before.is_none and before.random not in self._ancestors(epoch):
            raise Broken(14, f"{node.id} leaves {before} for {epoch}, which did not come from it")

    def _ancestors(self, epoch: Epoch) -> set[str]:
        found, parent = set[str](), epoch.parent
        while parent is not None:
            found.add(parent)
            parent = self._parents.get(parent)
        return found

    # -- how one begins

    def _begins(self, node: Node, entrance: Entrance) -> None:
        epoch, before = entrance.promise.epoch, self.of(node)
        if before is not self.newest:
            raise Broken(14, f"{node.id} opens {epoch} from a history that was given up")
        log = self._log(node, before)
        kept = before.shared(log)
        if not node.replica.state.epoch.is_none:
            self._of_epoch[node.replica.state.epoch] = before
        if self.by_a_persons_word:
            self.newest = before.from_log(log)  # the older one may live on beside it
        elif kept < len(before.committed):
            self._may_lose(node, entrance, before, kept)
            self.counts["histories given up"] += 1
            self.counts["committed entries lost"] += len(before.committed) - kept
            loss = Loss(node.now, before, log)
            self.losses.append(loss)
            self.newest = loss.after
            for each in self.nodes.values():
                if each.disk.promise.epoch.is_none:
                    self._of_node[each.id] = self.newest
        self._of_epoch[epoch] = self.newest
        self.newest.named = entrance.membership

    def go_on_in(self, node: Node) -> None:
        """Of two histories that live, a person has chosen this node's."""
        self.newest = self.of(node)
        for each in self.nodes.values():
            if each.disk.promise.epoch.is_none:
                self._of_node[each.id] = self.newest

    @staticmethod
    def _log(node: Node, before: Reference) -> list[Entry]:
        """All that it holds. What lies before its window was committed."""
        log = node.replica.state.log
        begins = log.base.position.index
        assert begins <= len(before.committed)
        return [*before.committed[:begins], *log.entries(begins, log.last.index)]

    def _may_lose(self, node: Node, entrance: Entrance, before: Reference, kept: int) -> None:
        what = f"{node.id} opens {entrance.promise.epoch} with {kept} of {len(before.committed)}"
        voters = [self.nodes[voter] for voter in before.membership.voters]
        without = [each for each in voters if each.impaired or not each.replica.state.counts]
        if len(without) < before.membership.majority:
            raise Broken(5, f"{what}, though most voters know what they have")
        if not any(each.disk.power_took for each in without):
            raise Broken(5, f"{what}, though no power cut took anything")
        for voter in entrance.membership.voters:
            other = self.nodes[voter].replica.state.log.last
            if other > node.replica.state.log.last:
                raise Broken(5, f"{what}, though {voter} has all up to {other}")
