"""Links that are cut, both ways or one way, while clients write and read at all nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.processes import Process, Processes, processes
from tests.integration.recorder import recording
from tests.running import run

IDS = ("n1", "n2", "n3")
PATIENCE_S = 3.0  # of a client: what hangs at a node that is cut off is given up so soon


async def another_leads(cluster: Processes, than: Process) -> Process:
    """Wait until one of the others does."""
    while True:
        statuses = await cluster.statuses()
        for node in cluster.others(than.id):
            if statuses[node.id]["leads"]:
                return node


@pytest.mark.parametrize(
    "how",
    [
        ("cut off", "deaf"),
        pytest.param(("dumb", "deaf", "cut off", "dumb"), marks=pytest.mark.long),
    ],
    ids=" ".join,
)
def test_a_leader_that_is_cut_off_is_replaced_and_comes_back(
    tmp_path: Path, how: tuple[str, ...]
) -> None:
    """Both ways, or it hears nobody (deaf), or nobody hears it (dumb). Who was there goes
    elsewhere, and nothing that was told is wrong."""

    async def test() -> None:
        flags = ["--settle", "0.5s"]
        async with processes(tmp_path, *IDS, linked=True, flags=flags) as cluster:
            web, n1 = cluster.web, cluster.nodes["n1"]
            assert web is not None
            for one_way in how:
                async with recording(*cluster.urls, patience_s=PATIENCE_S) as recorder:
                    assert (await cluster.leader()).id == "n1"
                    if one_way == "deaf":
                        web.cut(["n2", "n3"], ["n1"])
                    elif one_way == "dumb":
                        web.cut(["n1"], ["n2", "n3"])
                    else:
                        web.part(["n1"], ["n2", "n3"])
                    await another_leads(cluster, n1)
                    await recorder.more(10)
                    assert not (await n1.status())["leads"]
                    web.heal()
                    await cluster.until_led_by(n1)
                print(f"leader {one_way}: {recorder.told()}")
            await cluster.until_alike()

    run(test())


def test_the_far_end_of_a_chain_sends_its_clients_away_and_unseats_nobody(tmp_path: Path) -> None:
    """The ends do not hear each other, and the leader is one of them."""

    async def test() -> None:
        async with processes(tmp_path, *IDS, linked=True) as cluster:
            web, n3 = cluster.web, cluster.nodes["n3"]
            assert web is not None
            async with recording(*cluster.urls, patience_s=PATIENCE_S) as recorder:
                assert (await cluster.leader()).id == "n1"
                web.part(["n1"], ["n3"])
                await cluster.until_said(n3, lambda said: said["status"] != "active")
                term = (await n3.status())["term"]
                await recorder.more(30)
                statuses = {id: said["status"] for id, said in (await cluster.statuses()).items()}
                assert statuses == {"n1": "active", "n2": "active", "n3": "isolated"}
                web.heal()
                await cluster.until_active(n3)
                assert (await cluster.leader()).id == "n1"
                assert (await n3.status())["term"] == term
            print(f"chain: {recorder.told()}")
            await cluster.until_alike()

    run(test())
