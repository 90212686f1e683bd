"""`ClusterLog`: the ordered log that several nodes share.

The asyncio shell around one replica: it hands in messages, ticks and operations, and carries out
what comes of them, in its order (`effects.py`). It decides nothing about the log; it decides when
the core is called, how a life of the replica begins and ends, and what is told of it.

Invariant: outputs are carried out one after another, whatever the application does meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from peers import wire
from peers.clocks import boot_ms, wall_ms
from peers.cluster.asking import Asking
from peers.cluster.barriers import Barriers
from peers.cluster.effects import Effects
from peers.cluster.guard import break_off, guarded, watch
from peers.cluster.links import Links
from peers.cluster.met import Met
from peers.cluster.opening import next_life, open_disk, restore
from peers.cluster.plan import ClusterPlan, mesh_addresses, seat_at
from peers.cluster.snapshots import Kept
from peers.cluster.status import Look, standing, unknown
from peers.cluster.turns import Turns
from peers.core.changes import Changing
from peers.core.clock import resume_from
from peers.core.entry import Dot, Epoch
from peers.core.log import Log
from peers.core.membership import Member, NodeId
from peers.core.messages import AskBarrier, HandOver, Local, Stored
from peers.core.output import NOTHING, Entrance, Output, Promise
from peers.core.replica import Replica
from peers.errors import RefusedError, StorageError
from peers.mesh.mesh import Mesh
from peers.mesh.settings import Identity
from peers.ordered_log import Ack, Application, LogStatus, NodeStatus, Notes
from peers.wire_fields import OPERATION_BYTES_MAX

logger = logging.getLogger(__name__)

NOTE_CLOCK_S: Final = 0.5  # so often the time is noted, for when the whole cluster was down
NOTE_AGE_MS: Final = 5_000  # a note may be so old, on a disk that is slow


class ClusterLog:
    """An `OrderedLog` of this node and its peers."""

    def __init__(self, plan: ClusterPlan) -> None:
        self.plan = plan  # what is told of the member may change until the start
        self.replica: Replica | None = None
        self.met = Met(plan)
        self.asking = Asking(self)
        self._started = self._stopping = False
        self._broken = ""  # why this process cannot take part any more
        self._outputs: list[Output] = []
        self._driving = False
        self.turns = Turns(self)
        self._admitted = False  # it was checked in this turn that operations may be taken
        self._barriers = Barriers()
        self._status = Look(self._look)
        self._tasks: set[asyncio.Task[None]] = set()
        self._temporary: Path | None = None
        self._led_by_another = asyncio.Event()  # while this node stops
        self.kept: Kept | None = None  # the snapshots of its own, where it keeps any

    # -- coming up and going down

    async def start(self, application: Application) -> None:
        """Take up what is kept, and find the others. It serves when `node_status` says so."""
        if self._started:
            raise RefusedError(str(self.node_status), "a log is started once; make another one")
        self.application = application
        self._loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as undo:
            opened = await open_disk(self.plan.keeping, self._stored, undo)
            self.disk, found, self._temporary = opened
            promise = next_life(found.promise)
            for sentence in (*found.damage, *found.lost):
                logger.error("node %s: %s", self.id, sentence)
            found = await restore(self.disk, found, promise, application)
            self.disk.write_promise(promise)
            identity = Identity(self.id, promise.birth, promise.incarnation)
            self.promise = promise
            self.links = Links(self, self.met)
            self.mesh = Mesh(identity, self.plan.mesh, self.links)
            await self.mesh.start()
            undo.push_async_callback(self.mesh.stop)
            self._effects = Effects(self.disk, self.mesh, application, self)
            cluster_ms, wall = found.clock
            resumed = resume_from(cluster_ms, wall, wall_ms(), NOTE_AGE_MS) if wall else 0
            self.turns.start()
            undo.callback(self.turns.stop)
            self.begin_life(promise, found.log, commit=found.commit, resumed=resumed)
            undo.pop_all()
        self._started = True
        own = {self.mesh.address, *self.plan.mesh.advertise}
        self.mesh.seek([address for address in self.plan.join if address not in own])
        self._note_clock()
        if self.disk.keeps:
            interval_s = self.plan.keeping.snapshot_interval_s
            self.kept = Kept(self.disk, application, interval_s, self._here)
            self._later(self.kept.run())

    def _stored(self, term: int, index: int) -> None:
        self.hear(Stored(term, index))

    def _here(self) -> tuple[Log, int] | None:
        """The log, and how far the application has come in it, if its state may be kept."""
        replica = self.replica
        if replica is None or not replica.state.intact:
            return None
        return replica.state.log, self._effects.applied

    def begin_life(
        self, promise: Promise, log: Log, *, commit: int = 0, resumed: int = 0, leads: bool = False
    ) -> None:
        """A life of the replica begins."""
        self.promise = promise
        self._status.begin()
        self._effects.begin(commit)
        self.replica = Replica(
            self.id,
            promise,
            log,
            wire.pack_batch,
            now=boot_ms(),
            chance=random.SystemRandom().random,
            commit=commit,
            resumed=resumed,
            member=self.seat,
            contacts=self.met.contacts,
            founders=self.met.founders,
            leads=leads,
            level=self.plan.level,
            volatile=not self.disk.keeps,
            wall_ahead=wall_ms() - boot_ms(),
            timing=self.plan.timing,
            bounds=self.plan.bounds,
        )
        self.application.begin(promise.epoch)
        self.links.reach(self.mesh, self.replica, anew=True)
        self.turns.owe()

    async def stop(self) -> None:
        """Let another lead, finish what is in flight, keep what is to be kept."""
        if self._stopping or not self._started:
            return
        self._stopping = True
        self._status.look_again()
        self._admitted = False
        await self._hand_over()
        self.turns.stop()
        self._noter.cancel()
        await self.asking.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.replica is not None:
            self.leave()
        await self.mesh.stop()
        try:
            await self.disk.close(clean=not self._broken)
        finally:
            if self._temporary is not None:
                shutil.rmtree(self._temporary, ignore_errors=True)

    async def _hand_over(self) -> None:
        """Whoever comes next stands at once: nobody waits for a leader that is gone."""
        if not self._leads_others():
            return
        self.hear(HandOver(None))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.plan.timing.election_timeout_ms / 1000):
                await self._led_by_another.wait()

    def _leads_others(self) -> bool:
        replica = self.replica
        return replica is not None and replica.leads and len(replica.state.membership.voters) > 1

    # -- driving the core

    def hear(self, local: Local) -> None:
        """This node itself knows something."""
        if (replica := self.replica) is not None:
            self.drive(guarded(lambda: replica.hear(local, boot_ms()), self))

    def drive(self, output: Output) -> None:
        """Carry it out, when all before it is carried out; and let the core do what is due once
        this turn of the loop is over."""
        self._admitted = False
        if output is not NOTHING:
            self._put_out(output)
        self.turns.told()  # after those who were answered by it: they leave first

    def _put_out(self, output: Output) -> None:
        self._outputs.append(output)
        if self._driving:
            return
        self._driving = True
        try:
            while self._outputs:
                self._carry_out(self._outputs.pop(0))
        finally:
            self._driving = False

    def _carry_out(self, output: Output) -> None:
        if self.replica is None or not self.replica.calm:
            self._status.look_again()
        if self._broken:
            return
        try:
            self._effects.carry_out(output, self.promise)
        except Exception as exc:
            break_off(exc, self)
            return
        if output.promise is not None:
            self.promise = output.promise
        self._barriers.answer(output.barriers)
        if output.enter is not None:
            self._later(self._enter(output.enter, self.leave()))
        if output.copied:
            self.is_a_copy()

    def break_off(self, why: str) -> None:
        """What follows would rely on what is not kept: this process takes no more part."""
        self._broken = self._broken or why
        logger.critical("node %s takes no more part, and has to be restarted: %s", self.id, why)
        if self.replica is not None:
            self.leave()

    def do_what_is_due(self) -> None:
        """Let the core do what is due now."""
        self._admitted = False
        replica = self.replica
        if replica is None:
            return
        output = guarded(lambda: replica.tick(boot_ms()), self)
        if output is not NOTHING:
            self._put_out(output)
        if self.replica is not None:
            self.links.reach(self.mesh, self.replica)
        if self._stopping and not self._leads_others():
            self._led_by_another.set()

    def _note_clock(self) -> None:
        self._noter = self._loop.call_later(NOTE_CLOCK_S, self._note_clock)
        replica = self.replica
        if replica is not None and self._temporary is None and replica.state.clock.runs:
            self.disk.note_clock(replica.state.clock.read(boot_ms()), wall_ms())

    # -- another life

    def _later(self, act: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(act)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(watch, self))

    def leave(self) -> Replica:
        """This life of the replica is over: what was in flight is unknown."""
        replica, self.replica = self.replica, None
        assert replica is not None
        self._status.look_again()
        self._admitted = False
        self._outputs.clear()
        self._effects.give_up(replica)
        self._barriers.refuse()
        return replica

    async def _enter(self, entrance: Entrance, before: Replica) -> None:
        """Go on in another epoch."""
        log = before.state.log
        commit = self._effects.applied if entrance.leads else 0
        tell = logger.warning if log.last.index else logger.info  # of what is left behind
        tell("node %s goes on in epoch %s", self.id, entrance.promise.epoch)
        promise = replace(entrance.promise, incarnation=self.promise.incarnation + 1)
        try:
            await self.disk.enter(replace(entrance, promise=promise))
        except StorageError as exc:
            self.break_off(str(exc))
            return
        if not entrance.leads:
            log = Log()
            self.application.arriving().install()
        if not log.last.index:
            log = Log(replace(log.base, membership=entrance.membership))
        self.begin_life(promise, log, commit=commit, resumed=entrance.time, leads=entrance.leads)

    def is_a_copy(self) -> None:
        """Another process lives with our state directory."""
        if self.replica is not None:
            self._later(self._start_over(self.leave()))

    async def _start_over(self, before: Replica) -> None:
        """The state directory is a copy of one that lived on: come as somebody new."""
        logger.error(
            "node %s: its state directory is a copy of one that has lived on elsewhere; it joins "
            "anew, as another under its name",
            self.id,
        )
        promise = next_life(None)
        try:
            await self.disk.start_over(promise)
        except StorageError as exc:
            self.break_off(str(exc))
            return
        self.application.arriving().install()
        await self.mesh.stop()
        identity = Identity(self.id, promise.birth, promise.incarnation)
        self.mesh = Mesh(identity, self.plan.mesh, self.links)
        await self.mesh.start()
        members = [m for m in before.state.membership.members if m.id != self.id]
        self.met.come_back_to(members)
        known = [address for member in members for address in mesh_addresses(member)]
        self.mesh.seek((*self.plan.join, *known))
        self._effects = Effects(self.disk, self.mesh, self.application, self)
        self.begin_life(promise, Log())

    # -- the ordered log

    @property
    def id(self) -> NodeId:
        """The node's name."""
        return self.plan.member.id

    @property
    def seat(self) -> Member:
        """The seat that this node is told to have, once it listens. The log may say otherwise."""
        addresses = self.plan.mesh.advertise or (self.mesh.address,)
        return seat_at(self.plan.member, self.promise.birth, addresses)

    @property
    def epoch(self) -> Epoch:
        """The life of the log that positions belong to."""
        return self.promise.epoch

    @property
    def node_status(self) -> NodeStatus:
        """Which status this node has; looked up once a millisecond, and after whatever
        is more than reading and writing."""
        return self._status.now()

    def behind_ms(self) -> int | None:
        """Who serves has heard within an election timeout what there is."""
        return self._status.behind_ms(self.plan.timing.election_timeout_ms)

    def _look(self, now: int) -> NodeStatus:
        if self._stopping:
            return NodeStatus.DRAINING
        if self._broken:
            return NodeStatus.RECOVERING
        return NodeStatus.STARTING if self.replica is None else self.replica.status(now)

    @property
    def leads(self) -> bool:
        """Whether this node leads, and serves."""
        replica = self.replica
        return replica is not None and replica.leads and self.node_status is NodeStatus.ACTIVE

    def propose(self, operation: bytes, ack: Ack = Ack.QUORUM, until: int | None = None) -> Dot:
        """Put an operation in order, at the end of this turn."""
        if len(operation) > OPERATION_BYTES_MAX:
            raise RefusedError(
                "too_large", f"{len(operation)} bytes, where {OPERATION_BYTES_MAX} are the most"
            )
        replica = self.replica
        if replica is None or not self._admitted or replica.forwarding.is_full:
            replica = self._admit()
        try:
            return replica.take(operation, until, ack)
        except Exception as exc:
            break_off(exc, self)
            raise RefusedError(str(self.node_status), f"node {self.id} has to restart") from exc

    def _admit(self) -> Replica:
        """See whether operations may be taken in this turn. RefusedError else."""
        replica = self._active()
        if (trouble := self.disk.trouble) is not None:
            raise RefusedError("overloaded", trouble)
        replica.check_room()
        self.turns.owe()
        self._admitted = True
        return replica

    def flush(self) -> None:
        """The caller has proposed all that it has: it leaves now."""
        if self.turns.owed and not self._driving:
            self.turns.end()
            self.mesh.flush()

    async def read_barrier(self) -> int:
        """Ask the leader, or a majority where we lead, as of when one may read."""
        self._active()
        number, answer = self._barriers.new()
        self.hear(AskBarrier(number))
        barrier = await answer
        if barrier.index is None:
            raise RefusedError("isolated", "nobody could say what is committed; try again")
        if self.replica is not None:
            self.replica.state.clock.at_least(barrier.time)
        return barrier.index

    def barrier_now(self) -> None:
        """The others have to be asked."""

    def _active(self) -> Replica:
        """The replica, where this node serves. RefusedError else."""
        status = self.node_status
        if self.replica is None or status is not NodeStatus.ACTIVE:
            raise RefusedError(str(status), f"node {self.id} is {status}")
        return self.replica

    def notes(self) -> Notes:
        """What the voters found at checkpoints."""
        return Notes.of(None if self.replica is None else self.replica.digests, boot_ms())

    def now(self) -> int:
        """Cluster time in milliseconds."""
        return 0 if self.replica is None else self.replica.state.clock.read(boot_ms())

    # -- what people want

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the others reach this node's mesh."""
        return self.plan.mesh.advertise or (self.mesh.address,)

    def change(self, wish: Callable[[Changing, int], None]) -> None:
        """Have the members changed, where this node leads. RefusedError else."""
        replica, now = self._serving(), boot_ms()
        self._act(lambda: replica.change(lambda changing: wish(changing, now), now))

    def hand_over(self, to: NodeId | None = None) -> None:
        """Let another lead, where this node does."""
        if not self._serving().leads:
            raise RefusedError("not_leader", f"{self._serving().state.leader or 'nobody'} leads")
        self.hear(HandOver(to))

    def revive(self, members: tuple[NodeId, ...]) -> None:
        """Go on with these members alone, by a person's word."""
        replica = self._serving()
        self._act(lambda: replica.revive(members, boot_ms()))

    def _act(self, step: Callable[[], Output]) -> None:
        """A step that somebody waits for. RefusedError where it is not done."""
        self.drive(guarded(step, self))
        if self._broken:
            raise RefusedError(str(self.node_status), self._broken)

    def _serving(self) -> Replica:
        if self.replica is None:
            raise RefusedError(str(self.node_status), self._broken or f"node {self.id} is not up")
        return self.replica

    def alarms(self) -> tuple[str, ...]:
        """What a person has to look at."""
        found = () if self.replica is None else self.replica.alarms(boot_ms())
        return (*found, *(each for each in (self._broken, self.disk_trouble) if each))

    @property
    def disk_trouble(self) -> str:
        """Why the disk takes nothing at the moment, or nothing."""
        return self.disk.trouble or ""

    def status(self) -> LogStatus:
        """Where this node stands."""
        if self.replica is None:
            return unknown(self.node_status)
        return standing(self.id, self.replica, self.node_status, self._effects.applied)
