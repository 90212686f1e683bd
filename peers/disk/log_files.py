"""The log on the disk, as it is written: a line of segments, each going on from the one before.

Nothing is ever written over. Whatever takes away or replaces what is there (a tail that is cut, a
new epoch, a file that the disk failed to sync) is a new segment, which says from where on it holds,
and takes its name in one step, synced. So a crash leaves the log as it was before or after.

This module writes and knows nothing of when; what is found at a start is read in `log_reading.py`.

Invariant: of two segments the one of the higher serial holds, from its base on; what a segment goes
on from was synced before it has a name.
"""

from __future__ import annotations

import contextlib
import itertools
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from peers.core.base import Base
from peers.core.entry import NO_EPOCH, Batch, Epoch, Position
from peers.core.epochs import ANCESTORS_MAX
from peers.core.log import Log, admit
from peers.core.membership import Membership
from peers.core.output import Committed
from peers.core.vector import Vector
from peers.disk.files import Draft, Files, troubles, write_all
from peers.disk.frames import END, FRAME_BYTES, frame
from peers.disk.records import Ended, SegmentHead
from peers.disk.segments import Segment, head_bytes, name_of
from peers.errors import StorageError

SEGMENT_BYTES: Final = 64 << 20  # at which a segment is full; the batch that fills it still fits
WRITE_BYTES: Final = 4 << 20  # joined for one write; more is written one after the other


class LogFiles:
    """The segments of one node."""

    def __init__(self, files: Files, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.birth = ""
        self.epoch: Epoch = NO_EPOCH
        self.sound = True  # what was written can be written on; else `take_over` comes first
        self.synced = 0  # the index up to which the log survives a power cut
        self._files = files
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._line: list[Segment] = []
        self.serial = 0  # the highest that a segment ever had
        self._void: list[Path] = []  # files of which nothing holds any more
        self._changes: list[tuple[int, Membership]] = []  # of who belongs, oldest first
        self._handle: int | None = None  # of the last segment
        self._names_synced = True

    @property
    def last(self) -> int:
        """The index up to which the log is written."""
        return self._line[-1].last if self._line else 0

    @property
    def paths(self) -> list[Path]:
        """The files of it, oldest first."""
        return [segment.path for segment in self._line]

    def holds(self, position: Position) -> bool:
        """Whether the log that is written goes through there."""
        index = position.index
        segment = next((each for each in reversed(self._line) if each.after <= index), None)
        if segment is None or index > segment.last:
            return False
        if index == segment.after:
            return segment.head.base.position == position
        place = bisect_left(segment.ends, index)
        if segment.ends[place] != index:
            return False
        return segment.read_batch(self._files, index)[0].last == position

    # -- what was found

    def adopt(self, line: list[Segment], serial: int, log: Log) -> None:
        """These segments hold that log; nothing is written to them any more: `take_over` next."""
        self._line, self.serial = line, serial
        self._changes = [(log.base.position.index, log.base.membership)]
        for batch in log.between(log.base.position.index, log.last.index):
            if batch.membership is not None:
                self._changes.append((batch.last.index, batch.membership))
        self.synced = log.last.index
        self.sound = False

    def name(self, named: Committed) -> None:
        """As `Log.name`: an epoch began here with these members, whatever the log says."""
        after = self._line[0].after if self._line else 0
        if after <= named.index <= self.last and self._changes[-1][0] <= named.index:
            self._changes.append((named.index, named.membership))

    # -- writing

    def append(self, batches: Sequence[Batch]) -> int:
        """Write batches behind what there is, as many as go in one write; how many. StorageError
        where the disk takes none: then nothing is changed, or the log is not `sound`."""
        assert self.sound, "what cannot be written on is taken over first"
        if self._line[-1].size >= self._segment_bytes and self._line[-1].ends:
            self._go_on()
        segment = self._line[-1]
        parts: list[bytes] = []
        notes: list[tuple[int, int, int]] = []
        place, total = segment.size, segment.total
        most = min(self._segment_bytes, place + WRITE_BYTES)
        for batch in batches:
            if notes and place >= most:
                break
            header, total = frame(batch.packed, total)
            parts += (header, batch.packed, END)
            place += FRAME_BYTES + len(batch.packed)
            notes.append((batch.last.index, place, total))
        self._write(segment, b"".join(parts))
        for note in notes:
            segment.note(*note)
        for batch in batches[: len(notes)]:
            if batch.membership is not None:
                self._changes.append((batch.last.index, batch.membership))
        return len(notes)

    def _write(self, segment: Segment, data: bytes) -> None:
        assert self._handle is not None
        try:
            with troubles(segment.path, "cannot be written"):
                write_all(self._files, self._handle, data)
        except StorageError:
            self._undo(segment)
            raise

    def _undo(self, segment: Segment) -> None:
        """Take away what a full disk took of a write, so that the file is whole."""
        assert self._handle is not None
        try:
            self._files.truncate(self._handle, segment.size)
        except OSError:
            self.sound = False  # a half may stand there: nothing is written behind it

    def sync(self) -> None:
        """Let all that is written survive a power cut. StorageError where that failed: then nobody
        knows which of it does, and the log is not `sound`."""
        self._sync_names()
        if self.synced == self.last:
            return
        assert self._handle is not None
        try:
            with troubles(self._line[-1].path, "cannot be synced"):
                self._files.sync(self._handle)
        except StorageError:
            self.sound = False
            raise
        self.synced = self.last

    def give_up_unsynced(self) -> None:
        """What could not be synced counts as written nevertheless, where nobody was promised
        more."""
        self.synced = self.last

    # -- segments

    def _go_on(self) -> None:
        """The last segment is full: another one. A seal says that there is one, so that it is
        noticed when it is missing."""
        old, full = self._handle, self._line[-1]
        self.sync()
        self._begin(self._base_at(full.last), full.total)
        self._sync_names()
        assert old is not None
        with contextlib.suppress(OSError):  # it is as good without, but for that
            header, _ = frame(b"", full.total)
            write_all(self._files, old, header + END)
            self._files.sync(old)
        with contextlib.suppress(OSError):
            self._files.close(old)

    def take_over(self, index: int) -> None:
        """The log goes on behind `index`, in a new segment; what stands behind that is void."""
        if index > self.synced:
            self.sync()
        segment = next(each for each in reversed(self._line) if each.after <= index)
        base = self._base_at(index)
        total = segment.head.total
        if index > segment.after:
            total = segment.read_batch(self._files, index)[1]
        self._let_go_of_handle()
        self.sound = False
        # Where nothing is left before it, it must not need that what it voids is found.
        self._begin(base, total, anew=self._line[0].after >= index)
        *before, new = self._line
        void = [each for each in before if each.after >= index]
        self._line = [*(each for each in before if each.after < index), new]
        if len(self._line) > 1:
            self._line[-2].cut(index, total)
        while len(self._changes) > 1 and self._changes[-1][0] > index:
            self._changes.pop()
        self.synced = index
        self._void += (each.path for each in void)
        self._sync_names()

    def begin(self, base: Base) -> None:
        """The log begins anew behind `base`."""
        self._let_go_of_handle()
        self.sound = False
        before, self._line = self._line, []
        try:
            self._begin(base, 0, anew=True)
        except BaseException:
            self._line = before
            raise
        self._changes = [(base.position.index, base.membership)]
        self.synced = base.position.index
        self._void += (each.path for each in before)
        self._sync_names()

    def drop(self) -> None:
        """There is no log: it belonged to another birth."""
        self._let_go_of_handle()
        self._void += (each.path for each in self._line)
        self._line, self._changes = [], []
        self.sound, self.synced = False, 0

    def _begin(self, base: Base, total: int, *, anew: bool = False) -> None:
        """A segment that takes its name in one step, with all of its head. From then on it is a
        part of the log, even if the name cannot be synced yet."""
        self.serial += 1
        parents = self._parents(base.position.index)
        head = SegmentHead(self.birth, self.epoch, parents, self.serial, anew, base, total)
        path = self._directory / name_of(base.position.index + 1, self.serial)
        content, begins = head_bytes(head)
        with Draft(path, self._files) as draft:
            draft.write_bytes(content)
            draft.sync()
            draft.rename()
            self._names_synced = False
            self._handle = draft.hand_over()
        self._line = [*self._line, Segment(path, head, len(content), begins)]
        self.sound = True

    def _sync_names(self) -> None:
        """Let the names of new segments survive a power cut: only then anything in them does."""
        if not self._names_synced:
            with troubles(self._directory, "cannot be synced"):
                self._files.sync_directory(self._directory)
            self._names_synced = True

    def _parents(self, index: int) -> tuple[Ended, ...]:
        """The epochs whose logs are in this one, and up to where: their snapshots count, too."""
        ends: dict[Epoch, int] = {}
        for head in (each.head for each in self._line):
            for epoch, end in (*head.parents, Ended(head.epoch, index)):
                ends[epoch] = min(end, ends.get(epoch, index))
        ends.pop(self.epoch, None)
        return tuple(itertools.starmap(Ended, ends.items()))[-ANCESTORS_MAX:]

    def _base_at(self, index: int) -> Base:
        """What lies up to `index`, the end of a batch, in short."""
        segment = next(each for each in reversed(self._line) if each.after <= index)
        membership = next(who for since, who in reversed(self._changes) if since <= index)
        if segment.after == index:
            base = segment.head.base
            return Base(base.position, base.at, base.vector, membership)
        batch, _ = segment.read_batch(self._files, index)
        vector = Vector(batch.vector)
        admit(vector, batch)
        return Base(batch.last, batch.entries[-1].at, tuple(vector.places()), membership)

    # -- letting go

    def prune(self, index: int) -> None:
        """Nothing of the log up to `index` is needed any more."""
        count = 0
        while count + 1 < len(self._line) and self._line[count + 1].after <= index:
            count += 1
        void, self._line = self._line[:count], self._line[count:]
        after = self._line[0].after if self._line else 0
        while len(self._changes) > 1 and self._changes[1][0] <= after:
            del self._changes[0]
        self._void += (each.path for each in void)

    def sweep(self) -> None:
        """Remove what became void. Nothing of it is needed, so the caller may wait with this until
        something else is safe."""
        if not self._names_synced:
            return  # what replaces it might be gone
        void, self._void = self._void, []
        # Oldest first: what is left by a crash then has no gap. What cannot be removed now is void
        # all the same, and goes at the next start.
        with contextlib.suppress(OSError):
            for path in void:
                self._files.remove(path)

    def _let_go_of_handle(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            with contextlib.suppress(OSError):
                self._files.close(handle)

    def close(self) -> None:
        """Let go of the files."""
        self._let_go_of_handle()
