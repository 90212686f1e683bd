"""`SingleLog`: the ordered log of a cluster of one.

A majority of one is itself, so what it appends is committed at once. What gathers in one turn of
the event loop is stamped, numbered and applied as one batch.

Without a state directory every start opens a new epoch. With one, an orderly stop keeps a snapshot
that is the log's last word, and the epoch goes on from it. After a crash the last snapshot is
restored and a new epoch begins, since entries after it were lost and their indexes would lie.

Nobody is left waiting: each operation that was given a dot is applied, or its outcome is settled.
Once applying has failed the state may be half changed, so nothing of it is served or kept any more.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from peers.clocks import boot_ms, wall_ms
from peers.core.clock import ClusterClock, resume_from
from peers.core.entry import Dot, Entry, Epoch, Origin
from peers.disk.storage import Mark, State, StateDirectory, next_life
from peers.errors import OutdatedError, RefusedError, StorageError
from peers.ordered_log import (
    Ack,
    Application,
    Arriving,
    Checked,
    LogStatus,
    NodeStatus,
    Notes,
    Settled,
    put_together,
)
from peers.snapshots import SnapshotKeeper

logger = logging.getLogger(__name__)

BACKLOG_BYTES_MAX = 64 << 20  # operations proposed in one turn of the loop; beyond: overloaded
OPERATION_OVERHEAD_BYTES = 512  # what one waits with beside its bytes
SNAPSHOT_INTERVAL_S = 60.0

TERM = 1

_Pending = tuple[Dot, int | None, bytes, Ack]


class SingleLog:
    """An `OrderedLog` whose only member is this node."""

    def __init__(
        self,
        node_id: str,
        directory: Path | None = None,
        *,
        snapshot_interval_s: float = SNAPSHOT_INTERVAL_S,
        member: Callable[[], dict[str, object]] | None = None,
    ) -> None:
        self._id = node_id
        self._directory = None if directory is None else StateDirectory(directory)
        self._snapshot_interval_s = snapshot_interval_s
        self._member = member
        self._status = NodeStatus.STARTING
        self._pending: list[_Pending] = []
        self._pending_bytes = 0
        self._scheduled = False
        self._flushing = False
        self._index = 0
        self._sequence = 0
        self._noted: Checked | None = None
        self._snapshots: SnapshotKeeper | None = None

    # -- coming up and going down

    async def start(self, application: Application) -> None:
        """Restore what is kept, if anything, and serve; once in the life of this object."""
        if self._status is not NodeStatus.STARTING:
            raise RefusedError(str(self._status), "a log is started once; make another one")
        self._application = application
        self._loop = asyncio.get_running_loop()
        directory = self._directory
        previous = None if directory is None else directory.open()
        try:
            self._begin(previous)
        except BaseException:
            if directory is not None:
                directory.close()
            raise
        application.begin(self._epoch)
        self._status = NodeStatus.ACTIVE
        if self._snapshots is not None:
            self._snapshots.start()

    def _begin(self, previous: State | None) -> None:
        """Find the epoch, the index and the time from which the log goes on."""
        wall = wall_ms()
        epoch, started, mark = Epoch(1, secrets.token_hex(4)), wall, None
        if self._directory is not None and previous is not None:
            mark = self._restore(self._directory)
            epoch = _epoch_after(previous, mark)
            # The snapshot's clock may be ahead of the state's, which is written more rarely.
            latest = max((each.cluster_ms, each.wall_ms) for each in (previous, mark or previous))
            started = resume_from(*latest, wall)
        self._epoch = epoch
        self._clock = ClusterClock(started, boot_ms())
        self._state = replace(next_life(previous), epoch=epoch, cluster_ms=started, wall_ms=wall)
        self._origin = Origin(self._id, self._state.birth)
        if self._directory is not None:
            self._directory.write_state(self._state)
            self._snapshots = self._keeper(self._directory, mark)

    def _keeper(self, directory: StateDirectory, kept: Mark | None) -> SnapshotKeeper:
        return SnapshotKeeper(
            directory,
            self._application,
            self._snapshot_interval_s,
            here=lambda: Mark(self._epoch, self._index, self.now(), wall_ms()),
            may_keep=lambda: self._status is NodeStatus.ACTIVE,
            kept=kept,
        )

    async def begin_from(self, arriving: Arriving, index: int, parent: Epoch, time: int) -> Epoch:
        """Go on with a state from elsewhere, exact at `index`, in an epoch of its own, which is a
        child of `parent`; the time goes on from `time`. It is kept before this returns. A node
        whose own state is wrong goes on with this one."""
        if self._status is not NodeStatus.INCONSISTENT:
            self._refuse_unless_active()
        self.flush()
        self._status = NodeStatus.STARTING
        if self._snapshots is not None:
            await self._snapshots.stop()
        arriving.install()
        number = max(self._epoch.number, parent.number) + 1
        self._epoch = Epoch(number, secrets.token_hex(4), parent.random)
        self._index, self._noted, self._sequence = index, None, 0
        self._clock = ClusterClock(time, boot_ms())
        incarnation = self._state.incarnation + 1
        self._state = replace(
            self._state,
            epoch=self._epoch,
            incarnation=incarnation,
            cluster_ms=time,
            wall_ms=wall_ms(),
        )
        self._application.begin(self._epoch)
        self._status = NodeStatus.ACTIVE
        if self._directory is not None:
            self._snapshots = keeper = self._keeper(self._directory, None)
            await keeper.keep_last()
            await asyncio.to_thread(self._directory.write_state, self._state)
            keeper.start()
            # Of this epoch is enough: it may have gone on since, and be ahead of what is kept.
            if keeper.kept is None or keeper.kept.epoch != self._epoch:
                raise StorageError(f"{self._directory.path} does not take it; the log says why")
        return self._epoch

    def _restore(self, directory: StateDirectory) -> Mark | None:
        """Hand the kept snapshot to the application; where it was taken."""
        stored = directory.read_snapshot()
        if stored is None:
            return None
        try:
            arriving, self._index = put_together(self._application, stored.chunks())
        except StorageError:
            raise
        except Exception as exc:
            raise StorageError(
                f"the snapshot in {directory.path} cannot be taken up: {exc}; restore it from a "
                "copy, or move it away to start without it"
            ) from exc
        finally:
            stored.close()
        if self._index != stored.mark.index:
            raise StorageError(
                f"{directory.path} holds a snapshot of entry {self._index} that says it is of "
                f"entry {stored.mark.index}; restore it from a copy, or move it away"
            )
        arriving.install()
        return stored.mark

    async def stop(self) -> None:
        """Apply what was proposed, keep a last snapshot, and release the directory."""
        if self._status in (NodeStatus.STARTING, NodeStatus.DRAINING):
            return
        self.flush()
        intact = self._status is NodeStatus.ACTIVE
        self._status = NodeStatus.DRAINING
        self._settle_pending()
        if self._directory is None or self._snapshots is None:
            return
        try:
            await self._snapshots.stop()
            if intact:
                await self._say_last_word(self._directory, self._snapshots)
        finally:
            self._directory.close()

    async def _say_last_word(self, directory: StateDirectory, snapshots: SnapshotKeeper) -> None:
        """A last snapshot, and the promise that it is the last: the epoch goes on from it."""
        if await snapshots.keep_last():
            now, wall = self.now(), wall_ms()
            last = replace(self._state, clean=True, index=self._index, cluster_ms=now, wall_ms=wall)
            try:
                await asyncio.to_thread(directory.write_state, last)
                return
            except StorageError as exc:
                logger.error("%s", exc)
        logger.error(
            "node %s could not keep its last word in %s; its next start begins a new epoch, and "
            "what came after entry %d is lost",
            self._id,
            directory.path,
            0 if snapshots.kept is None else snapshots.kept.index,
        )

    def keep_every(self, interval_s: float) -> None:
        """Keep a snapshot so often from now on."""
        if self._snapshots is not None:
            self._snapshots.every(interval_s)

    # -- the ordered log

    @property
    def epoch(self) -> Epoch:
        """The life of the log that positions belong to."""
        return self._epoch

    @property
    def node_status(self) -> NodeStatus:
        """Which status this node has."""
        return self._status

    @property
    def leads(self) -> bool:
        """A cluster of one is led by its member."""
        return self._status is NodeStatus.ACTIVE

    def notes(self) -> Notes:
        """What this node found, since it is all there are."""
        agreed = None if self._noted is None else (self._noted.index, self._noted.digest)
        return Notes(agreed, lacking=False)

    def now(self) -> int:
        """Cluster time in milliseconds."""
        return self._clock.read(boot_ms())

    def behind_ms(self) -> int | None:
        """There is nobody else who could have more."""
        return 0

    async def read_barrier(self) -> int:
        """A lone leader's word needs no majority but its own: what was applied is all there is."""
        self._refuse_unless_active()
        return self._index

    def barrier_now(self) -> int | None:
        """The same, unless something is to be ordered first."""
        if self._pending or self._status is not NodeStatus.ACTIVE:
            return None
        return self._index

    def propose(self, operation: bytes, ack: Ack = Ack.QUORUM, until: int | None = None) -> Dot:
        """Put an operation in order; it is applied at `flush`, or when this turn ends."""
        self._refuse_unless_active()
        size = len(operation) + OPERATION_OVERHEAD_BYTES
        if self._pending_bytes + size > BACKLOG_BYTES_MAX:
            raise RefusedError(
                "overloaded", f"more than {BACKLOG_BYTES_MAX} bytes wait to be ordered; send less"
            )
        self._pending_bytes += size
        self._sequence += 1
        dot = Dot(self._origin, self._state.incarnation, self._sequence)
        self._pending.append((dot, until, operation, ack))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)
        return dot

    def flush(self) -> None:
        """Apply what was proposed so far. There is nobody to share a batch with, so waiting for
        the end of the turn would only cost a lone caller two turns of the loop."""
        if not self._flushing:
            self._flushing = True
            try:
                self._flush()
            finally:
                self._flushing = False

    def _end_turn(self) -> None:
        self._scheduled = False
        self.flush()

    def _refuse_unless_active(self) -> None:
        if self._status is not NodeStatus.ACTIVE:
            raise RefusedError(str(self._status), f"node {self._id} is {self._status}")

    def _flush(self) -> None:
        """What was proposed becomes one batch: appended, committed, applied, answered."""
        if self._status is not NodeStatus.ACTIVE:
            self._settle_pending()
            return
        if not self._pending:
            return
        batch = self._take_pending()
        at, first = self.now(), self._index + 1
        entries = [
            Entry(index, TERM, at, dot, until, operation)
            for index, (dot, until, operation, _) in enumerate(batch, first)
        ]
        self._index += len(batch)
        self._settle((dot for dot, _, _, ack in batch if ack is Ack.LEADER), Settled.APPENDED)
        if self._apply(entries):
            self._settle((dot for dot, _, _, ack in batch if ack is Ack.ALL), Settled.HELD_BY_ALL)
        else:
            self._settle((dot for dot, _, _, _ in batch), Settled.UNKNOWN)

    def _apply(self, entries: list[Entry]) -> bool:
        try:
            self._noted = self._application.apply(entries) or self._noted
        except OutdatedError as exc:
            self._status = NodeStatus.OUTDATED
            logger.critical("node %s stops serving at %d: %s", self._id, entries[0].index, exc)
            return False
        except Exception:
            # The state may be half changed: nothing of it may be served, or kept, any more.
            self._status = NodeStatus.INCONSISTENT
            logger.critical(
                "applying entries %d to %d failed; node %s serves no more, and has to be restarted "
                "or to begin anew from a backup",
                entries[0].index,
                entries[-1].index,
                self._id,
                exc_info=True,
            )
            return False
        return True

    def _take_pending(self) -> list[_Pending]:
        batch, self._pending, self._pending_bytes = self._pending, [], 0
        return batch

    def _settle_pending(self) -> None:
        """What was proposed and can no longer be ordered is not done, and never will be."""
        self._settle((dot for dot, _, _, _ in self._take_pending()), Settled.NOT_DONE)

    def _settle(self, dots: Iterable[Dot], outcome: Settled) -> None:
        for dot in dots:
            try:
                self._application.settle(dot, outcome)
            except Exception:
                # Somebody could not be answered. The others wait too, and the state is whole.
                logger.exception("telling what became of %s failed", dot)

    def status(self) -> LogStatus:
        """Where this node stands."""
        starting = self._status is NodeStatus.STARTING
        return LogStatus(
            status=self._status,
            role="voter",
            leader=None if starting else self._id,
            term=TERM,
            epoch=Epoch(0, "none") if starting else self._epoch,
            committed=self._index,
            applied=self._index,
            vector={} if starting else {self._id: self._sequence},
            clock_error_ms=0,
            members=() if self._member is None else (self._member(),),
        )


def _epoch_after(previous: State, mark: Mark | None) -> Epoch:
    """The last epoch, where nothing of it was lost; else a child of it."""
    last = previous.epoch
    if last is None:
        return Epoch(1, secrets.token_hex(4))
    if mark is None and previous.index:
        logger.warning(
            "the snapshot of entry %d is gone; starting empty, in a new epoch", previous.index
        )
    if previous.clean and mark is not None and (mark.epoch, mark.index) == (last, previous.index):
        return last
    return Epoch(last.number + 1, secrets.token_hex(4), last.random)
