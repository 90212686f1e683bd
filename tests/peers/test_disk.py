"""What is queued is written in order, told when it is kept, and outlives a disk that is full."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import multiprocessing
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.core.base import Base
from peers.core.entry import NO_EPOCH, Epoch
from peers.core.log import Log
from peers.core.output import Committed, Entrance, Install, Promise
from peers.disk import writer
from peers.disk.disk import Disk
from peers.disk.files import OS_FILES, Files
from peers.disk.store import Found, Fsync
from peers.errors import StorageError
from tests.peers.disk_story import FOUNDERS, ME, batches_of, make_batch
from tests.peers.forgetful_files import ForgetfulFiles

BLANK = Promise(NO_EPOCH, ME.birth, 1, 0, None)
EPOCH = Epoch(1, "one")
PROMISE = Promise(EPOCH, ME.birth, 1, 1, ME)
STATE, DATA = Path("/state"), Path("/data")


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(bounded())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.002)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # a thread is what is waited for
        await asyncio.sleep(0.001)


def in_memory(seed: int = 1) -> ForgetfulFiles:
    files = ForgetfulFiles(Random(seed))
    for path in (Path("/"), STATE, DATA):
        files.make_directory(path)
    return files


class Shell:
    """What a node does with its disk, and what it was told."""

    def __init__(self, disk: Disk, told: list[tuple[int, int]]) -> None:
        self.disk, self.told = disk, told
        self.found: Found
        self.log = Log()

    async def open(self) -> Found:
        self.found = await self.disk.open()
        self.log = self.found.log
        if self.found.promise is None:
            self.disk.write_promise(BLANK)
            await self.disk.enter(Entrance(PROMISE, FOUNDERS, True, 0))
            self.log = Log(Base(membership=FOUNDERS))
        return self.found

    def append(self, count: int = 1, term: int = 1) -> None:
        for _ in range(count):
            batch = make_batch(self.log, term)
            self.disk.append((batch,))
            self.log.append(batch)

    def cut(self, index: int) -> None:
        self.log.cut(index)
        self.disk.cut(index)

    async def until_told(self, index: int) -> None:
        await until(lambda: bool(self.told) and self.told[-1][1] >= index)

    async def keep(self, index: int, *chunks: bytes) -> bool:
        base = self.log.base_at(index)
        assert base is not None
        return await self.disk.keep_snapshot(base, chunks or (b"state", b"more"))


def shell(
    files: Files = OS_FILES, state: Path = STATE, data: Path | None = DATA, **options: Any
) -> Shell:
    told: list[tuple[int, int]] = []
    options.setdefault("boot", "boot")
    disk = Disk(
        state, data, stored=lambda term, index: told.append((term, index)), files=files, **options
    )
    return Shell(disk, told)


@asynccontextmanager
async def running(files: Files = OS_FILES, **options: Any) -> AsyncIterator[Shell]:
    one = shell(files, **options)
    await one.open()
    try:
        yield one
    finally:
        await one.disk.close()


def trouble_of(one: Shell) -> str:
    return one.disk.trouble or ""


async def found_in(files: Files = OS_FILES, **options: Any) -> Found:
    """What a start finds; the directories are let go of."""
    async with running(files, **options) as one:
        return one.found


# -- what is kept


def test_what_was_told_to_be_kept_is_found_after_a_crash() -> None:
    async def test() -> None:
        files = in_memory()
        one = shell(files)
        await one.open()
        one.append(5)
        await one.until_told(5)
        files.crash()
        found = await found_in(files)
        assert batches_of(found.log) == batches_of(one.log)
        assert (found.lost, found.damage) == ((), ())
        assert found.promise == PROMISE
        with contextlib.suppress(Exception):
            await one.disk.close()

    run(test())


def test_one_sync_is_for_all_that_came_while_another_was_under_way(tmp_path: Path) -> None:
    async def test() -> None:
        files = SlowFiles(tmp_path)
        async with running(files, state=files.root / "s", data=files.root / "d") as one:
            await one.disk.written()
            files.syncs = 0
            files.gate.clear()
            files.waiting.clear()  # it was set when the disk was opened
            one.append()
            await asyncio.to_thread(files.waiting.wait)
            one.append(99)
            files.gate.set()
            await one.until_told(100)
            assert files.syncs == 2
            assert one.told == [(1, 1), (1, 100)]

    run(test())


class SlowFiles:
    """The real file system, whose syncs can be held up."""

    def __init__(self, root: Path) -> None:
        self.gate, self.waiting = threading.Event(), threading.Event()
        self.gate.set()
        self.syncs = 0
        self.root = root

    def __getattr__(self, name: str) -> Any:
        return getattr(OS_FILES, name)

    def sync(self, handle: int) -> None:
        self.syncs += 1
        self.waiting.set()
        self.gate.wait()
        OS_FILES.sync(handle)


def test_nothing_waits_for_the_disk(tmp_path: Path) -> None:
    """While a sync is held up the loop goes on, and says nothing of what is not kept."""

    async def test() -> None:
        files = SlowFiles(tmp_path)
        async with running(files, state=files.root / "s", data=files.root / "d") as one:
            files.gate.clear()
            one.append(10)
            one.disk.write_members(Committed(0, FOUNDERS))
            one.disk.note_clock(5, 6)
            await asyncio.sleep(0)
            assert one.told == []
            files.gate.set()
            await one.until_told(10)

    run(test())


def test_what_was_cut_is_not_told_to_be_kept(tmp_path: Path) -> None:
    async def test() -> None:
        files = SlowFiles(tmp_path)
        async with running(files, state=files.root / "s", data=files.root / "d") as one:
            files.gate.clear()
            one.append(3)
            one.append(4)
            one.cut(3)
            one.append(2, term=2)
            files.gate.set()
            await one.until_told(5)
            assert {told for told in one.told if told[1] > 3} == {(2, 5)}
            await one.disk.written()
        found = await found_in(files, state=files.root / "s", data=files.root / "d")
        assert batches_of(found.log) == batches_of(one.log)

    run(test())


def test_more_than_the_queue_holds_is_refused_and_can_come_again(tmp_path: Path) -> None:
    async def test() -> None:
        files = SlowFiles(tmp_path)
        root = files.root
        async with running(files, state=root / "s", data=root / "d", queue_bytes_max=300) as one:
            files.gate.clear()
            one.append()
            with pytest.raises(StorageError, match="wait to be written"):
                one.append(10)
            files.gate.set()
            await one.disk.written()
            await asyncio.sleep(0)
            one.append()
            await one.until_told(one.log.last.index)
            assert one.disk.queued_bytes == 0

    run(test())


@pytest.mark.parametrize("fsync", Fsync)
def test_what_counts_as_kept_is_synced_or_written(tmp_path: Path, fsync: Fsync) -> None:
    async def test() -> None:
        files = SlowFiles(tmp_path)
        async with running(
            files, state=tmp_path / "s", data=tmp_path / "d", fsync=fsync, fsync_interval_ms=5
        ) as one:
            before = files.syncs
            if fsync is not Fsync.ALWAYS:
                files.gate.clear()
            one.append(10)
            await one.until_told(10)
            if fsync is Fsync.INTERVAL:
                files.waiting.clear()
                await asyncio.to_thread(files.waiting.wait)
            assert (files.syncs > before) == (fsync is not Fsync.NEVER)
            files.gate.set()
        assert files.syncs > before, "a stop in order syncs"

    run(test())


def test_without_a_data_directory_nobody_is_told_of_the_log_and_nothing_is_found() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files, data=None) as one:
            one.append(3)
            assert not await one.keep(3)
            assert one.told == []
        found = await found_in(files, data=None)
        assert found.log.last == Log().last
        assert found.log.membership == FOUNDERS
        assert found.promise == replace(PROMISE, whole=False)
        assert found.lost == ("there is no data directory, so the log of the life before is gone",)

    run(test())


# -- disks that take nothing


def test_a_full_disk_is_waited_for_and_nothing_is_missing_or_twice() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files) as one:
            one.append(3)
            await one.until_told(3)
            files.room = 150
            one.append(20)
            await until(lambda: one.disk.trouble is not None)
            assert "cannot be written: No space left on device; make room" in trouble_of(one)
            one.append(5)
            files.room = None
            await one.until_told(28)
            assert trouble_of(one) == ""
        found = await found_in(files)
        assert batches_of(found.log) == batches_of(one.log)
        assert found.damage == ()

    run(test())


def test_after_a_sync_that_failed_the_log_goes_on_in_another_file() -> None:
    """The same file, synced again, would say that all is well, and it is not."""

    async def test() -> None:
        files = in_memory()
        one = shell(files)
        await one.open()
        one.append(3)
        await one.until_told(3)
        failures = iter([errno.EIO])
        files.fails = lambda what, path: (
            next(failures, None) if what == "sync" and ".log" in path.name else None
        )
        one.append(4)
        await one.until_told(7)
        assert len([name for name in files.names(DATA) if name.endswith(".log")]) == 2
        files.crash()
        found = await found_in(files)
        assert batches_of(found.log) == batches_of(one.log)
        assert (found.lost, found.damage) == ((), ())
        with contextlib.suppress(Exception):
            await one.disk.close()

    run(test())


@pytest.mark.parametrize("fsync", [Fsync.INTERVAL, Fsync.NEVER])
def test_a_node_that_could_not_sync_is_not_sure_of_its_stop(fsync: Fsync) -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files, fsync=fsync, fsync_interval_ms=1, segment_bytes=200) as one:
            failures = iter([errno.EIO])
            files.fails = lambda what, path: (
                next(failures, None) if what == "sync" and ".log" in path.name else None
            )
            one.append(30)
            await until(lambda: not one.disk._store.sure)
            await one.disk.written()
        found = await found_in(files, boot="another", fsync=fsync)
        assert batches_of(found.log) == batches_of(one.log)
        assert found.lost
        assert "synced with fsync" in found.lost[0]

    run(test())


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(Fsync))
def test_whatever_fails_meanwhile_what_is_told_is_kept(seed: int, fsync: Fsync) -> None:
    async def test() -> None:
        random = Random(seed)
        files = in_memory(seed)
        one = shell(files, fsync=fsync, fsync_interval_ms=1, segment_bytes=400)
        await one.open()
        what_fails = random.choice(["sync", "write", "truncate", "create", "rename", "remove"])

        def fails(what: str, path: Path) -> int | None:
            ill = what in (what_fails, random.choice(["sync", "write", "truncate"]))
            return errno.EIO if path.parent == DATA and ill and random.random() < 0.3 else None

        files.fails = fails
        for _ in range(15):
            match random.randrange(6):
                case 0 if one.log.last.index:
                    ends = [batch.last.index for batch in batches_of(one.log)]
                    one.cut(random.choice(ends))
                case 1:
                    files.room = random.choice([None, 0, 100, 1000])
                case _:
                    one.append(
                        random.randint(1, 5), one.log.last.term + (random.random() < 0.2) or 1
                    )
            if random.random() < 0.5:
                await asyncio.sleep(0.001)
        files.fails, files.room = lambda what, path: None, None
        await one.disk.written()
        await asyncio.sleep(0)
        if batches_of(one.log):
            assert one.told[-1] == one.log.last or one.log.last.index <= one.told[-1][1]
        if fsync is Fsync.ALWAYS:
            files.crash()
        else:
            await one.disk.close()
        found = await found_in(files, fsync=fsync)
        assert found.damage == ()
        assert batches_of(found.log) == batches_of(one.log)
        with contextlib.suppress(Exception):
            await one.disk.close()

    run(test())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_disk_that_is_really_full_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    async def test() -> None:
        where: dict[str, Any] = {"state": tmp_path / "s", "data": small_disk}
        async with running(**where) as one:
            ballast = small_disk / "ballast"
            ballast.write_bytes(bytes(800 << 10))
            one.append(9_000)
            await until(lambda: one.disk.trouble is not None)
            assert "No space left on device" in trouble_of(one)
            assert one.told == [] or one.told[-1][1] < 9_000
            with pytest.raises(StorageError, match="No space left"):
                await one.keep(9_000, bytes(1 << 20))
            ballast.unlink()
            await one.until_told(9_000)
        found = await found_in(**where)
        assert batches_of(found.log) == batches_of(one.log)
        assert found.damage == ()

    run(test())


# -- snapshots


def test_a_snapshot_is_kept_while_the_log_goes_on_and_old_segments_go() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files, segment_bytes=300) as one:
            one.append(40)
            await one.disk.written()
            before = len(files.names(DATA))

            def chunks() -> Iterator[bytes]:
                for _ in range(3):
                    one.append()
                    yield b"chunk"

            base = one.log.base_at(30)
            assert base is not None
            assert await one.disk.keep_snapshot(base, chunks())
            assert len(files.names(DATA)) < before - 3
            one.disk.keep_behind(35)
            assert not await one.keep(20), "an older one is of no use"
            assert await one.keep(43)
            await one.disk.written()
        found = await found_in(files)
        assert found.commit == 43
        assert found.snapshot is not None
        assert list(found.snapshot.chunks()) == [b"state", b"more"]
        assert found.log.base.position.index <= 35
        assert found.log.last.index == 43

    run(test())


def test_a_snapshot_that_nobody_wants_any_more_leaves_nothing() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files) as one:
            one.append(3)
            base = one.log.base_at(3)
            assert base is not None
            assert not await one.disk.keep_snapshot(base, [b"x"], wanted=lambda: False)
            assert not [name for name in files.names(DATA) if "snapshot" in name or "new" in name]

    run(test())


def test_a_snapshot_from_another_node_takes_the_place_of_the_log() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files) as one:
            one.append(3)
            ahead = Log(one.log.base)
            for _ in range(9):
                ahead.append(make_batch(ahead, 2))
            base = ahead.base_at(9)
            assert base is not None
            taking = one.disk.take(base, "taken-1")
            await taking.write(b"piece")
            await taking.write(b"last")
            assert await taking.keep()
            one.disk.install(Install(1, base, keeps_log=False))
            one.log = Log(base)
            one.append(2, term=3)
            await one.until_told(11)
        found = await found_in(files)
        assert found.snapshot is not None
        assert list(found.snapshot.chunks()) == [b"piece", b"last"]
        assert (found.log.base, batches_of(found.log)) == (base, batches_of(one.log))

    run(test())


def test_a_snapshot_that_the_application_refuses_leaves_a_node_with_nothing() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files, segment_bytes=200) as one:
            one.append(9)
            await one.disk.written()
            await one.keep(9)
            one.disk.write_members(Committed(4, FOUNDERS))
        two = shell(files)
        found = await two.open()
        assert found.snapshot is not None
        assert found.promise is not None
        found = await two.disk.refuse_snapshot(found.snapshot, found.promise, "it makes no sense")
        assert found.promise == replace(PROMISE, whole=False)
        assert found.log.last.index == 0
        assert found.log.membership == FOUNDERS
        assert "the application refuses it: it makes no sense" in found.damage[0]
        two.log = found.log
        two.append(2)
        await two.until_told(2)
        await two.disk.close()
        found = await found_in(files)
        assert found.promise == replace(PROMISE, whole=False)
        assert found.log.last.index == 2
        assert any("snapshot" in name and "damaged" in name for name in files.names(DATA))

    run(test())


# -- lives


@pytest.mark.parametrize(
    ("fsync", "same_boot", "clean", "whole"),
    [
        (Fsync.ALWAYS, False, False, True),
        (Fsync.INTERVAL, True, False, True),
        (Fsync.INTERVAL, False, False, False),
        (Fsync.INTERVAL, False, True, True),
        (Fsync.NEVER, True, False, True),
        (Fsync.NEVER, False, False, False),
        (Fsync.NEVER, False, True, True),
    ],
)
def test_a_log_that_was_not_synced_is_believed_while_the_machine_runs(
    fsync: Fsync, *, same_boot: bool, clean: bool, whole: bool
) -> None:
    async def test() -> None:
        files = in_memory()
        one = shell(files, fsync=fsync)
        await one.open()
        one.append(3)
        await one.until_told(3)
        await one.disk.close(clean=clean)
        boot = "boot" if same_boot else "another"
        found = await found_in(files, boot=boot)
        assert found.promise == replace(PROMISE, whole=whole)
        assert bool(found.lost) != whole
        found = await found_in(files, boot="a third")
        assert found.promise == replace(PROMISE, whole=whole), "what is missing stays missing"

    run(test())


def test_a_data_directory_that_was_emptied_or_is_new_is_noticed() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files) as one:
            one.append(3)
        for name in files.names(DATA):
            files.remove(DATA / name)
        found = await found_in(files)
        assert found.lost == ("/data holds no log of this node and epoch",)
        files = in_memory()
        async with running(files, data=None) as one:
            one.append(3)
        found = await found_in(files)
        assert found.lost[0] == "the life before had no data directory, so its log is gone"

    run(test())


def test_a_log_without_promises_is_set_aside() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files) as one:
            one.append(3)
            await one.disk.written()
            await one.keep(3)
        for name in files.names(STATE):
            files.remove(STATE / name)
        two = shell(files)
        found = await two.disk.open()
        assert (found.promise, found.log.last.index, found.snapshot) == (None, 0, None)
        assert "nothing says whose" in found.damage[0]
        assert len([name for name in files.names(DATA) if "damaged" in name]) == 2
        await two.disk.close()

    run(test())


def test_a_node_that_starts_over_keeps_only_the_list_of_members() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files) as one:
            one.append(3)
            await one.disk.written()
            await one.keep(3)
            one.disk.write_members(Committed(0, FOUNDERS))
            other = Promise(NO_EPOCH, "another-birth", 1, 0, None)
            await one.disk.start_over(other)
            assert [n for n in files.names(DATA) if n != "lock"] == []
            one.disk.write_promise(replace(other, epoch=EPOCH, term=4))
            one.log = Log()
            one.append(2)
            await one.until_told(2)
        found = await found_in(files)
        assert found.promise == replace(other, epoch=EPOCH, term=4)
        assert found.log.last.index == 2
        assert found.listed is not None
        assert found.listed.committed.membership == FOUNDERS

    run(test())


def test_the_time_that_was_noted_is_found() -> None:
    async def test() -> None:
        files = in_memory()
        async with running(files) as one:
            assert one.found.clock == (0, 0)
            one.disk.note_clock(1_000, 2_000)
            await one.disk.written()
        assert (await found_in(files)).clock == (1_000, 2_000)
        assert (await found_in(files)).clock == (1_000, 2_000)

    run(test())


def _hold(state: Path, data: Path, ready: Any, over: Any) -> None:
    async def hold() -> None:
        async with running(state=state, data=data):
            ready.set()
            await asyncio.to_thread(over.wait)

    asyncio.run(hold())


def test_two_processes_cannot_have_one_directory(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, over = context.Event(), context.Event()
    child = context.Process(target=_hold, args=(tmp_path / "s", tmp_path / "d", ready, over))
    child.start()
    try:
        assert ready.wait(30)
        for state, data in (("s", "other"), ("other", "d")):
            one = shell(state=tmp_path / state, data=tmp_path / data)
            with pytest.raises(StorageError, match="in use by another running node"):
                asyncio.run(one.disk.open())
    finally:
        over.set()
        child.join(30)
    asyncio.run(found_in(state=tmp_path / "s", data=tmp_path / "d"))


def test_an_identical_list_leaves_the_file_untouched(tmp_path: Path) -> None:
    async def test() -> None:
        where: dict[str, Any] = {"state": tmp_path / "s", "data": tmp_path / "d"}
        file = tmp_path / "s" / "cluster.json"

        def stamp() -> tuple[bytes, int, int]:
            return file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_ino

        async with running(**where) as one:
            one.disk.write_members(Committed(3, FOUNDERS))
            await one.disk.written()
            before = stamp()
            one.disk.write_members(Committed(9, FOUNDERS))
            await one.disk.written()
            assert stamp() == before
        async with running(**where) as one:
            assert one.found.listed is not None
            assert one.found.listed.committed == Committed(3, FOUNDERS)
            one.disk.write_members(Committed(9, FOUNDERS))
            await one.disk.written()
            assert stamp() == before
            one.disk.write_members(Committed(10, FOUNDERS.without("b")))
            await one.disk.written()
            assert stamp() != before

    run(test())
