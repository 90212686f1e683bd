"""A node with a data directory: what an orderly stop and a crash leave, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import a_node, run, talking, until
from tlru.config import Config
from tlru.errors import TlruError
from tlru.node import Node


def test_an_orderly_stop_goes_on_where_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(data_dir=tmp_path) as node, talking(node) as client:
            await client.ask("set", key="kept", value=[1, 2], ttl=3_600)
            await client.ask("set", key="brief", value=1, ttl=0.001)
            before = await client.ask("hello")
            kept = await client.ask("get", key="kept")
        async with a_node(data_dir=tmp_path) as node, talking(node) as client:
            after = await client.ask("hello")
            found = await client.ask("get", key="kept", min={"pos": kept["pos"]})
            assert after["epoch"] == before["epoch"], "positions still mean the same"
            assert found["value"] == [1, 2]
            assert found["version"] == kept["version"]
            assert found["ttl"] <= kept["ttl"], "life goes on while the node is down"
            assert found["time"] >= kept["time"]
            assert (await client.ask("get", key="brief"))["found"] is False

    run(scenario())


def test_without_a_directory_every_start_is_another_epoch() -> None:
    async def scenario() -> None:
        epochs = set()
        for _ in range(2):
            async with a_node() as node, talking(node) as client:
                epochs.add((await client.ask("hello"))["epoch"])
        assert len(epochs) == 2

    run(scenario())


def serve(data_dir: Path) -> tuple[subprocess.Popen[str], int]:
    """A node in a process of its own, and its port."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tlru", "serve", "--listen", "127.0.0.1:0"),
            *("--data-dir", str(data_dir), "--snapshot-interval", "100ms", "--log-level", "error"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "ws://" in line, "the node did not come up"
    port = int(line.split("ws://127.0.0.1:")[1].split("/")[0])
    return process, port


class _At:
    """What `talking` needs to know of a node in another process."""

    def __init__(self, port: int) -> None:
        self.url = f"ws://127.0.0.1:{port}/ws"


def at(port: int) -> Node:
    """A node in another process, as far as talking to it goes."""
    return _At(port)  # type: ignore[return-value]  # only its url is asked for


async def next_snapshot(path: Path) -> None:
    """Wait until a snapshot that began after now is on the disk: the second that ends after now."""
    file = path / "default" / "snapshot"
    ends = {file.stat().st_mtime_ns if file.exists() else 0}

    def second() -> bool:
        if file.exists():
            ends.add(file.stat().st_mtime_ns)
        return len(ends) > 2

    await until(second)


def test_a_crash_comes_back_with_the_last_snapshot_in_a_new_epoch(tmp_path: Path) -> None:
    async def scenario() -> None:
        process, port = serve(tmp_path)
        try:
            async with talking(at(port)) as client:
                await client.ask("set", key="k", value="before the snapshot")
                epoch = (await client.ask("hello"))["epoch"]
                await next_snapshot(tmp_path)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        process, port = serve(tmp_path)
        try:
            async with talking(at(port)) as client:
                found = await client.ask("get", key="k")
                assert found["value"] == "before the snapshot"
                now = (await client.ask("hello"))["epoch"]
                assert now != epoch, "entries after the snapshot may be lost: positions lie"
                assert int(now.split("-")[0]) == int(epoch.split("-")[0]) + 1
        finally:
            process.terminate()
            assert process.wait(30) == 0
            process.communicate()

    run(scenario())


def test_two_nodes_cannot_have_one_directory(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(data_dir=tmp_path):
            with pytest.raises(TlruError, match="in use by another"):
                await Node(Config(listen="127.0.0.1:0", data_dir=tmp_path)).start()

    run(scenario())


def damage_a_bit(file: Path) -> None:
    """As an old disk does."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)


def cut_short(file: Path) -> None:
    """As a copy that broke off does."""
    file.write_bytes(file.read_bytes()[:40])


@pytest.mark.parametrize(
    ("name", "damage"),
    [("snapshot", damage_a_bit), ("snapshot", cut_short), ("state.json", cut_short)],
)
def test_a_damaged_file_is_reported_and_never_trusted(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    async def scenario() -> None:
        async with a_node(data_dir=tmp_path) as node, talking(node) as client:
            await client.ask("set", key="k", value="x" * 1_000)
        file = tmp_path / "default" / name
        damage(file)
        node = Node(Config(listen="127.0.0.1:0", data_dir=tmp_path))
        with pytest.raises(TlruError, match="move") as refused:
            await node.start()
        assert str(file) in str(refused.value)

    run(scenario())
