"""Real nodes that are killed, stopped and stand still, while clients contend for a few keys."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.cli.commands import tlru
from tests.integration.processes import Process, processes
from tests.integration.recorder import recording
from tests.running import run, talking
from tlru.cli.exits import Exit
from tlru.errors import Retry

IDS = ("n1", "n2", "n3")
PATIENCE_S = 5.0


@pytest.mark.parametrize("keeps", [False, True], ids=["in memory", "on disk"])
def test_nodes_that_are_killed_cost_nobody_anything(tmp_path: Path, keeps: bool) -> None:
    """The leader, then a follower. Each comes back under its name; without anything kept, too."""

    async def test() -> None:
        async with processes(tmp_path, *IDS, keeps=keeps) as cluster:
            leader = await cluster.leader()
            assert leader.id == "n1", "the highest priority"
            async with recording(*cluster.urls) as recorder:
                await leader.end(signal.SIGKILL)
                await recorder.more(20)
                assert (await cluster.leader()).id != "n1"
                await leader.start()
                await cluster.until_active(leader)
                n3 = cluster.nodes["n3"]
                await n3.end(signal.SIGKILL)
                await recorder.more(20)
                await n3.start()
                await cluster.until_active(n3)
            print(f"killed: {recorder.told()}")
            assert set(await cluster.until_alike()) == set(IDS)

    run(test())


def test_a_leader_that_stands_still_for_long_is_replaced_and_comes_back(tmp_path: Path) -> None:
    """Whoever has asked it waits in vain, and asks another."""

    async def test() -> None:
        async with processes(tmp_path, *IDS) as cluster:
            leader, others = await cluster.leader(), cluster.others("n1")
            async with recording(*(n.url for n in others), *cluster.urls) as recorder:
                leader.send(signal.SIGSTOP)
                elsewhere = recorder.clients[:2]
                await recorder.more(20, *elsewhere)
                statuses = await asyncio.gather(*(node.status() for node in others))
                assert any(said["leads"] for said in statuses)
                leader.send(signal.SIGCONT)
            print(f"stood still: {recorder.told()}")
            await cluster.until_alike()

    run(test())


@pytest.mark.parametrize(
    "keeps",
    [pytest.param(True, id="on disk"), pytest.param(False, id="in memory", marks=pytest.mark.long)],
)
def test_nodes_that_are_restarted_in_turn_fail_nobodys_request(tmp_path: Path, keeps: bool) -> None:
    """All of them, the leader too."""

    async def test() -> None:
        async with processes(tmp_path, *IDS, keeps=keeps) as cluster:
            await cluster.until_grown()
            async with recording(*cluster.urls) as recorder:
                for node in cluster.nodes.values():
                    before = node.pid
                    await node.end(signal.SIGTERM)
                    await node.start()
                    assert node.pid != before
                    await cluster.until_active(node)
                    await recorder.more(5)
            print(f"restarted in turn: {recorder.told()}")
            assert recorder.errors == []
            await cluster.until_alike()

    run(test())


REMOVED = 2


async def remove(node: Process, by: Process) -> None:
    """On the word of whoever is at another."""
    ran = await asyncio.to_thread(tlru, "node", "remove", node.id, "--server", by.url)
    assert ran.status == Exit.OK, ran


def test_nodes_join_and_are_removed_under_load(tmp_path: Path) -> None:
    """It is let in, is caught up, and serves; its list has all of them, and theirs has it. Then two
    are removed, who leads first, and end. Clients follow the list: in the end, those that were told
    of the removed ones alone are at nodes that they were never told of."""

    async def test() -> None:
        async with processes(tmp_path, *IDS) as cluster:
            async with recording(*cluster.urls) as recorder:
                await cluster.add("n4", "--join", cluster.nodes["n3"].mesh)
                n4 = cluster.nodes["n4"]
                await n4.start()
                await cluster.until_said(n4, lambda said: said["role"] == "voter")
                await cluster.until_active(n4)
                before = (await n4.status())["pos"]
                told_of = [cluster.nodes[id].url for id in IDS[:REMOVED]]
                async with recording(n4.url, clients=2) as late, recording(*told_of) as former:
                    await late.more(20)
                    assert (await n4.status())["pos"] > before
                    # They are asked in turn, and tell of one moment only if nobody writes.
                    async with recorder.resting(), late.resting(), former.resting():
                        assert set(await cluster.until_alike()) == {*IDS, "n4"}
                    for id in IDS[:REMOVED]:
                        gone = cluster.nodes[id]
                        await remove(gone, by=n4)
                        await cluster.until_said(gone, lambda said: said["status"] == "removed")
                        await former.more(10)
                        await gone.end(signal.SIGTERM)
                        await former.more(10)
            for each in (recorder, late, former):
                print(f"joined and removed: {each.told()}")
                # A node that is out hears no more of the log: what it had passed on may be done.
                assert {error.retry for error in each.errors} <= {Retry.UNKNOWN}, each.errors
                assert len(each.errors) <= REMOVED * len(each.clients), "what was under way"
            assert set(await cluster.until_alike()) == {"n3", "n4"}

    run(test())


def test_who_is_asked_to_leave_is_answered_until_it_does(tmp_path: Path) -> None:
    """What a client has sent while the goodbye was on its way is refused by name, and so can be
    asked elsewhere. A connection that only ends would leave it in doubt."""

    async def test() -> None:
        async with processes(tmp_path, *IDS) as cluster:
            n3 = cluster.nodes["n3"]
            async with talking(n3) as talker:
                assert (await talker.ask("get", key="a"))["ok"]
                stopping = asyncio.create_task(n3.end(signal.SIGTERM))
                while (await talker.receive()).get("push") != "goaway":
                    pass
                for number in range(100, 120):
                    await talker.send({"id": number, "op": "set", "key": "a", "value": 1})
                    while (reply := await talker.receive()).get("id") != number:
                        pass
                    assert reply["error"]["code"] == "draining"
            await stopping

    run(test())
