"""What may be said of the time: it does not go back, nobody runs ahead, and the error is stated.

Judged by what nodes put out; its number in docs/replication.md is 9. Which time the nodes *could*
go on from is worked out here anew, from what their disks and their wall clocks show: a wall clock
counts only where no running clock was asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from peers.core.entry import Epoch
from peers.core.messages import Envelope, Vote, VoteAnswer
from peers.core.outcomes import NodeStatus
from peers.core.output import Entrance
from tests.simulation.disk import NOTE_AGE_MS
from tests.simulation.node import Node
from tests.simulation.reference import Broken

DRIFT_MS = 2  # of two clocks between two words, and what rounding adds
DRIFTS = 2_000  # a clock is off by less than one part in so many
# A leader goes on from the highest that its voters read, who may be behind by their error: a lease,
# and the time that a word was on the slowest link, there and back.
BACK_MS = 4_500


def _found_in_log(leader: Node) -> int:
    """The time of the last entry before those that the leader has made itself."""
    leading, log = leader.replica.leading, leader.replica.state.log
    base = None if leading is None else log.base_at(leading.first - 1)
    return log.last_at if base is None else base.at


class Timekeeping:
    """Watches the time of a whole cluster."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes
        self.leaps = 0  # of clocks: the time may be wrong for as long as nobody has said so
        self._read_at_most = 0  # by nodes that serve
        self._ahead = 0  # of the world's time, the cluster's may be by so much
        self._resumed: dict[str, int] = {}  # from what each node could go on, at its last start
        self._resumed_ahead = 0  # at the most, of the world's time: what was resumed runs on
        self._with_one: set[tuple[Epoch, int]] = set()  # where somebody had
        self._offices: set[tuple[Epoch, int]] = set()  # that somebody has held
        self._lives: set[tuple[str, int]] = set()  # in which a node did
        self._ran: set[tuple[str, int]] = set()  # in which it heard the time from another
        # Who took part in the election of a term, and had no clock that ran.
        self._without: defaultdict[tuple[Epoch, int], set[str]] = defaultdict(set)

    # -- which clocks were asked

    def started(self, node: Node) -> None:
        """It goes on from what it stored, and the time of day since."""
        cluster_ms, wall_ms = node.disk.clock_pair
        since = node.clock.wall(node.now) - wall_ms if wall_ms else 0
        self._resumed[node.id] = cluster_ms + max(0, since)
        # So old a note may be.
        latest = cluster_ms + max(NOTE_AGE_MS, since)
        self._resumed_ahead = max(self._resumed_ahead, latest - node.now)

    def sent(self, node: Node, envelope: Envelope) -> None:
        """A candidate asks for votes, or is given one."""
        match envelope.message:
            case Vote(term=term):
                without = not node.replica.state.clock.runs
            case VoteAnswer(term=term, granted=True, clock=clock):
                without = clock is None
            case _:
                return
        office = (envelope.epoch, term)
        if without:
            self._without[office].add(node.id)
        else:
            self._with_one.add(office)

    def entered(self, node: Node, entrance: Entrance, given: int) -> None:
        """All voters have agreed on an epoch, and said what time they know of. Nothing is to be
        done in it before what was done up to now, `given`, though that may be lost."""
        if not entrance.leads or self.leaps:
            return
        voters = entrance.membership.voters
        self._without[entrance.promise.epoch, entrance.promise.term].update(voters)
        if entrance.promise.epoch.parent is None:
            self._founded(entrance)
        if entrance.time < given:
            raise Broken(9, f"{entrance.promise.epoch} begins at {entrance.time}, after {given}")

    def _founded(self, entrance: Entrance) -> None:
        """A new cluster's time begins at the time of day that one of its founders shows."""
        founders = [self.nodes[id] for id in entrance.membership.voters if id in self.nodes]
        latest = max(each.clock.wall(each.now) for each in founders)
        if entrance.time > latest + DRIFT_MS:
            raise Broken(9, f"a cluster begins at {entrance.time}; {latest} is the latest")
        ahead = entrance.time - min(each.now for each in founders)
        self._resumed_ahead = max(self._resumed_ahead, ahead)

    def leads(self, node: Node, time: int) -> None:
        """What a leader says of the time; with its first word, from where it has gone on."""
        state = node.replica.state
        office = (state.epoch, state.term)
        if office in self._offices or self.leaps:
            return
        self._offices.add(office)
        without = self._without[office]
        life = (node.id, node.life)
        heard = life in self._lives or life in self._ran
        if state.membership.voters == (node.id,) and not heard:
            without = {node.id}  # it asks nobody
        self._lives.add((node.id, node.life))
        at_most = max(self._at_most(node.now), _found_in_log(node))
        if state.membership.is_majority(without):
            at_most = max(at_most, node.now + self._resumed_ahead + DRIFT_MS)
            # One whose clock ran may have come first: then it goes by that.
            if office not in self._with_one and time < self._resumed[node.id]:
                least = self._resumed[node.id]
                raise Broken(9, f"{node.id} leads at {time}, and its disk knew of {least}")
        if time > at_most:
            raise Broken(9, f"{node.id} leads at {time}; it can be {at_most} at most")
        self._ahead = max(self._ahead, time - node.now)

    def _at_most(self, now: int) -> int:
        return now + self._ahead + DRIFT_MS + now // DRIFTS

    # -- what is read

    def looked(self, node: Node, now: int) -> None:
        """Nobody serves what is over by more than the error that it states."""
        state = node.replica.state
        if node.replica.leads:
            self.leads(node, node.running_ms(now))
        elif state.clock.runs:
            self._ran.add((node.id, node.life))
        if node.status(now) is NodeStatus.ACTIVE and not self.leaps:
            read = node.cluster_ms(now)
            if node.replica.leads and read < self._read_at_most - BACK_MS:
                raise Broken(9, f"{node.id} leads at {read}, and {self._read_at_most} was read")
            if read > self._at_most(now):
                raise Broken(9, f"{node.id} reads {read}, {self._at_most(now)} is the latest")
            self._read_at_most = max(self._read_at_most, read)
        leader = None if state.leader is None else self.nodes[state.leader]
        if leader is None or not leader.up or now < leader.paused_until or leader.leapt:
            return
        if node.replica.following.refuses:
            return  # it does not believe the leader's time, and judges by its own
        if not leader.replica.leads or leader.replica.state.term != state.term:
            return
        behind = leader.running_ms(now) - node.cluster_ms(now)
        error = node.clock_error(now)
        if node.status(now) is NodeStatus.ACTIVE and behind > error + DRIFT_MS:
            raise Broken(9, f"{node.id} is {behind} ms behind, and says {error} ms at most")
