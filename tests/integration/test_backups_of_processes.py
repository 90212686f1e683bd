"""Backups of real nodes: while clients write, where nodes are killed, and all the way back."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgpack
import pytest

import tlru
from tests.cli.commands import PATIENCE_S, TLRU, Ran, environment, serving
from tests.cli.commands import tlru as command
from tests.compiled import as_it_is
from tests.integration.following import JSON, Line, line_to
from tests.integration.poisoned import MODULE as POISONED
from tests.integration.poisoned import POISON
from tests.integration.processes import LOOK_S, processes
from tests.integration.small_disks import empty, fill, small_disk
from tests.running import run, until
from tlru.backups import files
from tlru.cli.exits import Exit
from tlru.engine.items import is_reserved
from tlru.node.seats import LEVEL

IDS = ("n1", "n2", "n3")
KEYS_EACH = 40
BACKUPS = 3
LARGE, LARGE_ONES = 400_000, 60  # characters of a value, and how many such values


async def said(*argv: str) -> Ran:
    """What a command says that goes well."""
    ran = await asyncio.to_thread(command, *argv)
    assert ran.status == Exit.OK, ran
    return ran


async def asked(url: str, path: str) -> bytes:
    """What a node answers over HTTP, which takes less time than a command."""
    http = url.replace("ws://", "http://").removesuffix("/ws")

    def ask() -> bytes:
        with urlopen(http + path, timeout=PATIENCE_S) as answer:
            said: bytes = answer.read()
            return said

    return await asyncio.to_thread(ask)


def users_items(path: Path) -> tuple[int, dict[str, tuple[int, Any]]]:
    """What entry a backup is of, and what users have in it: versions and values."""
    head, state = files.verify(path, LEVEL)
    return head.index, {
        key: (item.version, msgpack.unpackb(item.value))
        for key, item in state.items.store.entries.items()
        if not is_reserved(key)
    }


# -- while clients write


@dataclass
class Writers:
    """Clients that write as fast as they are answered, and note what was acknowledged."""

    # By version: keys, each with the value that it has since then; None where it was deleted.
    done: dict[int, list[tuple[str, str | None]]] = field(default_factory=dict)
    over: bool = False

    async def write(self, url: str, name: str) -> None:
        """Set, replace and delete keys of one's own. It ends with an answer, so nothing is open."""
        chance = random.Random(name)
        async with line_to(url, JSON) as socket:
            line, number = Line(socket, JSON), 0
            while not self.over:
                number += 1
                request, rows = self._next(name, f"{number}", chance)
                (answer,) = await line.ask(request)
                assert answer["ok"], answer
                if answer.get("deleted") != 0:
                    assert answer["version"] not in self.done
                    self.done[answer["version"]] = rows

    async def more(self) -> None:
        """Wait until more was acknowledged."""
        enough = len(self.done) + 100
        await until(lambda: len(self.done) > enough)

    @staticmethod
    def _next(
        name: str, value: str, chance: random.Random
    ) -> tuple[dict[str, Any], list[tuple[str, str | None]]]:
        key = f"{name}:{chance.randrange(KEYS_EACH)}"
        match chance.randrange(4):
            case 0:
                return {"op": "delete", "key": key}, [(key, None)]
            case 1:
                some = [f"{name}:{n}" for n in range(3)]
                items = [{"key": each, "value": value} for each in some]
                return {"op": "set_many", "items": items}, [(each, value) for each in some]
            case _:
                return {"op": "set", "key": key, "value": value}, [(key, value)]

    def state_at(self, index: int) -> dict[str, tuple[int, Any]]:
        """What there is where exactly the entries up to this index are applied."""
        found: dict[str, tuple[int, Any]] = {}
        for version, rows in sorted(self.done.items()):
            if version <= index:
                for key, value in rows:
                    if value is None:
                        found.pop(key, None)
                    else:
                        found[key] = (version, value)
        return found


def test_a_backup_under_writes_is_exactly_what_was_acknowledged_up_to_its_entry(
    tmp_path: Path,
) -> None:
    """To the version, of whichever node: nothing from before lacks, nothing from after is in it;
    and what is restored from it is the same."""

    async def test() -> None:
        writers, paths = Writers(), [tmp_path / f"{n}.tlru" for n in range(BACKUPS)]
        async with processes(tmp_path, *IDS) as cluster, asyncio.TaskGroup() as group:
            for number, url in enumerate(cluster.urls * 2):
                group.create_task(writers.write(url, f"w{number}"))
            for number, path in enumerate(paths):
                await writers.more()
                server = cluster.urls[number % len(IDS)]
                path.write_bytes(await asked(server, "/v1/snapshot"))
            await writers.more()
            writers.over = True
        found = [await asyncio.to_thread(users_items, path) for path in paths]
        indexes = [index for index, _ in found]
        assert indexes == sorted(set(indexes))
        assert indexes[-1] < max(writers.done)
        for index, items in found:
            assert items == writers.state_at(index)
        print(f"backups of entries {indexes} of {len(writers.done)} acknowledged writes")
        with serving() as blank:
            argv = ("node", "restore", str(paths[-1]), "--as-new-epoch", "--yes")
            await said(*argv, "--server", blank.url)
            async with tlru.connect(blank.url, timeout=20) as cache:
                kept = {
                    key: (item.version, item.value)
                    for key in found[-1][1]
                    if (item := await cache.item(key)) is not None
                }
                assert kept == found[-1][1]
                assert (await cache.status())["keys"] == len(kept)

    run(test())


# -- where somebody is killed in the middle


async def filled(url: str, ones: int = LARGE_ONES) -> None:
    """Give a node so much that a backup takes its time."""
    async with tlru.connect(url, timeout=20) as cache:
        for number in range(ones):
            await cache.set(f"large {number}", "x" * LARGE)


def halves(folder: Path) -> list[Path]:
    """What is half written there."""
    return list(folder.glob(f"*{files.SUFFIX}{files.PART}"))


def test_a_node_that_is_killed_in_the_middle_of_a_backup_leaves_none_that_looks_whole(
    tmp_path: Path,
) -> None:
    """What it leaves behind it tidies up when it comes back."""
    place = tmp_path / "backups"
    told = {
        "TLRU_DATA_DIR": str(tmp_path / "data"),
        "TLRU_ID": "a",
        "TLRU_BACKUP_DIR": str(place),
        "TLRU_BACKUP_INTERVAL": "1s",
    }

    async def until_in_the_middle(process: subprocess.Popen[str]) -> None:
        """It stands still, with a backup half written."""
        while True:
            await until(lambda: halves(place))
            process.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
            if halves(place):
                return
            process.send_signal(signal.SIGCONT)

    async def test() -> None:
        with serving(env=told) as node:
            await filled(node.url)
            await until_in_the_middle(node.process)
            node.end(signal.SIGKILL)
        assert halves(place)
        for path in place.glob(f"*{files.SUFFIX}"):
            files.verify(path, LEVEL)
        with serving(env=told) as node:
            before = set(files.kept_in(place, "default", "a"))
            await until(lambda: set(files.kept_in(place, "default", "a")) - before)
            node.process.send_signal(signal.SIGTERM)
            node.process.wait(PATIENCE_S)
        assert halves(place) == []
        for path in place.glob(f"*{files.SUFFIX}"):
            files.verify(path, LEVEL)

    run(test())


def test_a_command_whose_node_is_killed_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    """What it writes to is a pipe that is not read meanwhile: so it is in the middle, for sure."""
    path, part = tmp_path / "one.tlru", tmp_path / "one.tlru.part"
    os.mkfifo(part)

    async def test() -> None:
        with serving() as node:
            await filled(node.url)
            taking = await asyncio.create_subprocess_exec(
                *(*TLRU, "node", "snapshot", str(path)),
                stderr=subprocess.PIPE,
                env=environment(TLRU_SERVER=node.url),
            )
            try:
                pipe = await asyncio.to_thread(os.open, part, os.O_RDONLY)
                node.end(signal.SIGKILL)
                async with asyncio.timeout(PATIENCE_S):
                    await asyncio.to_thread(_read_all, pipe)
                    _, words = await taking.communicate()
            finally:
                if taking.returncode is None:
                    taking.kill()
                    await taking.wait()
        assert taking.returncode == Exit.UNAVAILABLE, words
        assert b"broke off in the middle" in words or b"did not come whole" in words

    run(test())
    assert list(tmp_path.iterdir()) == []


def _read_all(pipe: int) -> None:
    with open(pipe, "rb") as file:
        while file.read(1 << 20):
            pass


# -- where the disk is full


async def until_alarms(url: str, count: int) -> list[str]:
    """Wait until a node has so many alarms; which they are."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            alarms: list[str] = json.loads(await asked(url, "/v1/status"))["alarms"]
            if len(alarms) == count:
                return alarms
            await asyncio.sleep(LOOK_S)


@pytest.mark.long
def test_a_full_disk_for_backups_is_an_alarm_and_costs_no_client_and_no_old_backup(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        with small_disk(tmp_path / "disk") as disk:
            told = {
                "TLRU_ID": "a",
                "TLRU_BACKUP_DIR": str(disk),
                "TLRU_BACKUP_INTERVAL": "1s",
                "TLRU_BACKUP_KEEP": "2",
            }
            with serving(env=told) as node:
                await filled(node.url, ones=4)

                await until(lambda: len(files.kept_in(disk, "default", "a")) == 2)
                fill(disk)
                (alarm,) = await until_alarms(node.url, 1)
                assert "No space left on device" in alarm
                assert str(disk) in alarm
                kept = files.kept_in(disk, "default", "a")
                assert len(kept) == 2
                for each in kept:
                    files.verify(each.path, LEVEL)
                assert halves(disk) == []
                async with tlru.connect(node.url, timeout=20) as cache:
                    await cache.set("while it is full", 1)
                empty(disk)
                await until_alarms(node.url, 0)
                newest = files.kept_in(disk, "default", "a")[-1]
                assert "while it is full" in users_items(newest.path)[1]

    run(test())


# -- and back from one


def test_a_cluster_that_lost_everything_begins_anew_and_its_clients_are_told(
    tmp_path: Path,
) -> None:
    """Clients of before come back by themselves: a watch is reset, and shows what there is now; a
    cache forgets its positions, and is used on."""
    path = tmp_path / "one.tlru"

    async def test() -> None:
        async with processes(tmp_path, *IDS, keeps=True) as cluster:
            n1, *others = cluster.nodes.values()
            async with (
                tlru.connect(*cluster.urls, timeout=30) as cache,
                cache.watch("k*", snapshot=True) as watch,
                cache.near() as near,
            ):
                version = (await cache.set("k1", "of the backup")).version
                await said("node", "snapshot", str(path), "--server", others[0].url)
                await cache.set("k2", "after the backup")
                assert await near.get("k2") == "after the backup"
                seen = [await anext(watch), await anext(watch)]
                assert [each.key for each in seen] == ["k1", "k2"]
                epoch = (await n1.status())["epoch"]
                for node in cluster.nodes.values():
                    await node.end(signal.SIGKILL)
                    shutil.rmtree(tmp_path / node.id)
                await n1.start()
                argv = ("node", "restore", str(path), "--as-new-epoch", "--yes")
                ran = await said(*argv, "--server", n1.url)
                assert "n1 goes on in epoch 2-" in ran.err
                await asyncio.gather(*(node.start() for node in others))
                alike = await cluster.until_alike()
                assert {told["epoch"] for told in alike.values()} - {epoch}
                reset = await anext(watch)
                assert isinstance(reset, tlru.Reset)
                again = await anext(watch)
                assert (again.key, again.version) == ("k1", version)
                assert await cache.get("k1") == "of the backup"
                assert await cache.get("k2") is None
                assert await near.get("k2") is None
                newer = await cache.set("k3", "anew")
                assert (newer.version or 0) > (version or 0)
                assert (await anext(watch)).key == "k3"
                assert await cache.get("k3", read="linear") == "anew"

    run(test())


async def _is_told_at_once(url: str) -> None:
    """Who asks how a node is that serves nothing does not wait for it to serve."""
    began = time.monotonic()
    shown = await asyncio.to_thread(command, "status", "--server", url, "--timeout", "60s")
    assert (shown.status, shown.err) == (Exit.UNAVAILABLE, "")
    assert "a (inconsistent, voter)" in shown.out
    looked = await asyncio.to_thread(command, "doctor", url, "--json", "--timeout", "60s")
    codes = {one["code"] for one in looked.json["findings"]}
    assert "status_inconsistent" in codes
    assert "websocket" not in codes, "it speaks WebSocket, and says by it what is wrong"
    assert time.monotonic() - began < 30


@as_it_is
def test_a_node_alone_whose_state_is_wrong_begins_anew_from_a_backup(tmp_path: Path) -> None:
    """It serves nothing until then, and needs no restart; what it was restored to, it keeps."""
    path = tmp_path / "one.tlru"
    told = {"TLRU_ID": "a", "TLRU_DATA_DIR": str(tmp_path / "data")}

    async def test() -> None:
        with serving(env=told, module=POISONED) as node:
            at = ("--server", node.url)
            async with tlru.connect(node.url, timeout=5) as cache, cache.watch("k") as watch:
                version = (await cache.set("k", 1)).version
                assert (await anext(watch)).version == version
                await said("node", "snapshot", str(path), *at)
                ran = await asyncio.to_thread(command, "set", POISON, "1", *at, "--timeout", "2s")
                assert ran.status != Exit.OK
                status = json.loads(await asked(node.url, "/v1/status"))
                assert status["status"] == "inconsistent"
                await _is_told_at_once(node.url)
                await said("node", "restore", str(path), "--as-new-epoch", "--yes", *at)
                assert isinstance(await anext(watch), tlru.Reset)
                item = await cache.item("k")
                assert item is not None
                assert item.version == version
                assert (await cache.set("k", 2)).version != version
                assert (await anext(watch)).key == "k"
            node.end()
        with serving(env=told) as node:
            async with tlru.connect(node.url, timeout=20) as cache:
                assert await cache.get("k") == 2

    run(test())
