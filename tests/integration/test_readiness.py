"""Readiness of a whole deployment, each node a process of its own, as a supervisor asks for it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.processes import LOOK_S, Process, Processes, processes
from tests.running import run, talking

IDS = ("n1", "n2", "n3")
WITHIN_S = 30.0
RISEN_WITHIN_S = 45.0
AT_FIRST = 0.2  # what one that becomes ready weighs
STEPS = 3  # on the way from there to 1, at least; one or two may be over before it is looked at

Answer = tuple[int, dict[str, Any]]


async def ready(node: Process, purpose: str) -> Answer:
    """What a supervisor is told."""
    url = f"http://127.0.0.1:{node.port}/health/ready?for={purpose}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.json()


async def until_ready(
    cluster: Processes, holds: Callable[[Answer], object], purpose: str = "write"
) -> None:
    """Ask every node that runs, until it is so of each."""
    async with asyncio.timeout(WITHIN_S):
        for node in cluster.nodes.values():
            while node.process is not None:
                if holds(await ready(node, purpose)):
                    break
                await asyncio.sleep(LOOK_S)


def is_ready(answer: Answer) -> bool:
    """Clients may be sent there."""
    return answer[0] == 200


async def weights(node: Process) -> dict[str, float]:
    """What each node weighs, as clients of this one are told."""
    async with talking(node) as client:
        servers = (await client.ask("hello"))["servers"]
    return {server["id"]: server["weight"] for server in servers}


async def until_risen(node: Process) -> dict[str, list[float]]:
    """What each weighs, every change of it, until all weigh as much as they can."""
    seen: dict[str, list[float]] = {id: [] for id in IDS}
    async with asyncio.timeout(RISEN_WITHIN_S):
        while any(told[-1:] != [1.0] for told in seen.values()):
            for id, weight in (await weights(node)).items():
                if seen[id][-1:] != [weight]:
                    seen[id].append(weight)
            await asyncio.sleep(LOOK_S)
    return seen


@pytest.mark.long
@pytest.mark.parametrize("stale_reads", [False, True])
def test_a_deployment_gets_ready_loses_its_majority_and_comes_back_little_by_little(
    tmp_path: Path, stale_reads: bool
) -> None:
    flags = ["--stale-reads"] if stale_reads else []

    async def test() -> None:
        async with processes(tmp_path, *IDS, keeps=True, flags=flags) as cluster:
            n1, n2, n3 = cluster.nodes.values()
            # Fresh and empty: it needs a leader, and no data.
            for purpose in ("write", "read"):
                await until_ready(cluster, is_ready, purpose)

            await asyncio.gather(n2.end(signal.SIGKILL), n3.end(signal.SIGKILL))
            await until_ready(cluster, lambda answer: not is_ready(answer))
            # By more than its status: the probe finds no majority, twice in a row.
            await until_ready(cluster, lambda answer: not answer[1]["checks"]["steady"]["ok"])
            status, told = await ready(n1, "write")
            assert (status, told["checks"]["status"]["is"]) == (503, "isolated")
            assert "majority" in told["checks"]["probe_default"]["do"]
            status, told = await ready(n1, "read")
            assert is_ready((status, told)) is stale_reads, told
            assert told["checks"]["steady"]["ok"] is stale_reads
            live = f"http://127.0.0.1:{n1.port}/health/live"
            async with aiohttp.ClientSession() as session, session.get(live) as response:
                assert response.status == 200, "it must not be started anew for it"

            await asyncio.gather(n2.start(), n3.start())
            for purpose in ("write", "read"):
                await until_ready(cluster, is_ready, purpose)
            for id, seen in (await until_risen(n1)).items():
                assert AT_FIRST <= seen[0] < 0.6, (id, seen)
                assert seen == sorted(seen), (id, seen)
                assert len(seen) >= STEPS, (id, seen)

    run(test())
