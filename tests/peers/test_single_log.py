"""A cluster of one: a batch a turn, nobody left waiting, and nothing trusted that may be wrong."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from peers import single
from peers.core.entry import Dot, Entry, Epoch, Origin
from peers.disk.storage import Mark, State, StateDirectory
from peers.errors import RefusedError, StorageError
from peers.ordered_log import Ack, NodeStatus, Settled
from peers.single import SingleLog
from tests.peers.notebook import Arriving, Notebook
from tlru.engine.machine import Machine
from tlru.engine.operations import Set, encode
from tlru.engine.snapshot import Loader

ROOT = Path(__file__).parents[2]
NEVER = 10_000.0


@asynccontextmanager
async def running(
    directory: Path | None = None, notebook: Notebook | None = None, interval: float = NEVER
) -> AsyncIterator[tuple[SingleLog, Notebook]]:
    notebook = Notebook() if notebook is None else notebook
    log = SingleLog("n", directory, snapshot_interval_s=interval)
    await log.start(notebook)
    try:
        yield log, notebook
    finally:
        await log.stop()


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await test

    asyncio.run(limited())


async def turn() -> None:
    """Let what was proposed be applied."""
    await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that only the disk, or a log message, can tell."""
    while not condition():  # noqa: ASYNC110  # neither of them sets an event
        await asyncio.sleep(0.002)


def write(log: SingleLog, *lines: str) -> list[Dot]:
    return [log.propose(line.encode()) for line in lines]


def mark_on(path: Path) -> Mark | None:
    """Of the snapshot that is on the disk; the directory may be in use."""
    stored = StateDirectory(path).read_snapshot()
    if stored is None:
        return None
    stored.close()
    return stored.mark


def state_on(path: Path) -> State:
    directory = StateDirectory(path)
    try:
        state = directory.open()
    finally:
        directory.close()
    assert state is not None
    return state


# -- ordering


def test_what_is_proposed_in_one_turn_is_one_batch() -> None:
    async def test() -> None:
        async with running() as (log, notebook):
            dots = write(log, "a", "b")
            assert notebook.story == []
            await turn()
            dots += write(log, "c")
            await turn()
            assert notebook.story == [[1, 2], [3]]
            origin = dots[0].origin
            assert dots == [Dot(origin, 1, n) for n in (1, 2, 3)]
            assert origin == Origin("n", origin.birth)

    run(test())


def test_whoever_has_no_more_to_propose_need_not_wait_for_the_turn_to_end() -> None:
    async def test() -> None:
        async with running() as (log, notebook):
            write(log, "a", "b")
            log.flush()
            assert notebook.story == [[1, 2]]
            log.flush()
            write(log, "c")
            await turn()
            assert notebook.story == [[1, 2], [3]]

    run(test())


def test_what_applying_proposes_and_flushes_comes_after_it_nevertheless() -> None:
    """An entry is never applied in the midst of another."""

    async def test() -> None:
        async with running() as (log, notebook):

            def propose_more(entries: Sequence[Entry]) -> None:
                if entries[-1].index == 1:
                    log.propose(b"more")
                    log.flush()
                    assert notebook.index == 0

            notebook.on_apply = propose_more
            write(log, "a")
            log.flush()
            assert notebook.story == [[1]]
            await turn()
            assert notebook.story == [[1], [2]]

    run(test())


def test_entries_have_the_clusters_time_and_what_was_proposed() -> None:
    async def test() -> None:
        async with running() as (log, notebook):
            entries: list[Entry] = []
            notebook.on_apply = entries.extend
            before = log.now()
            dot = log.propose(b"a", Ack.QUORUM, until=before + 5)
            await turn()
            (entry,) = entries
            assert entry == Entry(1, 1, entry.at, dot, before + 5, b"a")
            assert before <= entry.at <= log.now()

    run(test())


def test_the_leader_has_it_before_and_all_hold_it_after_it_is_applied() -> None:
    async def test() -> None:
        async with running() as (log, notebook):
            for ack in (Ack.ALL, Ack.LEADER, Ack.QUORUM, Ack.NONE):
                log.propose(b"a", ack)
            await turn()
            assert notebook.story == [
                (2, Settled.APPENDED),
                [1, 2, 3, 4],
                (1, Settled.HELD_BY_ALL),
            ]

    run(test())


def test_what_applying_proposes_comes_in_the_next_turn() -> None:
    async def test() -> None:
        async with running() as (log, notebook):

            def propose_more(entries: Sequence[Entry]) -> None:
                if entries[-1].index < 5:
                    log.propose(b"more")

            notebook.on_apply = propose_more
            write(log, "a")
            await until(lambda: notebook.index == 5)
            assert notebook.story == [[1], [2], [3], [4], [5]]

    run(test())


def test_a_barrier_is_all_that_was_applied() -> None:
    async def test() -> None:
        async with running() as (log, _):
            write(log, "a", "b")
            await turn()
            assert await log.read_barrier() == 2

    run(test())


def test_a_refused_proposal_has_no_dot() -> None:
    async def test() -> None:
        log = SingleLog("n")
        with pytest.raises(RefusedError) as caught:
            log.propose(b"a")
        assert caught.value.reason == "starting"
        async with running() as (log, notebook):
            with pytest.raises(RefusedError) as caught:
                log.propose(b"x" * single.BACKLOG_BYTES_MAX)
            assert caught.value.reason == "overloaded"
            (dot,) = write(log, "a")
            assert dot.sequence == 1
        with pytest.raises(RefusedError) as caught:
            log.propose(b"a")
        assert caught.value.reason == "draining"
        with pytest.raises(RefusedError):
            await log.read_barrier()
        assert notebook.lines == [(1, "a")]

    run(test())


def test_the_backlog_of_one_turn_is_bounded_and_the_next_turn_has_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(single, "BACKLOG_BYTES_MAX", 10 * single.OPERATION_OVERHEAD_BYTES)

    async def test() -> None:
        async with running() as (log, notebook):
            for _ in range(9):
                log.propose(b"a")
            with pytest.raises(RefusedError, match="wait to be ordered"):
                log.propose(b"a")
            await turn()
            assert notebook.index == 9
            write(log, "b")
            await turn()
            assert notebook.lines[-1] == (10, "b")

    run(test())


def test_it_leads_from_its_start_to_its_stop() -> None:
    async def test() -> None:
        log = SingleLog("n", member=lambda: {"id": "n"})
        assert (log.leads, log.status().status, log.status().leader) == (False, "starting", None)
        await log.start(Notebook())
        assert log.leads
        write(log, "a")
        await turn()
        status = log.status()
        assert (status.status, status.leader, status.committed) == (NodeStatus.ACTIVE, "n", 1)
        assert status.vector == {"n": 1}
        assert status.members == ({"id": "n"},)
        assert status.epoch == log.epoch
        await log.stop()
        assert (log.leads, log.status().status) == (False, "draining")

    run(test())


# -- when applying fails


def test_whoever_waits_is_told_when_applying_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with running() as (log, notebook):
            write(log, "a", "poison")
            log.propose(b"c", Ack.ALL)
            await turn()
            assert notebook.story == [(n, Settled.UNKNOWN) for n in (1, 2, 3)]
            assert log.status().status is NodeStatus.INCONSISTENT
            assert not log.leads
            with pytest.raises(RefusedError) as caught:
                log.propose(b"d")
            assert caught.value.reason == "inconsistent"

    with caplog.at_level(logging.CRITICAL):
        run(test())
    assert "applying entries 1 to 3 failed; node n serves no more" in caplog.text
    assert "it was poison" in caplog.text


def test_what_a_failing_apply_proposed_itself_is_not_done() -> None:
    async def test() -> None:
        async with running() as (log, notebook):

            def propose_and_fail(_: Sequence[Entry]) -> None:
                log.propose(b"more")
                raise RuntimeError

            notebook.on_apply = propose_and_fail
            write(log, "a")
            await turn()
            await turn()
            assert notebook.story == [(1, Settled.UNKNOWN), (2, Settled.NOT_DONE)]

    run(test())


def test_an_entry_of_a_later_release_stops_the_node_before_it() -> None:
    async def test() -> None:
        async with running() as (log, notebook):
            write(log, "later")
            await turn()
            assert log.status().status is NodeStatus.OUTDATED
            assert notebook.story == [(1, Settled.UNKNOWN)]

    run(test())


def test_one_asker_that_cannot_be_told_keeps_nobody_else_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Deaf(Notebook):
        def settle(self, dot: Dot, outcome: Settled) -> None:
            if dot.sequence == 1:
                raise RuntimeError("its connection is in a state that nobody foresaw")
            super().settle(dot, outcome)

    async def test() -> None:
        async with running(notebook=Deaf()) as (log, notebook):
            for _ in range(2):
                log.propose(b"a", Ack.LEADER)
            await turn()
            assert notebook.story == [(2, Settled.APPENDED), [1, 2]]
            assert log.status().status is NodeStatus.ACTIVE

    run(test())
    assert "nobody foresaw" in caplog.text


def test_a_state_that_may_be_half_changed_is_never_kept(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path, interval=0.01) as (log, _):
            epoch = log.epoch
            write(log, "a")
            await until(lambda: mark_on(tmp_path) is not None)
            write(log, "b", "poison")
            await turn()
            assert log.status().applied == 3
            await asyncio.sleep(0.05)  # several times the interval: here nothing must happen
        mark = mark_on(tmp_path)
        assert mark is not None
        assert mark.index == 1
        assert not state_on(tmp_path).clean
        async with running(tmp_path) as (log, notebook):
            assert notebook.lines == [(1, "a")]
            assert log.epoch.parent == epoch.random

    run(test())


# -- restarts


def test_without_a_directory_every_start_is_a_new_epoch() -> None:
    async def test() -> None:
        epochs = set()
        for _ in range(3):
            async with running() as (log, _):
                epochs.add(log.epoch.random)
        assert len(epochs) == 3

    run(test())


def test_after_an_orderly_stop_the_log_goes_on_in_its_epoch(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as (log, _):
            epoch = log.epoch
            (first,) = write(log, "a")
        async with running(tmp_path) as (log, notebook):
            assert log.epoch == epoch
            assert notebook.lines == [(1, "a")]
            (second,) = write(log, "b")
            await turn()
            assert notebook.lines == [(1, "a"), (2, "b")]
        # The same origin, in a new life: what the old one left behind can be told apart.
        assert first.origin == second.origin
        assert (first.incarnation, second.incarnation) == (1, 2)
        async with running(tmp_path) as (log, notebook):
            assert (log.epoch, notebook.index) == (epoch, 2)
        async with running(tmp_path) as (log, notebook):
            assert (log.epoch, notebook.index) == (epoch, 2)

    run(test())


def test_an_empty_log_goes_on_in_its_epoch_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as (log, _):
            epoch = log.epoch
        async with running(tmp_path) as (log, _):
            assert log.epoch == epoch

    run(test())


async def crash(tmp_path: Path, *lines: str) -> Epoch:
    """Leave a directory as a crash does: what was written since the last snapshot is lost."""
    log = SingleLog("n", tmp_path, snapshot_interval_s=NEVER)
    await log.start(Notebook())
    write(log, *lines)
    await turn()
    assert log._directory is not None
    log._directory.close()
    return log.epoch


def test_after_a_crash_the_last_snapshot_begins_a_new_epoch(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as (log, _):
            write(log, "a")
        first = await crash(tmp_path, "lost")
        second = await crash(tmp_path, "lost too")
        async with running(tmp_path) as (log, notebook):
            assert notebook.lines == [(1, "a")]
            third = log.epoch
            assert [each.number for each in (first, second, third)] == [1, 2, 3]
            assert (second.parent, third.parent) == (first.random, second.random)
        # Nothing was written, but the epoch of the crash is another than that of the snapshot.
        async with running(tmp_path) as (log, _):
            assert log.epoch == third

    run(test())


def test_a_crash_before_the_first_snapshot_starts_empty_in_a_new_epoch(tmp_path: Path) -> None:
    async def test() -> None:
        first = await crash(tmp_path, "lost")
        async with running(tmp_path) as (log, notebook):
            assert notebook.lines == []
            assert log.epoch.parent == first.random

    run(test())


def test_a_snapshot_that_was_moved_away_is_missed_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with running(tmp_path) as (log, _):
            epoch = log.epoch
            write(log, "a")
        (tmp_path / "snapshot").unlink()
        async with running(tmp_path) as (log, notebook):
            assert notebook.lines == []
            assert log.epoch.parent == epoch.random

    run(test())
    assert "the snapshot of entry 1 is gone; starting empty" in caplog.text


def test_another_snapshot_than_that_of_the_orderly_stop_begins_a_new_epoch(
    tmp_path: Path,
) -> None:
    """As where somebody put an older copy back: the positions after it were given out before."""

    async def test() -> None:
        async with running(tmp_path) as (log, _):
            epoch = log.epoch
            write(log, "a")
        older = (tmp_path / "snapshot").read_bytes()
        async with running(tmp_path) as (log, _):
            write(log, "b")
        (tmp_path / "snapshot").write_bytes(older)
        async with running(tmp_path) as (log, notebook):
            assert notebook.lines == [(1, "a")]
            assert log.epoch.parent == epoch.random

    run(test())


def child(program: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.peers.notebook", program, str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_comes_back_with_its_last_snapshot(tmp_path: Path) -> None:
    with child("write", tmp_path) as process:
        assert process.stdout is not None
        epoch = process.stdout.readline().strip()
        said = [process.stdout.readline()]
        while mark_on(tmp_path) is None:
            said.append(process.stdout.readline())
        for _ in range(50):  # so that it is killed in the midst of writing and of snapshots
            said.append(process.stdout.readline())
        process.kill()
        said += process.stdout.readlines()
    applied = max(int(line) for line in said if line.endswith("\n"))

    async def test() -> None:
        mark = mark_on(tmp_path)
        assert mark is not None
        async with running(tmp_path) as (log, notebook):
            assert 0 < notebook.index == mark.index <= applied + 2
            assert notebook.lines == [(n, f"line {n}") for n in range(1, notebook.index + 1)]
            assert f"{log.epoch.number - 1}-{log.epoch.parent}" == epoch
            assert os.listdir(tmp_path).count("snapshot.new") == 0

    run(test())


def test_two_processes_cannot_have_one_directory(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(StorageError, match="in use by another running node"):
            async with running(tmp_path):
                pass

    with child("write", tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        run(test())
        process.kill()


def test_a_full_disk_leaves_the_snapshot_before(tmp_path: Path) -> None:
    async def keep_one() -> None:
        async with running(tmp_path) as (log, _):
            write(log, "a")

    run(keep_one())
    with child("fill", tmp_path) as process:
        _, words = process.communicate()
        assert process.returncode == 0
    assert "the one before stays" in words
    assert "snapshot.new cannot be written: File too large" in words
    assert "what came after entry 1 is lost" in words
    assert sorted(os.listdir(tmp_path)) == ["lock", "snapshot", "state.json"]

    async def come_back() -> None:
        async with running(tmp_path) as (log, notebook):
            assert notebook.lines == [(1, "a")]
            assert log.epoch.number == 2

    run(come_back())


@pytest.mark.parametrize("file", ["state.json", "snapshot"])
def test_a_damaged_file_is_refused_and_the_directory_let_go_of(tmp_path: Path, file: str) -> None:
    async def test() -> None:
        async with running(tmp_path) as (log, _):
            write(log, "a")
        whole = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(whole[:-1])
        log = SingleLog("n", tmp_path)
        with pytest.raises(StorageError, match="damaged"):
            await log.start(Notebook())
        await log.stop()
        (tmp_path / file).write_bytes(whole)
        async with running(tmp_path) as (log, notebook):
            assert notebook.lines == [(1, "a")]

    run(test())


def test_a_snapshot_that_the_application_refuses_is_reported(tmp_path: Path) -> None:
    class Other(Notebook):
        def arriving(self) -> Arriving:
            raise ValueError("this is no notebook")

    class Liar(Arriving):
        def finish(self) -> int:
            return 99

    class Lying(Notebook):
        def arriving(self) -> Arriving:
            return Liar(self)

    async def test() -> None:
        async with running(tmp_path) as (log, _):
            write(log, "a")
        with pytest.raises(StorageError, match=r"cannot be taken up: this is no notebook; restore"):
            await SingleLog("n", tmp_path).start(Other())
        with pytest.raises(StorageError, match="of entry 99 that says it is of entry 1"):
            await SingleLog("n", tmp_path).start(Lying())

    run(test())


# -- time


class Walls:
    """Clocks that are moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.boot = 1_700_000_000_000, 5_000
        monkeypatch.setattr(single, "wall_ms", lambda: self.wall)
        monkeypatch.setattr(single, "boot_ms", lambda: self.boot)

    def run_on(self, ms: int) -> None:
        self.wall += ms
        self.boot += ms


def test_time_runs_on_while_the_node_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Walls(monkeypatch)

    async def test() -> None:
        async with running(tmp_path) as (log, _):
            clocks.run_on(10_000)
            stopped = log.now()
        clocks.run_on(60_000)
        async with running(tmp_path) as (log, _):
            assert log.now() == stopped + 60_000

    run(test())


def test_a_wall_clock_that_is_set_changes_nothing_while_the_node_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks = Walls(monkeypatch)

    async def test() -> None:
        async with running() as (log, _):
            before = log.now()
            clocks.wall += 10**9
            clocks.boot += 5
            assert log.now() == before + 5

    run(test())


def test_a_wall_clock_that_was_set_back_adds_nothing_and_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Walls(monkeypatch)

    async def test() -> None:
        async with running(tmp_path) as (log, _):
            clocks.run_on(10_000)
            stopped = log.now()
        clocks.wall -= 3_600_000
        async with running(tmp_path) as (log, _):
            assert log.now() == stopped

    run(test())


def test_time_does_not_go_back_behind_a_snapshot_that_outlived_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state was last written at the start, the snapshot an hour later, and then the clock was
    set back: an entry stamped before those in the snapshot could not be applied."""
    clocks = Walls(monkeypatch)

    async def test() -> None:
        log = SingleLog("n", tmp_path, snapshot_interval_s=0.01)
        notebook = Notebook()
        await log.start(notebook)
        clocks.run_on(3_600_000)
        write(log, "a")
        await until(lambda: mark_on(tmp_path) is not None)
        kept = log.now()
        assert log._directory is not None
        assert log._snapshots is not None
        await log._snapshots.stop()
        log._directory.close()
        clocks.wall -= 3_600_000
        async with running(tmp_path) as (log, _):
            assert log.now() >= kept

    run(test())


class Cache(Notebook):
    """The real machine as the application."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine()

    def apply(self, entries: Sequence[Entry]) -> None:
        self.machine.apply(entries)

    def capture(self) -> Any:
        return self.machine.capture()

    def arriving(self) -> Any:
        return ArrivingCache(self)


class ArrivingCache:
    """The machine's own loader."""

    def __init__(self, cache: Cache) -> None:
        self.cache, self.machine = cache, Machine()
        self.loader = Loader(self.machine)
        self.take = self.loader.take

    def finish(self) -> int:
        self.loader.finish()
        return self.machine.index

    def install(self) -> None:
        self.cache.machine = self.machine


def test_an_item_has_the_life_left_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Walls(monkeypatch)

    async def test() -> None:
        async with running(tmp_path, Cache()) as (log, _):
            log.propose(encode(Set("k", b"\x01", ttl=80_000)))
            await turn()
            clocks.run_on(20_000)
        clocks.run_on(20_000)
        cache = Cache()
        async with running(tmp_path, cache) as (log, _):
            item = cache.machine.read("k", log.now())
            assert item is not None
            assert item.expires is not None
            assert item.expires - log.now() == 40_000
            cache.machine.check()

    run(test())


# -- snapshots while the node serves


def test_a_snapshot_is_exact_while_writes_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path, interval=0.001) as (log, notebook):
            marks: list[Mark] = []
            while len(marks) < 5:
                write(log, f"line {notebook.index + 1}")
                await turn()
                mark = mark_on(tmp_path)
                if mark is not None and mark not in marks:
                    marks.append(mark)
                    stored = StateDirectory(tmp_path).read_snapshot()
                    assert stored is not None
                    other = Notebook()
                    assert other.restore(stored.chunks()) == stored.mark.index
                    stored.close()
                    assert other.lines == notebook.lines[: other.index]
            assert [mark.index for mark in marks] == sorted({mark.index for mark in marks})
            assert all(mark.epoch == log.epoch for mark in marks)
            # More was written than the snapshots have, so writes did go on.
            assert notebook.index > marks[0].index
        assert all(copy.closed for copy in notebook.copies)

    run(test())


def test_nothing_is_written_where_nothing_has_changed(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path, interval=0.001) as (log, notebook):
            write(log, "a")
            await until(lambda: mark_on(tmp_path) is not None)
            await asyncio.sleep(0.02)  # twenty intervals in which nothing must happen
            assert len(notebook.copies) == 1

    run(test())


def stop_in_the_midst(tmp_path: Path, stop: Callable[[SingleLog], Awaitable[None]]) -> Notebook:
    notebook = Notebook()

    async def test() -> None:
        log = SingleLog("n", tmp_path, snapshot_interval_s=0.001)
        await log.start(notebook)
        walking = asyncio.Event()
        notebook.on_chunk = walking.set
        write(log, *(f"line {n}" for n in range(1, 400)))
        await walking.wait()
        assert not notebook.copies[0].closed
        await stop(log)
        assert all(copy.closed for copy in notebook.copies)

    run(test())
    return notebook


def test_a_stop_in_the_midst_of_a_snapshot_keeps_a_last_one(tmp_path: Path) -> None:
    notebook = stop_in_the_midst(tmp_path, lambda log: log.stop())
    assert len(notebook.copies) == 2

    async def come_back() -> None:
        async with running(tmp_path) as (log, restored):
            assert restored.lines == notebook.lines
            assert log.epoch.number == 1

    run(come_back())


def test_an_application_that_cannot_be_walked_is_reported_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Unwilling(Notebook):
        def capture(self) -> Any:
            if len(self.story) < 3:
                raise RuntimeError("not yet")
            return super().capture()

    async def test() -> None:
        async with running(tmp_path, Unwilling(), interval=0.001) as (log, _):
            write(log, "a")
            await until(lambda: "not yet" in caplog.text)
            for _ in range(2):
                write(log, "b")
                await turn()
            await until(lambda: mark_on(tmp_path) is not None)

    run(test())
    assert "keeping a snapshot failed, the one before stays" in caplog.text
