"""One simulated node: a replica, the cache machine above it, and the disk under it.

It is a shell like `peers/cluster/cluster.py`: it carries out outputs in their order, and decides
nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from peers.core.base import Base
from peers.core.changes import Changing
from peers.core.clock import resume_from
from peers.core.entry import NO_EPOCH, Batch, Dot, Entry, Origin
from peers.core.membership import NOBODY, Member
from peers.core.messages import (
    AskBarrier,
    Checked,
    Envelope,
    Local,
    Noted,
    Piece,
    Restored,
    SnapshotPiece,
    Stored,
)
from peers.core.outcomes import Ack, NodeStatus, Settled
from peers.core.output import (
    NOTHING,
    Barrier,
    Capture,
    Close,
    Entrance,
    Install,
    Output,
    Promise,
    Read,
    Serve,
)
from peers.core.replica import Operation, Replica
from peers.core.sound import why_unsound
from peers.core.timing import Bounds, Timing
from peers.errors import RefusedError
from peers.ordered_log import Notes
from peers.snapshot_pieces import Pieces
from tests.simulation.clocks import Clock
from tests.simulation.desk import Desk
from tests.simulation.disk import NOTE_AGE_MS, Disk, Kept
from tests.simulation.observer import Observer
from tlru.engine.events import Event
from tlru.engine.items import Item
from tlru.engine.machine import Applied, Machine, Result
from tlru.engine.operations import Operation as EngineOperation
from tlru.engine.operations import UnknownOperationError, encode
from tlru.engine.snapshot import Loader, SnapshotError
from tlru.node.duties import EXPIRE_EVERY_MS, Duties

PackBatch = Callable[..., Batch]
NOTE_CLOCK_EVERY_MS = 500
FIRST_LEVEL = 1
DIGEST_BYTES = 8
CORRUPT = "_tlru/corrupt"  # nobody reads it, and nothing evicts it


@dataclass(slots=True)
class Loading:
    """A snapshot that is being taken."""

    number: int
    machine: Machine
    loader: Loader
    chunks: list[bytes]


class Node:
    """A node that may be down."""

    def __init__(
        self,
        id: str,
        disk: Disk,
        clock: Clock,
        *,
        seed: int,
        pack: PackBatch,
        timing: Timing,
        bounds: Bounds,
        snapshot_every: int | None,
        member: Member,
        send: Callable[[Node, Envelope], None],
        schedule: Callable[[int, Callable[[int], None]], None],
        birth: Callable[[str], str],
        observer: Observer,
        counts: Counter[str],
    ) -> None:
        self.id = id
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
        self.counts = counts
        self.events_kept: int | None = None  # for subscribers; None: all of this life
        self.desk = Desk(self.machine, None, counts)
        self.replies: dict[Dot, Callable[[Result | None, Settled | None, int], None]] = {}
        self.barriers: dict[int, Callable[[Barrier], None]] = {}
        self._barrier = 0
        self._pack = pack
        self._timing, self._bounds = timing, bounds
        self.member = member  # what it is, or would be
        self.contacts: list[str] = []  # whom it may ask to let it in
        self.level = FIRST_LEVEL  # the highest feature level that its release can apply
        self.stated_level = 0  # the highest that this birth ever said
        self.fsync_ms: int | None = None  # None: with every write; else so often
        self.volatile = False  # what is appended counts at once
        self.founders: list[str] = []  # with whom it would begin a cluster
        self._snapshot_every = snapshot_every  # so many entries; None: never
        self._birth = birth  # a new one, for a state directory of this node
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

    def start(self, now: int, *, leads: bool = False, time: int = 0) -> None:
        """Begin a new life from what the disk holds."""
        kept = self._kept_state(now)
        promise = self.disk.promise
        whole = promise.whole and not self.disk.damaged
        self.disk.promise = replace(promise, incarnation=promise.incarnation + 1, whole=whole)
        self.disk.damaged = False
        self.up = True
        self.life += 1
        self.heard_at = now  # any message at all
        self.stated_level = max(self.stated_level, self.level)
        self._flush_at = now
        self.machine = kept
        self.desk = Desk(self.machine, self.events_kept, self.counts)
        log, commit = self.disk.log(), self.disk.snapshot_index
        self.corrupted = self.leapt = False
        self._loading: Loading | None = None
        self._given: dict[int, Pieces] = {}
        self.replies, self.barriers = {}, {}
        self.now = now
        self.replica = Replica(
            self.id,
            self.disk.promise,
            log,
            self._pack,
            now=self.clock.read(now),
            chance=self.random.random,
            commit=commit,
            member=replace(self.member, birth=self.disk.promise.birth),
            contacts=self.contacts,
            founders=self.founders,
            level=self.level,
            volatile=self.volatile,
            leads=leads,
            wall_ahead=self.clock.wall(now) - self.clock.read(now),
            # Who enters an epoch has not stopped: its note is as old as it is.
            resumed=max(self._resumed(now, 0 if time else NOTE_AGE_MS), time),
            timing=self._timing,
            bounds=self._bounds,
        )
        self._take_up(self.machine)
        self._applied = False  # something, in this turn
        self._note_clock_at = now
        self._keeping = False  # a snapshot is being written
        self._observer.started(self)

    def _kept_state(self, now: int) -> Machine:
        """What the snapshot on the disk holds. One that was written of a corrupt state may be
        unreadable; then the log behind it is of no use either."""
        kept = self.disk.snapshot
        try:
            return Machine() if kept is None else Machine.from_snapshot(kept.chunks)
        except SnapshotError:
            self.disk.lose_log(now)
            return Machine()

    def _take_up(self, machine: Machine) -> None:
        self.machine = machine
        self._duties = Duties(machine, self._propose_own, self._notes)
        self._duties_due = 0

    def _notes(self) -> Notes:
        return Notes.of(self.replica.digests, self.now)

    def _resumed(self, now: int, note_age_ms: int) -> int:
        cluster_ms, wall_ms = self.disk.clock_pair
        wall = self.clock.wall(now)
        return resume_from(cluster_ms, wall_ms, wall, note_age_ms) if wall_ms else 0

    def crash(self) -> list[str]:
        """Stop at once; who waits for an answer gets none. What was being written, and is torn."""
        self.up = False
        torn = ["snapshots torn"] if self._keeping or self._loading is not None else []
        return torn + self.disk.crash(self.random)

    def corrupt(self) -> None:
        """Change something in the state that no client looks at."""
        self.corrupted = True
        machine = self.machine
        item = Item(CORRUPT, b"\x01", 1, 1, 0, 0, None, None, None)
        if machine.items.store.entries.get(CORRUPT) is None:
            machine.items.put(CORRUPT, item)

    def leap(self, ms: int) -> None:
        """Its own clock goes forward at once."""
        self.clock.offset += ms
        self.leapt = True

    # -- what happens to it

    def receive(self, envelope: Envelope, now: int) -> None:
        """A message arrives. Nobody here says what a node refuses to take."""
        self.now = now
        why = why_unsound(envelope, self.replica, self.clock.read(now))
        assert why is None, f"{self.id} refuses {envelope.sender.id}: {why}: {envelope.message}"
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
            self._duties.tick(self.running_ms(now))
        if self._applied and self.replica.leads and self.serves(now):
            self._duties.applied(self.running_ms(now))
        if self._applied and self._snapshot_every is not None:
            self._keep_now_and_then(self._snapshot_every)
        self._applied = False
        # Before anything is given a time that is further on than this.
        if now >= self._note_clock_at and self.replica.state.clock.runs:
            self._note_clock_at = now + NOTE_CLOCK_EVERY_MS
            self.disk.note_clock(self.cluster_ms(now), self.clock.wall(now))
        self._carry_out(self.replica.tick(self.clock.read(now)))
        if self.fsync_ms is not None and now >= self._flush_at:
            self._flush_at = now + self.fsync_ms + self.disk.slow_ms
            self.disk.flush()
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

    def change(self, wish: Callable[[Changing], None], now: int) -> None:
        """An operator wants another membership. RefusedError where it may not be."""
        self.now = now
        self._carry_out(self.replica.change(wish, self.clock.read(now)))

    def revive(self, members: Sequence[str], now: int) -> None:
        """A person wants it to go on with these. RefusedError where that may not be."""
        self.now = now
        self._carry_out(self.replica.revive(members, self.clock.read(now)))

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

    def running_ms(self, now: int) -> int:
        """The cluster time that it tells others."""
        return self.replica.state.clock.running(self.clock.read(now))

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
        if output.install is not None:
            self._install(output.install)
        self._store(output)
        for to, birth, life, message in output.send:
            promise = self.disk.promise
            envelope = Envelope(
                self.origin, promise.incarnation, promise.epoch, to, birth, life, message
            )
            self._observer.sent(self, envelope)
            self._send(self, envelope)
        if output.apply:
            self._apply(output.apply)
        for each in output.serve:
            self._give(each)
        for piece in output.take:
            self._take(piece)
        if output.membership is not None:
            self.disk.membership = output.membership.membership
        for dot, settled in output.settle:
            self._observer.settled(self, dot, settled)
            then = self.replies.get(dot)
            if then is not None:
                then(None, settled, self.now)
        for barrier in output.barriers:
            then_read = self.barriers.pop(barrier.number, None)
            if then_read is not None:
                then_read(barrier)
        if output.enter is not None:
            self._enter(output.enter)
        if output.copied:
            self._observer.copied(self)
            self.begin_anew(self._birth(self.id))
            self.start(self.now)

    def begin_anew(self, birth: str) -> None:
        """Nothing is left of what it was: it comes as a newcomer under an old name."""
        belongs = self.disk.membership.get(self.id)
        self.member = replace(belongs or self.member, birth=birth, joining=False)
        others = [member.id for member in self.disk.membership.members if member.id != self.id]
        self.disk = Disk(Promise(NO_EPOCH, birth, 0, 0, None), NOBODY)
        self.founders = []  # it comes to what is there
        self.contacts = others

    def _store(self, output: Output) -> None:
        if output.cut is not None:
            self.disk.cut(output.cut)
        for batch in output.append:
            self.disk.append(batch)
        if output.append:
            last = output.append[-1].last
            if self.volatile:
                self.disk.sync(last)
                return

            def synced() -> None:
                if self.disk.sync(last):
                    self.hear(Stored(last.term, last.index), self.now)

            # What is only written is with the operating system at once, however slow the disk is.
            slow = self.disk.slow_ms if self.fsync_ms is None else 0
            self._later(self.random.randint(0, 2) + slow, synced)

    def _later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Let something happen, unless this life is over by then."""
        life = self.life

        def on_time(now: int) -> None:
            if self.up and self.life == life:
                self.now = now
                act()

        self._schedule(delay_ms, on_time)

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        noted = self.machine.noted
        replies: list[tuple[Dot, Result]] = []
        events: list[Event] = []
        diverged = False
        for entry in entries:  # one by one, since it is of interest what came of each
            applied = self._apply_one(entry)
            self._observer.put_out(self, entry, applied)
            events += applied.events
            replies += applied.replies
            diverged |= applied.diverged
        if events:
            self.desk.applied(events)
        self._observer.applied(self, entries, self.machine)
        for dot, result in replies:
            then = self.replies.get(dot)
            if then is not None:
                then(result, None, self.now)
        self._applied = True
        if self.machine.noted is not None and self.machine.noted != noted:
            index, digest = self.machine.noted
            checked = Checked(Noted(index, digest.to_bytes(DIGEST_BYTES)), not diverged)
            self._later(0, lambda: self.hear(checked, self.now))

    def _apply_one(self, entry: Entry) -> Applied:
        try:
            return self.machine.apply((entry,))
        except UnknownOperationError:
            return self.machine.apply((entry._replace(operation=b""),))

    def _enter(self, entrance: Entrance) -> None:
        """Go on in another epoch: a life of its own."""
        disk = self.disk
        disk.promise, disk.membership = entrance.promise, entrance.membership
        if not entrance.leads:
            disk.snapshot = None
        if not (entrance.leads and disk.batches):
            disk.begin(Base(membership=entrance.membership))
        self._observer.entered(self, entrance)
        self.start(self.now, leads=entrance.leads, time=entrance.time)

    # -- snapshots

    def _keep_now_and_then(self, every: int) -> None:
        """Write a snapshot, a piece at a time, while the machine goes on."""
        if self._keeping or self.machine.index < self.disk.snapshot_index + every:
            return
        base = self.replica.state.log.base_at(self.machine.index)
        if base is None or not self.replica.state.intact:
            return
        self._keeping = True
        capture, machine = self.machine.capture(), self.machine
        walk, chunks = capture.chunks(), list[bytes]()

        def write() -> None:
            chunk = next(walk, None)
            if self.machine is not machine:
                capture.close()  # another state has taken its place
                self._keeping = False
            elif chunk is not None:
                chunks.append(chunk)
                self._later(self.random.randint(0, 30), write)
            else:
                self._keeping = False
                self._later(self.disk.slow_ms, lambda: self.disk.keep(Kept(base, tuple(chunks))))

        write()

    def _give(self, serve: Serve) -> None:
        match serve:
            case Capture():
                self._given[serve.session] = Pieces(self.machine.capture())
            case Close():
                self._given.pop(serve.session).close()
            case Read():
                pieces = self._given[serve.session].read(serve.have, serve.first, serve.count)
                for number, data, last in pieces:
                    piece = Piece(serve.session, number, data, last)
                    self._later(0, lambda piece=piece: self.hear(piece, self.now))  # type: ignore[misc]

    def _take(self, piece: SnapshotPiece) -> None:
        loading = self._loading
        if loading is None or loading.number != piece.number:
            machine = Machine()
            loading = self._loading = Loading(piece.number, machine, Loader(machine), [])
        loading.chunks.append(piece.data)
        whole = True
        try:
            loading.loader.take(piece.data)
            if piece.last:
                loading.loader.finish()
        except SnapshotError:
            whole = False
        if piece.last or not whole:
            kept = Kept(piece.base, tuple(loading.chunks))

            def synced() -> None:
                if whole:
                    self.disk.keep(kept)
                self.hear(Restored(kept_number, whole), self.now)

            kept_number = piece.number
            self._later(self.random.randint(0, 20) + self.disk.slow_ms, synced)

    def _install(self, install: Install) -> None:
        assert self._loading is not None
        assert self._loading.number == install.number
        machine, self._loading = self._loading.machine, None
        if not install.keeps_log:
            self.disk.begin(install.base)
        self._take_up(machine)
        self.desk.take_up(machine)
        self._observer.installed(self, install.base, machine)
