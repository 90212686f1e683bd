"""Nodes that do not belong, and nodes of another release, beside a cluster that clients use."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.compiled import as_it_is
from tests.integration import release
from tests.integration.processes import LOOK_S, PATIENCE_S, Process, Processes, processes
from tests.integration.recorder import recording
from tests.running import run, until

IDS = ("n1", "n2", "n3")


@pytest.mark.parametrize(
    ("env", "module", "sentence"),
    [
        ({"TLRU_TOKEN": "another token than all others have"}, "tlru", "secret"),
        ({release.VERSIONS: "2-3"}, release.MODULE, "one speaks protocol versions"),
    ],
    ids=["wrong secret", "wrong version"],
)
def test_who_does_not_belong_is_not_let_in_and_disturbs_nobody(
    tmp_path: Path, env: dict[str, str], module: str, sentence: str
) -> None:
    async def test() -> None:
        async with processes(tmp_path, *IDS) as cluster:
            before = await cluster.statuses()
            async with recording(*cluster.urls) as recorder:
                meshes = ",".join(node.mesh for node in cluster.nodes.values())
                await cluster.add("n4", "--join", meshes, priority=200, env=env, module=module)
                n4 = cluster.nodes["n4"]
                await n4.start()
                await until(lambda: sentence in n4.said())
                await recorder.more(20)
                said = await n4.status()
            print(f"a stranger: {recorder.told()}")
            assert recorder.errors == []
            assert (said["status"], said["leader"], said["pos"]) == ("starting", None, 0)
            await n4.end(signal.SIGKILL)
            after = await cluster.until_alike()
            assert {(s["leader"], s["term"]) for s in after.values()} == {
                (before["n1"]["leader"], before["n1"]["term"])
            }

    run(test())


OLDER, NEWER = ("1", "1-1"), ("2", "1-2")  # the level, and the versions of the wire protocol


def as_release(node: Process, which: tuple[str, str]) -> None:
    """From its next start on."""
    node.env[release.LEVEL], node.env[release.VERSIONS] = which


async def restart(node: Process, which: tuple[str, str]) -> None:
    """As that release."""
    as_release(node, which)
    await node.end(signal.SIGTERM)
    await node.start()


async def until_spoken(cluster: Processes, version: int) -> None:
    """Wait until all speak this version with each other."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            told = (await cluster.nodes["n1"].asked("nodes"))["nodes"]
            spoken = {link["version"] for member in told for link in member["links"]}
            if spoken == {version}:
                return
            await asyncio.sleep(LOOK_S)


@as_it_is
def test_a_release_comes_and_goes_back_without_a_failed_request(tmp_path: Path) -> None:
    """One node after another, there and back. The newer ones speak the older version of the wire
    protocol with older ones, and their own with each other. Once its level is in force there is no
    way back: who tries serves nothing, until it is the newer release again."""

    async def test() -> None:
        versions = {id: {release.VERSIONS: OLDER[1]} for id in IDS}
        async with processes(
            tmp_path, *IDS, keeps=True, module=release.MODULE, env=versions
        ) as cluster:
            await cluster.until_grown()
            async with recording(*cluster.urls) as recorder:
                for which, spoken in ((NEWER, 2), (OLDER, 1)):
                    for node in cluster.nodes.values():
                        await restart(node, which)
                        await cluster.until_active(node)
                        await recorder.more(3)
                    await until_spoken(cluster, spoken)
                for node in cluster.nodes.values():
                    node.flags += ["--finalize-after", "0.2s"]
                    await restart(node, NEWER)
                    await cluster.until_active(node)
                n3 = cluster.nodes["n3"]
                await restart(n3, OLDER)
                await cluster.until_said(n3, lambda said: said["status"] == "outdated")
                await recorder.more(20)
                await restart(n3, NEWER)
                await cluster.until_active(n3)
            print(f"releases: {recorder.told()}")
            assert recorder.errors == []
            await cluster.until_alike()

    run(test())
