"""One simulated node: a replica, the cache machine above it, and the disk under it.

It is a shell like `peers/cluster.py`: it carries out outputs in their order and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from peers.core.clock import resume_from
from peers.core.entry import Batch, Dot, Entry, Epoch, Origin
from peers.core.membership import Membership
from peers.core.messages import AskBarrier, Envelope, Local, Stored
from peers.core.outcomes import Ack, NodeStatus, Settled
from peers.core.output import NOTHING, Barrier, Output
from peers.core.replica import Operation, Replica
from peers.core.timing import Bounds, Timing
from peers.errors import RefusedError
from tests.simulation.disk import Disk
from tests.simulation.feed import Feed
from tlru.engine.machine import Applied, Machine, Result
from tlru.engine.operations import Operation as EngineOperation
from tlru.engine.operations import encode
from tlru.node.duties import EXPIRE_EVERY_MS, Duties

PackBatch = Callable[..., Batch]
WALL_MS = 1_700_000_000_000
NOTE_CLOCK_EVERY_MS = 500


@dataclass(slots=True)
class Clock:
    """A node's own clock: boot time, which drifts, and never jumps."""

    offset: int
    drift_ppm: int

    wall_offset: int = 0  # of the wall clock, which somebody may set

    def read(self, now: int) -> int:
        """What it shows at `now` of the world."""
        return self.offset + now + now * self.drift_ppm // 1_000_000

    def wall(self, now: int) -> int:
        """The time of day."""
        return WALL_MS + now + self.wall_offset


class Observer:
    """Who wants to see what a node puts out. It sees nothing else of it."""

    def sent(self, node: Node, envelope: Envelope) -> None:
        """A message leaves."""

    def applied(self, node: Node, entries: tuple[Entry, ...], machine: Machine) -> None:
        """Entries were applied."""

    def put_out(self, node: Node, entry: Entry, applied: Applied) -> None:
        """One of them led to this."""

    def kept(self, node: Node, output: Output) -> None:
        """Something was given to the disk."""

    def settled(self, node: Node, dot: Dot, settled: Settled) -> None:
        """Somebody who waits is told what became of an operation."""


class Node:
    """A node that may be down."""

    def __init__(
        self,
        id: str,
        membership: Membership,
        epoch: Epoch,
        disk: Disk,
        clock: Clock,
        *,
        seed: int,
        pack: PackBatch,
        timing: Timing,
        bounds: Bounds,
        send: Callable[[Node, Envelope], None],
        schedule: Callable[[int, Callable[[int], None]], None],
        observer: Observer,
    ) -> None:
        self.id = id
        self.membership = membership
        self.epoch = epoch
        self.disk = disk
        self.clock = clock
        self.random = Random(seed)
        self.up = False
        self.paused_until = 0
        self.heard_at = 0
        self.touched = False  # something happened to it in this turn
        self.life = 0
        self.replica: Replica
        self.machine = Machine()
        self.feed = Feed(0)
        self.events_kept: int | None = None  # for subscribers; None: all of this life
        self.replies: dict[Dot, Callable[[Result | None, Settled | None, int], None]] = {}
        self.barriers: dict[int, Callable[[Barrier], None]] = {}
        self._barrier = 0
        self._pack = pack
        self._timing, self._bounds = timing, bounds
        self._send, self._schedule, self._observer = send, schedule, observer
        self.now = 0

    @property
    def origin(self) -> Origin:
        """The name under which its operations go."""
        return Origin(self.id, self.disk.promise.birth)

    @property
    def impaired(self) -> bool:
        """Whether it is without something that it promised to keep."""
        return self.disk.damaged or not self.disk.promise.whole

    # -- coming up and going down

    def start(self, now: int) -> None:
        """Begin a new life from what the disk holds."""
        promise = self.disk.promise
        whole = promise.whole and not self.disk.damaged
        self.disk.promise = replace(promise, incarnation=promise.incarnation + 1, whole=whole)
        self.disk.damaged = False
        self.up = True
        self.life += 1
        self.heard_at = now  # any message at all
        self.machine = Machine()
        self.feed = Feed(self.machine.index, self.events_kept)
        self.replies, self.barriers = {}, {}
        self.now = now
        self.replica = Replica(
            self.id,
            self.disk.promise,
            self.disk.log(),
            self.membership,
            self._pack,
            now=self.clock.read(now),
            chance=self.random.random,
            resumed=self._resumed(now),
            timing=self._timing,
            bounds=self._bounds,
        )
        self._duties = Duties(self.machine, self._propose_own)
        self._duties_due = 0
        self._applied = False  # something, in this turn
        self._note_clock_at = now

    def _resumed(self, now: int) -> int:
        cluster_ms, wall_ms = self.disk.clock_pair
        return resume_from(cluster_ms, wall_ms, self.clock.wall(now)) if wall_ms else 0

    def crash(self) -> None:
        """Stop at once; who waits for an answer gets none."""
        self.up = False
        self.disk.crash(self.random)

    # -- what happens to it

    def receive(self, envelope: Envelope, now: int) -> None:
        """A message arrives."""
        self.now = now
        self._carry_out(self.replica.receive(envelope, self.clock.read(now)))

    def hear(self, local: Local, now: int) -> None:
        """Its shell tells it something."""
        self.now = now
        self._carry_out(self.replica.hear(local, self.clock.read(now)))

    def tick(self, now: int) -> None:
        """The end of a turn, or a timer."""
        self.now = now
        if self.replica.leads and now >= self._duties_due and self.serves(now):
            self._duties_due = now + EXPIRE_EVERY_MS
            self._duties.tick(self.cluster_ms(now))
        if self._applied and self.replica.leads and self.serves(now):
            self._duties.applied(self.cluster_ms(now))
        self._applied = False
        self._carry_out(self.replica.tick(self.clock.read(now)))
        if now >= self._note_clock_at and self.replica.state.clock.runs:
            self._note_clock_at = now + NOTE_CLOCK_EVERY_MS
            self.disk.clock_pair = (self.cluster_ms(now), self.clock.wall(now))
        self.touched = False

    def propose(
        self,
        operation: bytes,
        until: int | None,
        ack: Ack,
        then: Callable[[Result | None, Settled | None, int], None],
        now: int,
    ) -> Dot:
        """A client's write. RefusedError where it cannot be."""
        self.now = now
        rows: list[Operation] = [(operation, until, ack)]
        (dot,), output = self.replica.propose(rows, self.clock.read(now))
        self.replies[dot] = then
        self._carry_out(output)
        return dot

    def barrier(self, then: Callable[[Barrier], None], now: int) -> None:
        """A client wants to read as of now."""
        self._barrier += 1
        self.barriers[self._barrier] = then
        self.hear(AskBarrier(self._barrier), now)

    def status(self, now: int) -> NodeStatus:
        """What it says of itself."""
        return self.replica.status(self.clock.read(now))

    def serves(self, now: int) -> bool:
        """Whether it answers data requests."""
        return self.status(now) is NodeStatus.ACTIVE

    def _propose_own(self, operation: EngineOperation) -> Dot | None:
        """What the leader owes the log."""
        try:
            (dot,), output = self.replica.propose(
                [(encode(operation), None, Ack.QUORUM)], self.clock.read(self.now)
            )
        except RefusedError:
            return None
        self._carry_out(output)
        return dot

    def clock_error(self, now: int) -> int:
        """By how much, as it says, the cluster time may be later than it reads."""
        return self.replica.state.clock.error(self.clock.read(now))

    def cluster_ms(self, now: int) -> int:
        """The cluster time, as it knows it."""
        return self.replica.state.clock.read(self.clock.read(now))

    # -- what it does

    def _carry_out(self, output: Output) -> None:
        self.touched = True
        if output is NOTHING:
            return
        self._observer.kept(self, output)
        if output.promise is not None:
            self.disk.promise = output.promise  # synced before anything else goes on
        self._store(output)
        for to, life, message in output.send:
            promise = self.disk.promise
            envelope = Envelope(self.origin, promise.incarnation, promise.epoch, to, life, message)
            self._observer.sent(self, envelope)
            self._send(self, envelope)
        if output.apply:
            self._apply(output.apply)
        for dot, settled in output.settle:
            self._observer.settled(self, dot, settled)
            then = self.replies.get(dot)
            if then is not None:
                then(None, settled, self.now)
        for barrier in output.barriers:
            then_read = self.barriers.pop(barrier.number, None)
            if then_read is not None:
                then_read(barrier)

    def _store(self, output: Output) -> None:
        if output.cut is not None:
            self.disk.cut(output.cut)
        for batch in output.append:
            self.disk.append(batch)
        if output.append:
            count, last = len(self.disk.batches), output.append[-1].last
            life, disk = self.life, self.disk

            def synced(now: int) -> None:
                if (
                    self.up
                    and self.life == life
                    and disk.batches[count - 1 : count] == [output.append[-1]]
                ):
                    disk.sync(count)
                    self.hear(Stored(last.term, last.index), now)

            self._schedule(self.random.randint(0, 2) + self.disk.slow_ms, synced)

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        replies: list[tuple[Dot, Result]] = []
        for entry in entries:  # one by one, since it is of interest what came of each
            applied = self.machine.apply((entry,))
            self._observer.put_out(self, entry, applied)
            self.feed.add(entry.index, applied.events)
            replies += applied.replies
        self._observer.applied(self, entries, self.machine)
        for dot, result in replies:
            then = self.replies.get(dot)
            if then is not None:
                then(result, None, self.now)
        self._applied = True
