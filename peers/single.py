"""`SingleLog`: the ordered log of a cluster of one.

A majority of one is itself, so what it appends is committed at once. What gathers in one turn of
the event loop is stamped, numbered and applied as one batch.

Without a state directory every start opens a new epoch. With one, an orderly stop keeps a snapshot
that is the log's last word, and the epoch goes on from it. After a crash the last snapshot is
restored and a new epoch begins, since entries after it were lost and their indexes would lie.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from peers.core.clock import ClusterClock, resume_from
from peers.core.entry import Dot, Entry, Epoch, Origin
from peers.errors import RefusedError, StorageError
from peers.ordered_log import Ack, Application, LogStatus, NodeStatus, Settled
from peers.storage import State, StateDirectory, next_life

logger = logging.getLogger(__name__)

BACKLOG_BYTES_MAX = 64 << 20  # operations proposed in one turn of the loop; beyond: overloaded
SNAPSHOT_INTERVAL_S = 60.0

TERM = 1


def boot_ms() -> int:
    """Milliseconds since boot, counting the time a machine was suspended."""
    return time.clock_gettime_ns(_CLOCK) // 1_000_000


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def wall_ms() -> int:
    """Milliseconds since 1970, as the wall clock has it."""
    return time.time_ns() // 1_000_000


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
        self._pending: list[tuple[Dot, int | None, bytes, Ack]] = []
        self._pending_bytes = 0
        self._scheduled = False
        self._index = 0
        self._kept_index = -1  # of the last snapshot written
        self._sequence = 0
        self._snapshots: asyncio.Task[None] | None = None

    # -- coming up and going down

    async def start(self, application: Application) -> None:
        """Restore what is kept, if anything, and serve."""
        self._application = application
        self._loop = asyncio.get_running_loop()
        previous = self._directory.open() if self._directory is not None else None
        try:
            self._state = next_life(previous)
            self._begin(previous)
        except BaseException:
            if self._directory is not None:
                self._directory.close()
            raise
        self._origin = Origin(self._id, self._state.birth)
        self._status = NodeStatus.ACTIVE
        if self._directory is not None:
            self._stopping = asyncio.Event()
            self._snapshots = self._loop.create_task(self._keep_snapshots(self._directory))

    def _begin(self, previous: State | None) -> None:
        """Find the epoch, the index and the time from which the log goes on."""
        if self._directory is None or previous is None:
            epoch, started = Epoch(1, secrets.token_hex(4)), wall_ms()
        else:
            self._index = self._application.restore(self._directory.read_snapshot())
            exact = previous.clean and previous.index == self._index
            epoch = self._epoch_after(previous.epoch, exact)
            started = resume_from(previous.cluster_ms, previous.wall_ms, wall_ms())
        self._clock = ClusterClock(started, boot_ms())
        self._state = replace(
            self._state, epoch=epoch, clean=False, cluster_ms=started, wall_ms=wall_ms()
        )
        self._epoch = epoch
        if self._directory is not None:
            self._directory.write_state(self._state)

    @staticmethod
    def _epoch_after(last: Epoch | None, exact: bool) -> Epoch:
        if last is not None and exact:
            return last
        number = 1 if last is None else last.number + 1
        parent = None if last is None else last.random
        return Epoch(number, secrets.token_hex(4), parent)

    async def stop(self) -> None:
        """Apply what was proposed, keep a last snapshot, and release the directory."""
        if self._status is not NodeStatus.ACTIVE:
            return
        self._flush()
        self._status = NodeStatus.DRAINING
        if self._directory is not None and self._snapshots is not None:
            self._stopping.set()
            try:
                await self._snapshots
                self._keep_last_snapshot(self._directory)
            finally:
                self._directory.close()

    # -- the ordered log

    @property
    def epoch(self) -> Epoch:
        """The life of the log that positions belong to."""
        return self._epoch

    @property
    def leads(self) -> bool:
        """A cluster of one is led by its member."""
        return self._status is NodeStatus.ACTIVE

    def now(self) -> int:
        """Cluster time in milliseconds."""
        return self._clock.read(boot_ms())

    async def read_barrier(self) -> int:
        """A lone leader's word needs no majority but its own: what was applied is all there is."""
        self._refuse_unless_active()
        return self._index

    def propose(self, operation: bytes, ack: Ack = Ack.QUORUM, until: int | None = None) -> Dot:
        """Put an operation in order; it is applied at the end of this turn of the loop."""
        self._refuse_unless_active()
        self._pending_bytes += len(operation)
        if self._pending_bytes > BACKLOG_BYTES_MAX:
            self._pending_bytes -= len(operation)
            raise RefusedError(
                "overloaded", f"more than {BACKLOG_BYTES_MAX} bytes wait to be ordered; send less"
            )
        self._sequence += 1
        dot = Dot(self._origin, self._state.incarnation, self._sequence)
        self._pending.append((dot, until, operation, ack))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return dot

    def _refuse_unless_active(self) -> None:
        if self._status is not NodeStatus.ACTIVE:
            raise RefusedError(str(self._status), f"node {self._id} is {self._status}")

    def _flush(self) -> None:
        """One turn's operations become one batch: appended, committed, applied, answered."""
        self._scheduled = False
        if not self._pending or self._status is not NodeStatus.ACTIVE:
            return
        batch, self._pending, self._pending_bytes = self._pending, [], 0
        at, index = self.now(), self._index
        entries = []
        for dot, until, operation, _ in batch:
            index += 1
            entries.append(Entry(index, TERM, at, dot, until, operation))
        self._index = index
        try:
            for dot, _, _, ack in batch:
                if ack is Ack.LEADER:
                    self._application.settle(dot, Settled.APPENDED)
            self._application.apply(entries)
            for dot, _, _, ack in batch:
                if ack is Ack.ALL:
                    self._application.settle(dot, Settled.HELD_BY_ALL)
        except Exception:
            # The state may be half changed: nothing of it may be served any more.
            self._status = NodeStatus.INCONSISTENT
            logger.critical("applying entries up to %d failed; serving stops", index, exc_info=True)

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

    # -- snapshots

    async def _keep_snapshots(self, directory: StateDirectory) -> None:
        while not await self._stop_within(self._snapshot_interval_s):
            if self._index != self._kept_index:
                try:
                    await self._snapshot_while_serving(directory)
                except (OSError, StorageError):
                    logger.exception("keeping a snapshot failed; the one before stays")

    async def _stop_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    async def _snapshot_while_serving(self, directory: StateDirectory) -> None:
        """The walk runs here, a chunk at a time; the disk is waited for in a thread."""
        snapshot = self._application.capture()
        try:
            with directory.replace_snapshot() as draft:
                for chunk in snapshot.chunks():
                    await asyncio.to_thread(draft.write, chunk)
                    if self._stopping.is_set():
                        return  # the last snapshot is about to be taken anyway
                await asyncio.to_thread(draft.keep)
            self._kept_index = snapshot.index
            await asyncio.to_thread(directory.write_state, self._mark(False, snapshot.index))
        finally:
            snapshot.close()

    def _keep_last_snapshot(self, directory: StateDirectory) -> None:
        snapshot = self._application.capture()
        try:
            with directory.replace_snapshot() as draft:
                for chunk in snapshot.chunks():
                    draft.write(chunk)
                draft.keep()
        finally:
            snapshot.close()
        directory.write_state(self._mark(True, snapshot.index))

    def _mark(self, clean: bool, index: int) -> State:
        """Note where the snapshot on disk stands, and what time it is."""
        now, wall = self.now(), wall_ms()
        self._state = replace(self._state, clean=clean, index=index, cluster_ms=now, wall_ms=wall)
        return self._state
