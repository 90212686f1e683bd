"""Nodes that take up changed files, one after another, while clients write and read at all."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from tests.cli.commands import Ran, tlru
from tests.integration.processes import Process, Processes, processes
from tests.integration.recorder import recording
from tests.ports import free_ports
from tests.running import run, talking, until
from tlru.cli.exits import Exit

IDS = ("n1", "n2", "n3")
LIMIT = 77


async def told_to_reload(node: Process, by: Process) -> Ran:
    """By the command line, at whichever node."""
    argv = ("node", "reload", node.id, "--json", "--server", by.url)
    return await asyncio.to_thread(tlru, *argv)


async def hung_up(node: Process, until_it_says: str) -> None:
    """By SIGHUP."""
    known = len(node.said())
    node.send(signal.SIGHUP)
    await until(lambda: until_it_says in node.said()[known:])


async def rows(at: Process) -> dict[str, dict[str, Any]]:
    """What a node says of all members."""
    return {each["id"]: each for each in (await at.asked("nodes"))["nodes"]}


async def until_all_say(cluster: Processes, id: str, **wanted: Any) -> None:
    """Wait until every node says this of a member."""
    for node in cluster.nodes.values():
        async with asyncio.timeout(30):
            while True:
                row = (await rows(node))[id]
                if {name: row[name] for name in wanted} == wanted:
                    break
                await asyncio.sleep(0.05)


async def a_mistake_changes_nothing(cluster: Processes, node: Process) -> None:
    """It is reported, to whoever asked and in the log, and the file's other changes wait too."""
    before = dict(node.options)
    node.write(region="nowhere", in_flight="many")
    other = next(each for each in cluster.nodes.values() if each is not node)
    ran = await told_to_reload(node, by=other)
    assert ran.status == Exit.REFUSED, ran
    (mistake,) = ran.json["mistakes"]
    assert f"{node.file}, line" in mistake
    assert "in_flight" in mistake
    await hung_up(node, "not reloaded, nothing has changed")
    assert (await node.status())["region"] == before.get("region", "")
    node.options = before
    node.write()


def test_nodes_that_reload_fail_nobodys_request(tmp_path: Path) -> None:
    """A priority, by which the lead moves; a region; limits; the port where clients come: all of it
    by the files alone, and nobody is restarted."""

    async def test() -> None:
        flags = ["--settle", "0.5s"]
        async with processes(tmp_path, *IDS, flags=flags, by_file=True) as cluster:
            n1, n2, n3 = cluster.nodes.values()
            pids = cluster.pids()
            await cluster.until_grown()
            async with recording(*cluster.urls) as recorder:
                await cluster.until_led_by(n1)
                n2.write(priority=150)
                await hung_up(n2, "changed=priority")
                await until_all_say(cluster, "n2", priority=150)
                await cluster.until_led_by(n2)

                n3.write(region="eu", in_flight=LIMIT, max_entries=9_999)
                ran = await told_to_reload(n3, by=n1)
                assert ran.status == Exit.OK, ran
                assert set(ran.json["changed"]) == {"region", "in_flight", "max_entries"}
                await until_all_say(cluster, "n3", region="eu")
                await until_all_say(cluster, "n1", max_entries=9_999)

                await a_mistake_changes_nothing(cluster, n3)

                (port,) = free_ports(1)
                n2.write(listen=f"127.0.0.1:{port}")
                await hung_up(n2, "changed=listen")
                n2.port = port
                await until_all_say(cluster, "n2", addresses=[n2.url])
                async with recording(n2.url, clients=2) as late:
                    await recorder.more(10)
            print(f"reloaded: {recorder.told()}")
            assert recorder.errors == late.errors == []
            assert await told_limit(n3) == LIMIT
            said = await cluster.until_alike()
            assert {id: each["pid"] for id, each in said.items()} == pids

    run(test())


async def told_limit(node: Process) -> int:
    """How many requests a client may have under way there."""
    async with talking(node) as talker:
        limits = (await talker.ask("hello"))["limits"]
        assert isinstance(limits["in_flight"], int)
        return limits["in_flight"]
