"""Real nodes that are run by the command line, as a person would."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import tlru as client
from tests.cli.commands import Ran, tlru
from tests.integration.processes import Process, Processes, processes
from tests.ports import free_ports
from tests.running import run, until
from tlru.cli.exits import Exit


async def _said(node: Process, *argv: str) -> Ran:
    ran = await asyncio.to_thread(tlru, *argv, "--server", node.url, "--timeout", "20s")
    assert ran.status == Exit.OK, ran
    return ran


async def _until_row(at: Process, id: str, **wanted: Any) -> None:
    """Wait until a node says this of a member."""
    async with asyncio.timeout(30):
        while True:
            rows = (await _said(at, "node", "list", "--json")).json["nodes"]
            row = {each["id"]: each for each in rows}.get(id, {})
            if {name: row.get(name) for name in wanted} == wanted:
                return
            await asyncio.sleep(0.1)


async def _until_it_is(node: Process, status: str) -> None:
    async with asyncio.timeout(20):
        while True:
            if (await node.status())["status"] == status:
                return
            await asyncio.sleep(0.05)


def _moved(cluster: Processes, id: str) -> None:
    """The node is to come back on other ports."""
    node = cluster.nodes[id]
    port, mesh = free_ports(2)
    for name, value in (("--listen", port), ("--mesh", mesh)):
        node.flags[node.flags.index(name) + 1] = f"127.0.0.1:{value}"
    node.port = port


def _written(cluster: Processes, id: str) -> str:
    return (cluster.folder / id / "state" / "cluster.json").read_text()


def test_a_node_is_stopped_moves_and_is_removed(tmp_path: Path) -> None:
    """Other ports: files, lists and clients follow. Removed: out, whatever it has kept."""

    async def test() -> None:
        async with processes(tmp_path, "n1", "n2", "n3", keeps=True) as cluster:
            n1, n3 = cluster.nodes["n1"], cluster.nodes["n3"]
            async with client.connect(n1.url, timeout=20) as cache:
                await cache.set("a", 1)
                await n3.end(signal.SIGTERM)
                await _until_row(n1, "n3", status="silent")
                _moved(cluster, "n3")
                await n3.start()
                await cluster.until_active(n3)
                await _until_row(n1, "n3", addresses=[n3.url], status="active")
                await until(
                    lambda: all(str(n3.port) in _written(cluster, id) for id in cluster.nodes)
                )
                assert await cache.get("a") == 1
            assert "n3 is out" in (await _said(n3, "node", "remove", "n3")).err
            await n3.end(signal.SIGKILL)
            await n3.start()
            await _until_it_is(n3, "removed")
            await until(lambda: "stays out" in n3.log.read_text())
            rows = (await _said(n1, "node", "list", "--json")).json["nodes"]
            assert [each["id"] for each in rows] == ["n1", "n2"]

    run(test())


def test_a_lone_survivor_goes_on_and_others_join_it_with_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with processes(tmp_path, "n1", "n2", "n3", keeps=True) as cluster:
            n1, n2, n3 = cluster.nodes.values()
            async with client.connect(n3.url, timeout=20) as cache:
                await cache.set("a", 1, ack="all")
            for node in (n1, n2):
                await node.end(signal.SIGKILL)
                shutil.rmtree(tmp_path / node.id)
            await _until_it_is(n3, "isolated")
            argv = ("node", "set", "n3", "--priority", "7", "--server", n3.url, "--timeout", "1s")
            refused = await asyncio.to_thread(tlru, *argv, "--json")
            assert refused.status == Exit.UNAVAILABLE
            assert json.loads(refused.err)["error"]["code"] == "isolated"
            said = await _said(n3, "node", "revive", "n3", "--yes")
            assert "n3 goes on with n3 in epoch 2-" in said.err
            await n1.start()
            await cluster.until_active(n1)
            async with client.connect(n1.url, timeout=20) as cache:
                assert await cache.get("a", read="linear") == 1

    run(test())
