"""Backups of nodes that serve, and clusters that begin anew from one."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import tlru
from peers.disk.disk import Disk
from tests.node.clusters import QUICK, Nodes, three
from tests.node.http.visiting import Heard, visit
from tests.ports import free_ports
from tests.running import a_node, run, until
from tlru.backups import files
from tlru.backups.form import FRAME, BackupError, Head, Reading
from tlru.engine.items import is_reserved
from tlru.engine.state import State
from tlru.node import Node, restoring
from tlru.node.backups import _turn
from tlru.node.seats import LEVEL

TIME_TO_ELECT_S = 2 * QUICK["election_timeout"]  # itself, if it could
ANEW = "/v1/snapshot?as_new_epoch=true"


async def taken(node: Node, path: Path) -> Path:
    """A backup of a node, in a file."""
    heard = await visit(node, "GET", "/v1/snapshot")
    assert heard.status == 200, heard.body
    await asyncio.to_thread(path.write_bytes, heard.body)
    return path


async def restored(node: Node, path: Path, more: str = "") -> Any:
    """What a node says that has taken one."""
    heard = await put(node, await asyncio.to_thread(path.read_bytes), ANEW + more)
    assert heard.status == 200, heard.body
    return heard.json


async def put(node: Node, body: bytes, target: str = ANEW) -> Heard:
    """Send a node a backup."""
    return await visit(node, "POST", target, body=body)


def state_of(path: Path) -> tuple[Head, State]:
    """What is in a file."""
    return files.verify(path, LEVEL)


def test_a_backup_holds_what_there_is_with_versions_and_lives(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_node(id="a") as node, tlru.connect(node.url) as cache:
            await cache.set("gone", 0)
            await cache.delete("gone")
            version = (await cache.set("kept", "words")).version
            await cache.set("living", 1, ttl=60)
            head, state = state_of(await taken(node, tmp_path / "one"))
            assert (head.node, head.items, head.index) == ("a", 2, state.index)
            entries = state.items.store.entries
            assert {key for key in entries if not is_reserved(key)} == {"kept", "living"}
            assert entries["kept"].version == version
            life = entries["living"].expires
            assert life is not None
            assert 59_000 < life - head.time <= 60_000

    run(test())


@pytest.mark.parametrize("keeps", [True, False])
def test_a_blank_node_begins_a_cluster_from_a_backup_and_the_others_join(
    tmp_path: Path, keeps: bool
) -> None:
    """Versions and lives stay, the epoch is another one, and it survives a restart."""

    async def test() -> None:
        async with three(tmp_path / "old") as before:
            # Repeated where a slow machine has the nodes elect somebody else in between.
            async with tlru.connect(before["n1"].url, timeout=10, exactly_once=True) as cache:
                versions = {
                    f"k{n}": (await cache.set(f"k{n}", n, ttl=600)).version for n in range(700)
                }
                await cache.delete("k1")
                before_epoch = before.log("n1").epoch
                here, there = before.log("n1"), before.log("n2")
                await until(lambda: there.status().applied == here.status().applied)
            path = await taken(before["n2"], tmp_path / "backup")
        made = Nodes(tmp_path / "new" if keeps else None)
        made.meshes = [f"127.0.0.1:{port}" for port in free_ports(3)]
        configs = [
            made.config(f"n{n}", mesh, priority=110 - 10 * n)
            for n, mesh in enumerate(made.meshes, 1)
        ]
        try:
            first = await made.start(configs[0])
            assert first.status == "starting"
            said = await restored(first, path)
            epoch = made.log("n1").epoch
            assert (epoch.number, epoch.parent) == (before_epoch.number + 1, before_epoch.random)
            assert (said["epoch"], said["keys"], said["over"]) == (str(epoch), 699, 0)
            if keeps:
                await made.stop("n1")
                await made.start(configs[0])
            await asyncio.gather(*map(made.start, configs[1:]))
            await made.until_active()
            await until(lambda: len(made.seats("n1")) == 3)
            await until(lambda: all(m["role"] == "voter" for m in made.seats("n1").values()))
            for id in made.running:
                assert made.log(id).epoch == epoch
                async with tlru.connect(made[id].url, timeout=10) as cache:
                    assert await cache.get("k1") is None
                    for key in ("k0", "k699"):
                        item = await cache.item(key)
                        assert item is not None
                        assert item.version == versions[key]
                        assert item.ttl is not None
                        assert 500 < item.ttl < 600
            async with tlru.connect(made["n3"].url, timeout=10) as cache:
                assert ((await cache.set("new", 1)).version or 0) > said["pos"]
            await until(
                lambda: (
                    len({made[id].services["default"].machine.digest() for id in made.running}) == 1
                )
            )
            machine = made["n2"].services["default"].machine
            machine.check()
        finally:
            for id in list(made.running):
                await made.stop(id)

    run(test())


def test_a_crash_in_the_middle_of_a_restore_serves_nothing_until_it_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory as it is between any two steps is what a crash would leave."""
    steps = ("enter", "keep_snapshot", "written")

    def leaving(name: str) -> Any:
        real = getattr(Disk, name)

        async def act(self: Disk, *args: Any) -> Any:
            done = await real(self, *args)
            if not (tmp_path / name).exists():
                await asyncio.to_thread(shutil.copytree, tmp_path / "n1", tmp_path / name)
            return done

        return act

    async def test() -> None:
        async with a_node(id="a") as node, tlru.connect(node.url) as cache:
            version = (await cache.set("kept", 1)).version
            path = await taken(node, tmp_path / "one")
        made = Nodes(tmp_path, [f"127.0.0.1:{port}" for port in free_ports(3)])
        first = await made.start(made.config("n1", made.meshes[0]))
        with monkeypatch.context() as patch:
            for name in steps:
                patch.setattr(Disk, name, leaving(name))
            await restored(first, path)
        await made.stop("n1")
        for name in steps:
            config = made.config("n1", made.meshes[0], data_dir=tmp_path / name)
            node = await made.start(config)
            try:
                service = node.services["default"]
                assert not service.log.promise.whole  # type: ignore[attr-defined]
                if name == steps[-1]:
                    await asyncio.sleep(TIME_TO_ELECT_S)
                assert node.status != "active"
                assert (await visit(node, "GET", "/v1/keys/kept")).status == 503
                await restored(node, path)
                async with tlru.connect(node.url, timeout=10) as cache:
                    item = await cache.item("kept")
                assert item is not None
                assert item.version == version
                service.machine.check()
            finally:
                await made.stop("n1")

    run(test())


def test_lives_are_counted_by_what_is_left_now_or_by_what_was_left_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup of an hour ago: what lived for less is over, unless one asks for its lives back;
    fences grow either way."""

    async def test() -> None:
        async with a_node(id="a") as node, tlru.connect(node.url) as cache:
            await cache.set("short", 1, ttl=60)
            await cache.set("long", 1, ttl=7_200)
            await cache.set("for ever", 1)
            path = await taken(node, tmp_path / "one")
        real = time.time()
        hour = 3_600_000
        monkeypatch.setattr(restoring, "wall_ms", lambda: round(time.time() * 1000) + hour)
        for more, keys, left in (("", 2, 3_600), ("&lives=backup", 3, 7_200)):
            async with a_node(id="b") as node, tlru.connect(node.url) as cache:
                said = await restored(node, path, more)
                assert (said["keys"], said["over"]) == (keys, 3 - keys)
                item = await cache.item("long")
                assert item is not None
                assert item.ttl == pytest.approx(left, abs=20)
                assert (await cache.get("short") is None) == (keys == 2)
                assert await cache.get("for ever") == 1
                async with cache.lock("l", ttl=5) as lock:
                    assert lock.fence >= real * 1000 + hour

    run(test())


def test_a_node_alone_keeps_what_it_was_restored_to(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_node(id="a") as node, tlru.connect(node.url) as cache:
            version = (await cache.set("kept", 1)).version
            path = await taken(node, tmp_path / "one")
        async with a_node(id="b", data_dir=tmp_path / "b") as node:
            async with tlru.connect(node.url) as cache:
                await cache.set("other", 1)
            await restored(node, path)
            node.services["default"].machine.check()
        async with a_node(id="b", data_dir=tmp_path / "b") as node, tlru.connect(node.url) as cache:
            assert await cache.get("other") is None
            item = await cache.item("kept")
            assert item is not None
            assert item.version == version

    run(test())


def test_a_cluster_that_is_led_is_not_thrown_away(tmp_path: Path) -> None:
    async def test() -> None:
        async with three() as made:
            path = await taken(made["n2"], tmp_path / "one")
            for id in made.running:
                heard = await put(made[id], path.read_bytes())
                assert (heard.status, "start one of them alone" in heard.json["detail"]) == (
                    400,
                    True,
                )
            unasked = await put(made["n1"], path.read_bytes(), "/v1/snapshot")
            assert "say ?as_new_epoch=true" in unasked.json["detail"]

    run(test())


def test_what_is_damaged_or_of_another_release_changes_nothing(tmp_path: Path) -> None:
    """Cut at every place, or with any bit turned: it is told, and the cache stays as it was."""

    async def test() -> None:
        async with a_node(id="a") as node, tlru.connect(node.url) as cache:
            await cache.set("kept", "words" * 10)
            whole = (await taken(node, tmp_path / "one")).read_bytes()
            await cache.set("later", 1)
            epoch = node.services["default"].log.epoch
            for size in range(0, len(whole), 7):
                heard = await put(node, whole[:size])
                assert (heard.status, heard.code) == (400, "bad_request"), size
            for at in range(0, len(whole), 5):
                wrong = bytearray(whole)
                wrong[at] ^= 1
                heard = await put(node, bytes(wrong))
                assert heard.status == 400, at
            assert "goes on after its end" in (await put(node, whole + b"x")).json["detail"]
            other = await visit(node, "POST", ANEW + "&lives=twice", body=whole)
            assert other.status == 400
            assert node.services["default"].log.epoch == epoch
            assert await cache.get("later") == 1

    run(test())


def test_a_backup_of_another_cache_is_refused_by_name() -> None:
    async def test() -> None:
        async with a_node(caches=("one", "two")) as node:
            one, two = {"Tlru-Cache": "one"}, {"Tlru-Cache": "two"}
            whole = (await visit(node, "GET", "/v1/snapshot", headers=one)).body
            epoch = node.services["two"].log.epoch
            heard = await visit(node, "POST", ANEW, body=whole, headers=two)
            assert heard.status == 400
            assert "of the cache 'one', and this is 'two'" in heard.json["detail"]
            assert node.services["two"].log.epoch == epoch
            assert (await visit(node, "POST", ANEW, body=whole, headers=one)).status == 200

    run(test())


def test_a_backup_of_a_later_release_is_refused_by_name() -> None:
    head = Head("default", "a", "9.0", (1, "aa", None), 1, 1, 1, 1, 0, 0, LEVEL + 1)
    with pytest.raises(BackupError, match=r"later release.*feature level 2"):
        list(Reading("it", LEVEL).take(head.packed()))
    later = Head("default", "a", "9.0", (1, "aa", None), 1, 1, 1, 1, 0, 0, LEVEL, format=2)
    with pytest.raises(BackupError, match=r"later release.*use that release"):
        list(Reading("it", LEVEL).take(later.packed()))


def test_a_chunk_that_claims_to_be_endless_is_refused_before_it_comes() -> None:
    head = Head("default", "a", "1", (1, "aa", None), 1, 1, 1, 1, 0, 0, LEVEL)
    with pytest.raises(BackupError, match="impossible length"):
        list(Reading("it", LEVEL).take(head.packed() + FRAME.pack(1 << 31, 1)))


def test_only_so_many_backups_are_taken_at_once() -> None:
    async def test() -> None:
        async with a_node() as node:
            service = node.services["default"]
            open_ones = [restoring.begin(node, service) for _ in range(restoring.AT_ONCE_MAX)]
            heard = await visit(node, "GET", "/v1/snapshot")
            assert heard.code == "overloaded"
            for each in open_ones:
                each.close()
            assert (await visit(node, "GET", "/v1/snapshot")).status == 200
            assert service.backups_open == 0
            assert not service.machine.items.observers

    run(test())


# -- those that a node makes by itself


async def until_made(node: Node, count: int) -> None:
    """Wait until it has made so many."""
    await until(lambda: node.backups.records["default"].made >= count)


def test_a_node_makes_backups_by_itself_and_keeps_the_newest(tmp_path: Path) -> None:
    """What a crash has left half written goes, what is others' stays."""

    async def test() -> None:
        place = tmp_path / "backups"
        place.mkdir()
        half = place / f"default-a-00000000001-1{files.SUFFIX}{files.PART}"
        others = place / f"default-b-00000000001-1{files.SUFFIX}"
        for each in (half, others):
            each.write_bytes(b"half")
        options = {"id": "a", "backup_dir": place, "backup_interval": 1.0, "backup_keep": 2}
        async with a_node(**options) as node, tlru.connect(node.url) as cache:
            await until_made(node, 1)
            await cache.set("k", 1)
            await until_made(node, 3)
            kept = files.kept_in(place, "default", "a")
            assert len(kept) == 2
            head, state = state_of(kept[-1].path)
            assert (head.items, state.items.count) == (1, 1)
            assert others.exists()
            assert not half.exists()
            assert node.services["default"].troubles == {}

    run(test())


def test_a_backup_that_cannot_be_made_is_an_alarm_and_takes_nothing_away(tmp_path: Path) -> None:
    async def test() -> None:
        place = tmp_path / "backups"
        options = {"id": "a", "backup_dir": place, "backup_interval": 1.0, "backup_keep": 1}
        async with a_node(**options) as node:
            await until_made(node, 1)
            (before,) = files.kept_in(place, "default", "a")
            place.rename(tmp_path / "elsewhere")
            place.write_text("a file, where the directory was")
            await until(lambda: node.backups.records["default"].failed > 0)
            status = (await visit(node, "GET", "/v1/status")).json
            assert f"no backup of default in {place}" in status["alarms"][0]
            metrics = (await visit(node, "GET", "/metrics")).body.decode()
            assert 'tlru_backup_failures_total{cache="default"} 1.0' in metrics
            place.unlink()
            (tmp_path / "elsewhere").rename(place)
            await until_made(node, 2)
            assert before.path.exists() is False
            assert (await visit(node, "GET", "/v1/status")).json["alarms"] == []

    run(test())


def test_one_that_does_not_read_back_takes_no_old_one_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses what it took: the file is no backup, and the one before stays."""

    class Losing(files.Draft):
        def keep(self) -> None:
            super().keep()
            path = self._target
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - 20)

    async def test() -> None:
        options = {"id": "a", "backup_dir": tmp_path, "backup_interval": 1.0, "backup_keep": 1}
        async with a_node(**options) as node:
            await until_made(node, 1)
            (before,) = files.kept_in(tmp_path, "default", "a")
            monkeypatch.setattr(files, "Draft", Losing)
            await until(lambda: node.backups.records["default"].failed > 0)
            assert files.kept_in(tmp_path, "default", "a") == [before]

    run(test())


def test_members_take_turns_within_the_interval() -> None:
    """At any moment at most one of them has a turn that begins."""
    begins = [
        [t for t in range(1, 600) if _turn(t, 60, rank, 3) != _turn(t - 1, 60, rank, 3)]
        for rank in range(3)
    ]
    assert begins[0][:2] == [60, 120]
    assert begins[1][:2] == [20, 80]
    assert begins[2][:2] == [40, 100]
