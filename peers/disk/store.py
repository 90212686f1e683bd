"""All that a node of a cluster keeps: promises, members, the log and snapshots, in their order.

Blocking, and not for two threads at once; `disk.py` is its face on the event loop. This module
decides what is safe before what else is done: the promise of a new epoch only when there is a log
of it, the removal of the old one only after that; what is missing before what is damaged is set
aside.

Invariant: at any moment a crash leaves what `open` makes a log and a snapshot of that fit together,
with all that was synced; what is missing of it is said.
"""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass, replace
from pathlib import Path

from peers.core.base import BEGINNING, Base
from peers.core.entry import NO_EPOCH, NOWHERE, Epoch
from peers.core.log import Log
from peers.core.membership import Membership
from peers.core.output import Committed, Promise
from peers.disk import snapshot_files
from peers.disk.chunk_files import ChunkDraft
from peers.disk.cluster_file import ClusterFile, Listed
from peers.disk.files import DRAFT_SUFFIX, OS_FILES, Files, lock_directory, troubles
from peers.disk.log_files import SEGMENT_BYTES, LogFiles
from peers.disk.promises import Life, LifeFile, PromiseFile
from peers.disk.records import Promised
from peers.disk.snapshot_files import KeptSnapshot
from peers.disk.start import Start, look_at_data, look_at_life, look_at_state
from peers.errors import StorageError

ASIDE_MAX = 1_000  # files that were set aside under one name


class Fsync(enum.StrEnum):
    """When the log counts as kept."""

    ALWAYS = "always"  # when it is synced
    INTERVAL = "interval"  # when it is written; it is synced every so often
    NEVER = "never"  # when it is written; the system writes it to the disk when it likes


@dataclass(frozen=True, slots=True)
class Found:
    """What a start has to go on from."""

    promise: Promise | None  # None: a node that is new, or has lost all: it draws a birth
    log: Log
    snapshot: KeptSnapshot | None  # what the application is to be restored from
    listed: Listed | None  # what cluster.json says
    clock: tuple[int, int]  # the last (cluster time, wall clock) that was noted; zeros: never
    damage: tuple[str, ...]  # what is wrong, a sentence each
    lost: tuple[str, ...]  # why the promise says that the log is not whole, where it does since now

    @property
    def commit(self) -> int:
        """What is known to be committed: what the snapshot is of."""
        return 0 if self.snapshot is None else self.snapshot.base.position.index


class Store:
    """The directories of one node."""

    def __init__(
        self,
        state: Path,
        data: Path | None,
        *,
        fsync: Fsync = Fsync.ALWAYS,
        boot: str = "",
        files: Files = OS_FILES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.state, self.data = state, data
        self.fsync = fsync
        self.log = None if data is None else LogFiles(files, data, segment_bytes)
        self.epoch: Epoch = NO_EPOCH
        self.birth = ""
        self._newest = self._older = NOWHERE  # snapshots; two until the log goes through the newest
        self.keep_behind: int | None = None  # the log behind this index stays; None: all may go
        self.sure = True  # a stop can say that all is synced
        self._files = files
        self._boot = boot
        self._promises = PromiseFile(files, state)
        self._life_file = LifeFile(files, state)
        self._cluster = ClusterFile(files, state)
        self._life = Life(boot, data is not None, fsync)
        self._began: Membership | None = None
        self._locks: list[int] = []

    @property
    def snapshot_index(self) -> int:
        """What the snapshot that is kept is exact at; 0 where there is none."""
        return self._newest.index

    # -- a start

    def open(self) -> Found:
        """Take the directories for this process, and say what is there. StorageError where they
        cannot be used."""
        try:
            self._take_directories()
            start = look_at_state(self._promises, self._life_file, self._cluster)
            look_at_life(start, keeps=self.data is not None, boot=self._boot)
            if self.data is not None:
                look_at_data(start, self._files, self.data)
            else:
                start.log = Log(Base(membership=start.membership))
            return self._go_on_from(start)
        except BaseException:
            self._let_go()
            raise

    def _take_directories(self) -> None:
        for path in {self.state: None, **({} if self.data is None else {self.data: None})}:
            self._locks.append(lock_directory(path, self._files))
            with troubles(path, "cannot be used"):
                for name in self._files.names(path):
                    if name.endswith(DRAFT_SUFFIX):  # a crash cut its writing short
                        self._files.remove(path / name)

    def _go_on_from(self, start: Start) -> Found:
        promise, life = start.promise, start.life
        if promise is not None:
            promise = replace(promise, whole=promise.whole and not start.lost)
            self._began = start.promised.began if start.promised else None
            self.birth, self.epoch = promise.birth, promise.epoch
            self._promises.write(Promised(promise, self._began))
        damage = tuple(self._set_aside(start))
        if self.log is not None and promise is not None:
            self._take_up_log(self.log, start, promise)
        self._remove(start.spare)
        if start.snapshot is not None:
            self._newest = self._older = start.snapshot.base.position
        if life is not None:
            self._life = replace(self._life, cluster_ms=life.cluster_ms, wall_ms=life.wall_ms)
        self._life_file.write(self._life)
        clock = (self._life.cluster_ms, self._life.wall_ms)
        return Found(
            *(promise, start.log, start.snapshot, start.listed, clock, damage),
            tuple(start.lost),
        )

    def _take_up_log(self, log: LogFiles, start: Start, promise: Promise) -> None:
        log.birth, log.epoch = promise.birth, promise.epoch
        if promise.epoch.is_none:
            log.adopt([], start.heads.serial, Log())
            return
        line = start.reading.line if start.goes_on else []
        if start.life is None or not start.life.clean:
            # What is read may only be in memory, and counts as kept from now on.
            self._sync_files([segment.path for segment in line])
        log.adopt(line, start.heads.serial, start.log)
        if promise.named is not None:
            log.name(promise.named)
        if start.goes_on:
            log.take_over(start.log.last.index)
        else:
            log.begin(start.log.base)
        log.sweep()

    def _sync_files(self, paths: list[Path]) -> None:
        for path in paths:
            with troubles(path, "cannot be synced"):
                handle = self._files.extend(path)
                try:
                    self._files.sync(handle)
                finally:
                    self._files.close(handle)

    def _set_aside(self, start: Start) -> list[str]:
        """What is damaged gets another name; where its beginning is good, it has both."""
        needed = {segment.path for segment in start.reading.line if start.goes_on}
        words = []
        for path in dict.fromkeys(start.aside):
            other = self._name_aside(path)
            with troubles(path, "cannot be set aside"):
                if path in needed:
                    with contextlib.suppress(OSError):  # not every file system has second names
                        self._files.link(path, other)
                else:
                    self._files.rename(path, other)
                self._files.sync_directory(path.parent)
            words.append(f"{path} is set aside as {other.name}")
        return start.damage + words

    def _name_aside(self, path: Path) -> Path:
        taken = set(self._files.names(path.parent))
        names = (f"{path.name}.damaged-{number}" for number in range(1, ASIDE_MAX))
        free = next((name for name in names if name not in taken), None)
        if free is None:
            raise StorageError(f"{path.parent} holds {ASIDE_MAX} damaged files; move them away")
        return path.with_name(free)

    def _remove(self, paths: list[Path]) -> None:
        with contextlib.suppress(OSError):
            for path in sorted(paths):  # the oldest first: see LogFiles.sweep
                self._files.remove(path)

    # -- promises

    def write_promise(self, promise: Promise) -> None:
        """Keep it, synced. Who joins comes to an epoch by it, with an empty log."""
        log = self.log
        if promise.epoch != self.epoch and log is not None:
            assert self.epoch.is_none, "another epoch is entered"
            log.birth, log.epoch = promise.birth, promise.epoch
            log.begin(BEGINNING)
        self._promises.write(Promised(promise, self._began))
        self.birth, self.epoch = promise.birth, promise.epoch
        if log is not None:
            log.birth = promise.birth
            log.sweep()

    def enter(self, promise: Promise, membership: Membership, *, leads: bool) -> None:
        """Go on in another epoch. Who leads keeps log and snapshot. If it fails, nothing but to
        enter again, or to stop, may follow."""
        log, began = self.log, self._began
        if log is not None:
            log.epoch = promise.epoch
            if leads and log.last:
                log.take_over(log.last)
                if not log.holds(self._newest):  # taken, and not installed: of no use any more
                    self._newest = self._older
            else:
                log.begin(Base(membership=membership))
        self._began = membership
        try:
            self._promises.write(Promised(promise, membership))
        except BaseException:
            self._began = began
            raise
        self.epoch = promise.epoch
        if log is not None:
            if promise.named is not None:
                log.name(promise.named)
            log.sweep()
        if not leads:
            self._drop_snapshots()

    def start_over(self, promise: Promise) -> None:
        """Forget all: another birth begins, which belongs to nothing."""
        assert promise.epoch.is_none
        self._began = None
        if self.log is not None:
            self.log.drop()
            self.log.birth, self.log.epoch = promise.birth, NO_EPOCH
        self._promises.write(Promised(promise))
        self.birth, self.epoch = promise.birth, NO_EPOCH
        if self.log is not None:
            self.log.sweep()
        self._drop_snapshots()

    def write_members(self, committed: Committed) -> None:
        """Keep who belongs, synced."""
        self._cluster.write(self.epoch, committed)

    def note_clock(self, cluster_ms: int, wall_ms: int) -> None:
        """Keep which time it is, synced."""
        life = replace(self._life, cluster_ms=cluster_ms, wall_ms=wall_ms)
        self._life_file.write(life)
        self._life = life

    # -- snapshots

    def draft_snapshot(self, base: Base, *, written_as: str = "") -> ChunkDraft:
        """A snapshot that is to be written; `keep_snapshot` makes it count."""
        assert self.data is not None
        return snapshot_files.draft(
            self._files, self.data, self.birth, self.epoch, base, written_as=written_as
        )

    def keep_snapshot(self, draft: ChunkDraft, base: Base, epoch: Epoch) -> bool:
        """A draft that is finished becomes the snapshot, and what it covers of the log may go;
        False where there is a later one, or another epoch."""
        if base.position.index < self.snapshot_index or epoch != self.epoch:
            return False
        draft.take_name()
        self._newest = base.position  # the older one stays what it is, until the log is there
        self.prune()
        return True

    def sync(self) -> None:
        """What is written of the log survives a power cut."""
        if self.log is not None and self.log.sound:
            self.log.sync()

    def cut(self, index: int) -> None:
        """The log goes on behind `index`; what stands behind that is taken away."""
        assert self.log is not None
        if index < self.log.last or not self.log.sound:
            self.log.take_over(index)
        else:
            self.log.sync()  # it is cut already, if nobody could be sure of that yet
        self.log.sweep()

    def install(self, base: Base) -> None:
        """The log begins anew behind a snapshot, which is kept already."""
        assert self.log is not None
        assert base.position.index <= self.snapshot_index, "the snapshot is kept first"
        self.log.begin(base)
        self.prune()

    def prune(self) -> None:
        """Let go of what the snapshot covers: older ones, and segments that no window wants.
        While the log has not got to it, it may yet turn out to be of no use."""
        log = self.log
        if log is None or self.data is None or not log.holds(self._newest):
            return
        if self._older != self._newest:
            kept = snapshot_files.name_of(self.snapshot_index)
            snapshot_files.remove_others(self._files, self.data, kept)
            self._older = self._newest
        behind = self.snapshot_index if self.keep_behind is None else self.keep_behind
        log.prune(min(self.snapshot_index, behind))
        log.sweep()

    def _drop_snapshots(self) -> None:
        self._newest = self._older = NOWHERE
        if self.data is not None:
            snapshot_files.remove_others(self._files, self.data, "")

    def refuse_snapshot(self, snapshot: KeptSnapshot, promise: Promise, words: str) -> Found:
        """The application cannot be restored from it, so nothing behind it is of use: the node goes
        on with nothing, and not whole. `promise` is what was found."""
        start = Start(Promised(promise, self._began), self._life, self._cluster.listed)
        refused = f"{snapshot.path}: the application refuses it: {words}"
        start.damage.append(refused)
        start.lost.append(refused)
        start.aside.append(snapshot.path)
        start.log = Log(Base(membership=start.membership))
        if self.log is not None:
            start.heads.serial = self.log.serial
            start.aside += self.log.paths
            self.log.close()
        self._newest = self._older = NOWHERE
        return self._go_on_from(start)

    # -- the end

    def close(self, *, clean: bool) -> None:
        """Let go of the directories. `clean`: all is synced, and the next start is told so."""
        try:
            if clean:
                if self.log is not None:
                    self.sure &= self.log.sound or self.log.synced == self.log.last
                    if self.sure:
                        self.log.sync()
                self._life_file.write(replace(self._life, clean=self.sure))
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._promises.close()
        if self.log is not None:
            self.log.close()
        locks, self._locks = self._locks, []
        for handle in locks:
            with contextlib.suppress(OSError):
                self._files.close(handle)
