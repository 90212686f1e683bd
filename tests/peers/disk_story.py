"""A node's disk under chance: what is done to it, and what may be there after a crash.

The model knows every log that may be found: those since the last that was synced. It holds what was
found against them: nothing synced is lost, nothing cut comes back, log and snapshot fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from peers.core.base import BEGINNING, Base
from peers.core.entry import NO_EPOCH, Batch, Dot, Entry, Epoch, Origin
from peers.core.log import Log
from peers.core.membership import Member, Membership
from peers.core.output import Committed, Promise
from peers.disk.store import Found, Fsync, Store
from peers.wire import pack_batch
from tests.peers.forgetful_files import CrashError, ForgetfulFiles

ME = Origin("a", "birth")
STATE, DATA = Path("/state"), Path("/data")
EPOCH = Epoch(1, "one")
BLANK = Promise(NO_EPOCH, ME.birth, 0, 0, None)
FOUNDERS = Membership((Member("a", ME.birth), Member("b", "b1")))

Chunks = tuple[bytes, ...]
Kept = tuple[int, Chunks]
NONE_KEPT: Kept = (0, ())


def make_batch(log: Log, term: int, size: int = 1, members: Membership | None = None) -> Batch:
    """What would come next in this log."""
    places = tuple(log.vector.places())
    first, at = log.last.index + 1, log.last_at + 1
    if members is not None:
        return pack_batch([Entry(first, term, at, None, None, b"", members)], places)
    before = next((sequence for origin, _, sequence in places if origin == ME), 0)
    entries = [
        Entry(first + n, term, at, Dot(ME, 1, before + 1 + n), None, b"x" * (7 * n) + b"\0" * term)
        for n in range(size)
    ]
    return pack_batch(entries, places)


def batches_of(log: Log) -> tuple[Batch, ...]:
    """All that it holds."""
    return tuple(log.between(log.base.position.index, log.last.index))


def log_of(base: Base, batches: tuple[Batch, ...]) -> Log:
    """A log of these."""
    log = Log(base)
    for batch in batches:
        log.append(batch)
    return log


@dataclass(frozen=True)
class Version:
    """A log that may be found, and how much of it has to be."""

    base: Base
    batches: tuple[Batch, ...]
    synced: int

    def explains(self, log: Log, covered: tuple[int, int]) -> bool:
        """Whether `log` is what a crash may leave of this one; a snapshot is at `covered`."""
        mine = {batch.last.index: batch for batch in self.batches}
        if any(mine.get(batch.last.index) != batch for batch in batches_of(log)):
            return False
        last = self.batches[-1].last.index if self.batches else self.base.position.index
        ends = {batch.last: batch for batch in self.batches}
        through = self.base.position == covered or covered in ends or covered == (0, 0)
        if not through:  # it ends before the snapshot, or was never committed
            return log.last == covered
        return self.synced <= log.last.index <= max(last, covered[1])


class Story:
    """One node's disk, and what is known of it."""

    def __init__(self, random: Random, *, segment_bytes: int = 300) -> None:
        self.random = random
        self.files = ForgetfulFiles(random)
        for path in (Path("/"), STATE, DATA):
            self.files.make_directory(path)
        self.segment_bytes = segment_bytes
        self.boots = 0
        self.term = 1  # the highest that there was
        self.told: list[str] = []
        self.promises = [BLANK]  # that may be found
        self.versions: dict[Epoch, list[Version]] = {NO_EPOCH: [Version(BEGINNING, (), 0)]}
        self.snapshots: dict[Epoch, list[Kept]] = {NO_EPOCH: [NONE_KEPT]}
        self.store = self._new_store()
        self.store.open()
        self.store.write_promise(BLANK)
        self.log = Log()
        self.kept = self.older = NONE_KEPT

    def _new_store(self) -> Store:
        self.boots += 1
        return Store(
            STATE,
            DATA,
            fsync=Fsync.ALWAYS,
            boot=f"boot-{self.boots}",
            files=self.files,
            segment_bytes=self.segment_bytes,
        )

    @property
    def promise(self) -> Promise:
        """The newest that was kept."""
        return self.promises[-1]

    @property
    def snapshot(self) -> int:
        """The index of the snapshot that was kept last."""
        return self.kept[0]

    @property
    def epoch(self) -> Epoch:
        """That it is in."""
        return self.promise.epoch

    def _may_be(self, log: Log, synced: int) -> None:
        self.versions[self.epoch].append(Version(log.base, batches_of(log), synced))

    def _is(self, log: Log, synced: int | None = None) -> None:
        end = log.last.index if synced is None else synced
        self.versions = {self.epoch: [Version(log.base, batches_of(log), end)]}

    # -- what is done

    def step(self) -> None:
        """Something."""
        acts = (
            [self.enter]
            if self.epoch.is_none
            else [self.append] * 6
            + [self.sync] * 3
            + [self.cut, self.keep, self.keep, self.take]
            + [self.promise_more, self.write_members, self.prune_less, self.roll_epoch]
        )
        act = self.random.choice(acts)
        self.told.append(act.__name__)
        act()

    def append(self) -> None:
        if self.random.random() < 0.2:
            self.term += 1
        term = (self.log.last.term if self.random.random() < 0.7 else 0) or self.term
        batches = []
        before = self.versions[self.epoch][-1].synced
        for _ in range(self.random.randint(1, 4)):
            members = None
            if self.random.random() < 0.15:
                name = self.random.choice("bcd")
                members = FOUNDERS.with_member(Member(name, f"{name}{self.random.randint(1, 9)}"))
            batch = make_batch(self.log, term, self.random.randint(1, 9), members)
            self.log.append(batch)
            batches.append(batch)
        self._may_be(self.log, before)
        assert self.store.log is not None
        while batches:
            del batches[: self.store.log.append(batches)]

    def sync(self) -> None:
        assert self.store.log is not None
        self.store.log.sync()
        self._is(self.log)

    def cut(self) -> None:
        ends = [b.last.index for b in batches_of(self.log) if b.last.index >= self.snapshot]
        if not ends:
            return
        index = self.random.choice(ends)
        before = self.versions[self.epoch][-1].synced
        self.log.cut(index)
        self._may_be(self.log, min(before, index))
        assert self.store.log is not None
        self.store.log.take_over(index)
        self.store.log.sweep()
        self._is(self.log)

    def keep(self) -> None:
        """A snapshot of our own."""
        ends = [b.last.index for b in batches_of(self.log) if b.last.index >= self.snapshot]
        if ends:
            base = self.log.base_at(self.random.choice(ends))
            assert base is not None
            self._keep(base)

    def _keep(self, base: Base) -> None:
        index = base.position.index
        chunks = tuple(self.random.randbytes(9) for _ in range(self.random.randint(1, 3)))
        if index < self.snapshot:
            return
        self.snapshots[self.epoch].append((index, chunks))
        with self.store.draft_snapshot(base) as draft:
            for chunk in chunks:
                draft.write(chunk)
            draft.finish()
            assert self.store.keep_snapshot(draft, base, self.epoch)
        self.kept = (index, chunks)
        if self.log.term_at(index) == base.position.term:
            self.older = self.kept
        self.snapshots = {self.epoch: [self.kept]}

    def take(self) -> None:
        """A snapshot of another node, and the log begins anew behind it."""
        ahead = log_of(self.log.base, batches_of(self.log))
        term = self.term = self.term + 1
        for _ in range(self.random.randint(1, 3)):
            ahead.append(make_batch(ahead, term))
        base = ahead.base_at(ahead.last.index)
        assert base is not None
        self._keep(base)
        if self.random.random() < 0.5:
            self.append()  # what comes before the replica has heard of it
        self._install(base)

    def _install(self, base: Base) -> None:
        self.log = Log(base)
        self._may_be(self.log, base.position.index)
        self.store.install(base)
        self._is(self.log)
        self.older = self.kept

    def promise_more(self) -> None:
        promise = self.promise
        self._promise(replace(promise, term=promise.term + 1, vote=Origin("b", "b1")))

    def _promise(self, promise: Promise) -> None:
        self.promises.append(promise)
        self.store.write_promise(promise)
        self.promises = [promise]

    def write_members(self) -> None:
        self.store.write_members(Committed(self.log.changed, self.log.membership))

    def prune_less(self) -> None:
        self.store.keep_behind = self.random.choice([None, 0, self.snapshot // 2])

    def roll_epoch(self) -> None:
        if self.random.random() < 0.3:
            self.enter()

    def enter(self) -> None:
        """Another epoch, which this node leads or not."""
        before = self.promise
        random = f"{self.random.getrandbits(32):08x}"
        epoch = Epoch(before.epoch.number + 1, random, before.epoch.random or None)
        leads = before.epoch.is_none or self.random.random() < 0.5
        members = FOUNDERS if self.random.random() < 0.5 else FOUNDERS.without("b")
        end = self.log.last.index
        named = Committed(end, members) if leads and end else None
        promise = replace(before, epoch=epoch, term=before.term + 1, named=named)
        log = self.log
        if not (leads and end):
            log = Log(Base(membership=members))
        self.versions[epoch] = [Version(log.base, batches_of(log), log.last.index)]
        may = [self.older] if leads else [NONE_KEPT]
        self.snapshots[epoch] = may
        self.promises.append(promise)
        self.store.enter(promise, members, leads=leads)
        self.promises = [promise]
        self.log = log
        if named is not None:
            self.log.name(*named)
        self.kept = self.older = may[0]
        self._is(self.log)
        self.snapshots = {epoch: may}

    # -- an end, and a beginning

    def crash(self) -> None:
        """The power is cut."""
        self.files.crash()
        self.come_up()

    def come_up(self) -> Found:
        """A start, held against what may be there."""
        self.store = self._new_store()
        try:
            found = self.store.open()
        except CrashError:
            self.files.crash()
            return self.come_up()
        self.judge(found)
        assert found.promise is not None
        self.promises = [found.promise]
        self.log = found.log
        if found.promise.named is not None:
            self.log.name(*found.promise.named)
        chunks = () if found.snapshot is None else tuple(found.snapshot.chunks())
        self.kept = self.older = (found.commit, chunks)
        self._is(self.log)
        self.snapshots = {self.epoch: [self.kept]}
        return found

    def judge(self, found: Found) -> None:
        """Whether that may be what is left."""
        assert found.damage == (), (found.damage, self.told)
        assert found.lost == ()
        assert found.promise in self.promises
        assert found.promise is not None
        epoch = found.promise.epoch
        found.log.check()
        covered = (0, 0) if found.snapshot is None else found.snapshot.base.position
        chunks = () if found.snapshot is None else tuple(found.snapshot.chunks())
        assert (found.commit, chunks) in self.snapshots[epoch], (found.commit, chunks)
        if found.snapshot is not None:
            assert found.log.term_at(found.commit) == covered[0], "log and snapshot do not fit"
        assert found.log.base.position.index <= found.commit
        assert any(v.explains(found.log, covered) for v in self.versions[epoch]), (
            f"found {found.log.base.position} to {found.log.last}, snapshot {covered}"
        )
