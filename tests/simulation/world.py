"""A whole cluster in one thread, on virtual time: nodes, network, disks, clocks.

Everything comes from one seed, so a run replays exactly. The world moves from one moment at which
something happens to the next; faults and clients are put on its calendar like everything else.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from peers import wire
from peers.core.entry import NO_EPOCH, Epoch
from peers.core.membership import NOBODY, Member, Membership, Role
from peers.core.messages import Envelope, Lost
from peers.core.output import Promise
from peers.core.timing import Bounds, Timing
from tests.simulation.clocks import Clock
from tests.simulation.disk import Disk
from tests.simulation.invariants import Invariants
from tests.simulation.network import Network
from tests.simulation.node import FIRST_LEVEL, Node

EPOCH = Epoch(1, "e1")
TICK_MS = 20
LINKS_THAT_TELL = 0.8  # of those with a node that has gone
TIMING = Timing(
    heartbeat_ms=50, election_timeout_ms=500, step_ms=80, settle_ms=2_000, cold_start_wait_ms=1_500
)


class World:
    """A cluster and all that is around it."""

    def __init__(
        self,
        seed: int,
        voters: int = 3,
        *,
        timing: Timing = TIMING,
        bounds: Bounds | None = None,
        drift: bool = False,
        on_the_wire: bool = True,
        snapshot_every: int | None = None,
        forming: bool = False,
        fsync_ms: int | None = None,
        volatile: bool = False,
        tells_of_links: bool = False,
        levels: Sequence[int] = (FIRST_LEVEL,),
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.random = Random(seed)
        self.now = 0
        self.counts: Counter[str] = Counter()
        self.network = Network(Random(self.random.getrandbits(32)), self.counts)
        self.trace = trace
        self.hold: Callable[[Envelope], int] | None = None  # how much longer a message takes
        self.after_sending: Callable[[Envelope], None] | None = None
        self._on_the_wire = on_the_wire  # as bytes, which takes most of a run's time
        self._snapshot_every = snapshot_every
        self.fsync_ms = fsync_ms  # so often, if not with every write
        self._volatile = volatile
        self._tells_of_links = tells_of_links  # that broke at the other end
        self._links = Random(f"links {seed}")
        self.levels = levels  # the feature levels of the releases that nodes come with
        self._releases = Random(f"releases {seed}")
        self._calendar: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = 0
        ids = [chr(ord("a") + n) for n in range(voters)]
        self._timing, self._bounds, self._drift = timing, bounds or Bounds(), drift
        self._births = 0
        founders = [Member(id, self._birth(id), 100 - 10 * n) for n, id in enumerate(ids)]
        self.nodes: dict[str, Node] = {}
        self.invariants = Invariants(self.counts, self.nodes, Membership(tuple(founders)))
        for member in founders:
            epoch, members = (NO_EPOCH, NOBODY) if forming else (EPOCH, self.membership)
            node = self._node(member, Disk(Promise(epoch, member.birth, 0, 0, None), members))
            node.founders = ids
        for node in self.nodes.values():
            node.start(0)

    @property
    def membership(self) -> Membership:
        """Who belongs, by the newest committed entry that says so."""
        return self.invariants.membership

    def _birth(self, id: str) -> str:
        self._births += 1
        return f"birth-{id}{self._births}"

    def _node(self, member: Member, disk: Disk) -> Node:
        random = self.random
        drift = random.randint(-300, 300) if self._drift else 0
        clock = Clock(random.randint(1, 1 << 30), drift)
        self.nodes[member.id] = node = Node(
            member.id,
            disk,
            clock,
            seed=random.getrandbits(32),
            pack=wire.pack_batch,
            timing=self._timing,
            bounds=self._bounds,
            member=member,
            snapshot_every=self._snapshot_every,
            send=self._send,
            schedule=self.after,
            birth=self._birth,
            observer=self.invariants,
            counts=self.counts,
        )
        node.fsync_ms = self.fsync_ms
        node.volatile = self._volatile
        node.level = self._releases.choice(self.levels)
        return node

    # -- the calendar

    def after(self, delay_ms: int, act: Callable[[int], None]) -> None:
        """Let something happen later."""
        self._number += 1
        heapq.heappush(self._calendar, (self.now + delay_ms, self._number, act))

    def run(self, ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; whether what was waited for came to be."""
        end = self.now + ms
        while self.now < end:
            if until is not None and until():
                return True
            self._step(end)
        return until is not None and until()

    def _step(self, end: int) -> None:
        moments = [end, self.now + TICK_MS - self.now % TICK_MS]
        arrives = self.network.next_at()
        if arrives is not None:
            moments.append(arrives)
        if self._calendar:
            moments.append(self._calendar[0][0])
        self.now = max(self.now, min(moments))
        self._happen()
        regular = self.now % TICK_MS == 0
        for node in self.nodes.values():
            if node.up and self.now >= node.paused_until and (regular or node.touched):
                node.tick(self.now)
                if regular:
                    node.desk.turn(self.now)
                    self.invariants.looked(node, self.now)

    def _happen(self) -> None:
        while self._calendar and self._calendar[0][0] <= self.now:
            _, _, act = heapq.heappop(self._calendar)
            act(self.now)
        for receiver, data in self.network.arrivals(self.now):
            node = self.nodes[receiver]
            if not node.up:
                continue
            if self.now < node.paused_until:
                self.network.deliver_at(node.paused_until, receiver, data)
                continue
            envelope = wire.decode(data) if self._on_the_wire else data
            if self.trace is not None:
                self.trace(f"{self.now:7} {envelope.sender.id} > {receiver} {envelope.message}")
            node.heard_at = self.now
            node.receive(envelope, self.now)

    def _send(self, node: Node, envelope: Envelope) -> None:
        self.counts["messages"] += 1
        message = wire.encode(envelope) if self._on_the_wire else envelope
        held = 0 if self.hold is None else self.hold(envelope)
        self.network.send(node.id, envelope.to, message, self.now, held)
        if self.after_sending is not None:
            self.after_sending(envelope)

    # -- looking

    def leader(self) -> Node | None:
        """Who leads, in the highest term of those who think that they do."""
        leaders = [node for node in self.nodes.values() if node.up and node.replica.leads]
        return max(leaders, key=lambda node: node.replica.state.term, default=None)

    def applied(self, node: Node) -> int:
        """How far a node has applied the log."""
        return node.machine.index

    def up(self) -> list[Node]:
        """The nodes that run."""
        return [node for node in self.nodes.values() if node.up]

    # -- who belongs

    def join(self, id: str, priority: int = 0, role: Role = Role.VOTER) -> Node:
        """A new node comes, and asks those who are there to let it in."""
        member = Member(id, self._birth(id), priority, role)
        node = self._node(member, Disk(Promise(NO_EPOCH, member.birth, 0, 0, None), NOBODY))
        node.contacts = [each.id for each in self.membership.members]
        node.start(self.now)
        self.counts["joins"] += 1
        return node

    def replace(self, id: str) -> None:
        """A node stops, and the next start finds nothing at all: another one under an old name."""
        node = self.nodes[id]
        if node.up:
            node.crash()
        node.disk.membership = self.membership  # whom it can ask is written elsewhere too
        node.begin_anew(self._birth(id))
        node.disk.lost_at = self.now
        node.level, node.stated_level = self._releases.choice(self.levels), 0
        self.counts["state directories lost"] += 1

    def impaired(self) -> set[str]:
        """The voters that are without something that they promised to keep, or wholly gone."""
        return {
            member.id
            for member in self.membership.members
            if member.role is Role.VOTER
            and (self.nodes[member.id].impaired or self.nodes[member.id].origin != member.origin)
        }

    def revive(self, by: str, *members: str) -> None:
        """A person has one node open an epoch of these members."""
        self.invariants.histories.by_a_persons_word = True
        self.nodes[by].revive(members, self.now)
        self.invariants.histories.by_a_persons_word = False
        self.counts["epochs by a person's word"] += 1

    # -- faults

    def crash(self, id: str, *, lose_log: bool = False) -> None:
        """Stop a node at once, perhaps with the loss of its log."""
        node = self.nodes[id]
        if node.up:
            self.counts.update(node.crash())
            self.counts["crashes"] += 1
            if self._tells_of_links:
                self._break_links(id)
        if lose_log:
            node.disk.lose_log(self.now)
            self.counts["logs lost"] += 1

    def _break_links(self, id: str) -> None:
        """Most of the others are told soon that a node is gone; or a moment after it is back."""
        for other in sorted(self.nodes):
            if other != id and self._links.random() < LINKS_THAT_TELL:
                self.lose_link(other, id, self._links.randint(0, 30))

    def lose_link(self, id: str, other: str, after_ms: int) -> None:
        """A node is told that its link with another broke."""
        node, life = self.nodes[id], self.nodes[id].life

        def on_time(now: int) -> None:
            if node.up and node.life == life:
                self.counts["links lost"] += 1
                node.hear(Lost(other), now)

        self.after(after_ms, on_time)

    def restart(self, id: str) -> None:
        """Start a node again, from its disk."""
        node = self.nodes[id]
        if not node.up:
            node.start(self.now)
            self.counts["restarts"] += 1

    def cut_power(self, id: str, *, all_of_it: bool = False) -> None:
        """A machine stops. What is synced with every write is all there, and known to be."""
        self.crash(id)
        node = self.nodes[id]
        if node.fsync_ms is not None:
            node.disk.lose_power(node.random, self.now, all_of_it=all_of_it)
            self.counts["logs cut short by the power"] += node.disk.power_took

    def install(self, id: str, level: int) -> None:
        """A node stops, and has another release when it comes back."""
        self.crash(id)
        node = self.nodes[id]
        self.counts["upgrades" if level > node.level else "releases taken back"] += 1
        node.level = level

    def set_wall(self, id: str, ms: int) -> None:
        """Somebody sets the time of day of a machine."""
        self.counts["wall clocks set"] += 1
        self.nodes[id].clock.wall_offset += ms

    def corrupt(self, id: str) -> None:
        """A node's state is not what its log made of it, from now on."""
        self.invariants.corruptions += 1
        self.counts["states corrupted"] += 1
        self.nodes[id].corrupt()

    def leap(self, id: str, ms: int) -> None:
        """A node's clock goes forward at once."""
        self.invariants.time.leaps += 1
        self.counts["clocks leapt"] += 1
        self.nodes[id].leap(ms)
