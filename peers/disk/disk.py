"""The disk of a cluster's node, as its event loop sees it: everything is queued, nothing waits.

But for promises: they are on the disk, synced, when `write_promise` returns, since what follows
relies on them. The log is written in the order of the calls; `stored` is called for what is kept.
Without a data directory nothing is written and nobody is called, and the next start finds no log.

This module decides what may wait, and how much; `writer.py` when it is kept, `store.py` how.

Invariant: `stored` is never called for a batch that was cut meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from peers.core.base import Base
from peers.core.entry import Batch, Position
from peers.core.output import Committed, Entrance, Install, Promise
from peers.disk.chunk_files import ChunkDraft
from peers.disk.files import OS_FILES, Files
from peers.disk.log_files import SEGMENT_BYTES
from peers.disk.snapshot_files import KeptSnapshot
from peers.disk.store import Found, Fsync, Store
from peers.disk.writer import Act, Append, Kept, Writer
from peers.errors import StorageError

QUEUE_BYTES_MAX: Final = 256 << 20  # of batches that wait to be written; beyond: refused
SNAPSHOT_SYNC_BYTES: Final = 16 << 20  # of a snapshot are synced at once, so that others get on
FSYNC_INTERVAL_MS: Final = 1_000
CUT_ALL: Final = -1

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

Result = TypeVar("Result")


def boot_id() -> str:
    """Which start of this machine it is; "" where the system does not say."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Disk:
    """What one node keeps."""

    def __init__(
        self,
        state: Path,
        data: Path | None = None,
        *,
        stored: Callable[[int, int], None],
        fsync: Fsync = Fsync.ALWAYS,
        fsync_interval_ms: int = FSYNC_INTERVAL_MS,
        queue_bytes_max: int = QUEUE_BYTES_MAX,
        segment_bytes: int = SEGMENT_BYTES,
        boot: str | None = None,
        files: Files = OS_FILES,
    ) -> None:
        boot = boot_id() if boot is None else boot
        self._store = Store(
            state, data, fsync=fsync, boot=boot, files=files, segment_bytes=segment_bytes
        )
        self._stored = stored
        self._interval_s = fsync_interval_ms / 1000
        self._queue_bytes_max = queue_bytes_max
        self._writer: Writer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._number = 0  # of the last append or cut
        self._cuts: list[tuple[int, int]] = []  # of those that may concern an append in the queue
        self._last = 0  # the index of the last entry that was queued
        self.queued_bytes = 0

    @property
    def keeps(self) -> bool:
        """Whether there is a data directory."""
        return self._store.data is not None

    @property
    def trouble(self) -> str | None:
        """Why nothing is written at the moment: which file, what is wrong, and what to do."""
        return None if self._writer is None else self._writer.trouble

    @property
    def snapshot_index(self) -> int:
        """What the snapshot that is kept is exact at; 0 where there is none."""
        return self._store.snapshot_index

    # -- coming up and going down

    async def open(self) -> Found:
        """Take the directories, and say what is there. StorageError where they cannot be used."""
        self._loop = asyncio.get_running_loop()
        found = await asyncio.to_thread(self._store.open)
        self._writer = Writer(self._store, self._loop, self._note_kept)
        self._last = found.log.last.index
        return found

    async def close(self, *, clean: bool = True) -> None:
        """Write what is queued, as far as the disk takes it. `clean`: all is synced, and the next
        start is told so."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.to_thread(writer.stop)
        await asyncio.to_thread(self._store.close, clean=clean)

    # -- promises

    def write_promise(self, promise: Promise) -> None:
        """Keep it, synced, before this returns. StorageError where the disk does not take it: then
        nothing that relies on it may be done."""
        self._store.write_promise(promise)

    async def enter(self, entrance: Entrance) -> None:
        """Go on in another epoch. Who leads keeps log and snapshot, with anybody else they go. If
        it fails, nothing but to enter again, or to stop, may follow."""
        promise, membership, leads = entrance.promise, entrance.membership, entrance.leads
        await self._do(lambda: self._store.enter(promise, membership, leads=leads))
        if not (leads and self.keeps):
            self._forget(self._last if leads else 0)

    async def start_over(self, promise: Promise) -> None:
        """Forget all, but for cluster.json: another birth begins, which belongs to nothing."""
        await self._do(lambda: self._store.start_over(promise))
        self._forget(0)

    async def refuse_snapshot(self, snapshot: KeptSnapshot, promise: Promise, words: str) -> Found:
        """The application cannot be restored from what `open` found: go on with nothing, and not
        whole. Before anything was appended."""
        found = await self._do(lambda: self._store.refuse_snapshot(snapshot, promise, words))
        self._forget(found.log.last.index)
        return found

    def _forget(self, last: int) -> None:
        self._cut(CUT_ALL)
        self._last = last

    def write_members(self, committed: Committed) -> None:
        """Let cluster.json say who belongs, soon. A list that it has is not written again."""
        self._put(Act(lambda: self._store.write_members(committed)))

    def note_clock(self, cluster_ms: int, wall_ms: int) -> None:
        """Keep which time it is, soon, for when the whole cluster was down."""
        self._put(Act(lambda: self._store.note_clock(cluster_ms, wall_ms), again=False))

    # -- the log

    def append(self, batches: Sequence[Batch]) -> None:
        """Write these behind what there is. StorageError, and nothing of them is taken, where too
        much waits: they have to come again before anything else does."""
        if not batches:
            return
        assert batches[0].first == self._last + 1, f"{batches[0].first} behind {self._last}"
        if not self.keeps:
            self._last = batches[-1].last.index
            return
        size = sum(len(batch.packed) for batch in batches)
        if self.queued_bytes + size > self._queue_bytes_max:
            raise StorageError(
                f"{self.queued_bytes} bytes wait to be written to {self._store.data}, and "
                f"{self._queue_bytes_max} are the most; {self.trouble or 'the disk is too slow'}"
            )
        last = batches[-1].last
        self._last = last.index
        self._number += 1
        self.queued_bytes += size
        self._put(Append(self._number, tuple(batches), size))
        if self._store.fsync is Fsync.INTERVAL and self._timer is None:
            self._timer = self._loop.call_later(self._interval_s, self._sync)

    def cut(self, index: int) -> None:
        """Take away what is behind `index`, the end of a batch."""
        if index < self._last:
            self._cut(index)
            self._last = index
            if self.keeps:
                self._put(Act(lambda: self._store.cut(index)))

    def install(self, install: Install) -> None:
        """A snapshot that is kept becomes the state; the log begins anew behind it, or stays."""
        base = install.base
        if not install.keeps_log:
            self._cut(CUT_ALL)
            self._last = base.position.index
            if self.keeps:
                self._put(Act(lambda: self._store.install(base)))
        elif self.keeps:
            self._put(Act(self._store.prune))

    def keep_behind(self, index: int | None) -> None:
        """The log behind this index stays, whatever a snapshot covers; None: all of that may go."""
        self._store.keep_behind = index

    async def written(self) -> None:
        """All that was queued is carried out, synced, and told."""
        await self._do(self._store.sync, again=True)

    def _cut(self, index: int) -> None:
        self._number += 1
        self._cuts.append((self._number, index))

    def _sync(self) -> None:
        self._timer = None
        self._put(Act(self._store.sync))

    def _note_kept(self, kept: Kept) -> None:
        """Tell the highest place that is kept and was not cut since."""
        self.queued_bytes -= kept.size
        through = kept.ends[-1][0]
        standing = [end for number, end in kept.ends if self._stands(number, end)]
        self._cuts = [each for each in self._cuts if each[0] > through]
        if standing and self._writer is not None:
            self._stored(*max(standing, key=lambda end: end.index))

    def _stands(self, number: int, end: Position) -> bool:
        return all(end.index <= index for cut, index in self._cuts if cut > number)

    # -- snapshots

    async def keep_snapshot(
        self, base: Base, chunks: Iterable[bytes], wanted: Callable[[], bool] = lambda: True
    ) -> bool:
        """Keep a snapshot of our own, a chunk at a time, while the node goes on; whether it is
        kept. It is dropped where it is not `wanted` any more. Without a data directory nothing is
        done."""
        if not self.keeps:
            return False
        writing = self.take(base, "own")
        try:
            for chunk in chunks:
                await writing.write(chunk)
                if not wanted():
                    return False
            return await writing.keep()
        finally:
            await writing.drop()

    def take(self, base: Base, name: str) -> SnapshotWriting:
        """A snapshot that comes in pieces. Only one of a `name` is written at a time."""
        return SnapshotWriting(self._store, self._do, base, name)

    # -- orders

    def _put(self, order: Append | Act) -> None:
        assert self._writer is not None, "the disk is not open"
        self._writer.put(order)

    async def _do(self, act: Callable[[], Result], *, again: bool = False) -> Result:
        """Have something done when what is queued is; its result, or StorageError, unless it is to
        be tried `again`."""
        done: Future[Result] = Future()
        self._put(Act(act, again=again, done=done))
        return await asyncio.wrap_future(done)


class SnapshotWriting:
    """A snapshot on its way to the disk. It counts when it is kept; else nothing remains of it."""

    def __init__(
        self,
        store: Store,
        do: Callable[[Callable[[], Any]], Any],
        base: Base,
        name: str,
    ) -> None:
        self._store, self._do = store, do
        self._base, self._name = base, name
        self._epoch = store.epoch
        self._draft: ChunkDraft | None = None
        self._unsynced = 0

    async def write(self, chunk: bytes) -> None:
        """Add a chunk. StorageError where the disk does not take it."""
        if self._store.data is not None:
            await asyncio.to_thread(self._write, chunk)

    async def keep(self) -> bool:
        """It is whole: sync it, and let it count. False where a later one is kept, or another
        epoch was entered."""
        if self._store.data is None:
            return self._epoch == self._store.epoch
        draft = self._draft
        assert draft is not None, "a snapshot has chunks"
        await asyncio.to_thread(draft.finish)
        kept: bool = await self._do(
            lambda: self._store.keep_snapshot(draft, self._base, self._epoch)
        )
        await self.drop()
        return kept

    async def drop(self) -> None:
        """Nobody wants it any more; nothing is done where it is kept."""
        draft, self._draft = self._draft, None
        if draft is not None:
            await asyncio.to_thread(draft.__exit__)

    def _write(self, chunk: bytes) -> None:
        if self._draft is None:
            draft = self._store.draft_snapshot(self._base, written_as=self._name)
            self._draft = draft.__enter__()
        self._draft.write(chunk)
        self._unsynced += len(chunk)
        if self._unsynced >= SNAPSHOT_SYNC_BYTES:
            self._draft.sync()
            self._unsynced = 0
