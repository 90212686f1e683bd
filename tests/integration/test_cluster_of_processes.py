"""Real nodes that are killed, while clients write and read."""

from __future__ import annotations

import asyncio
import operator
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import tlru
from tests.integration.processes import Processes, processes
from tests.running import run, until
from tlru.errors import TlruError


class Counting:
    """Clients that count, each its own key, and know what they were told."""

    def __init__(self, urls: list[str]) -> None:
        self.cache: Any = tlru.connect(*urls, timeout=20)
        self.done = [0] * 4
        self.errors: list[TlruError] = []
        self._going = True
        self._tasks = [asyncio.create_task(self._count(n)) for n in range(len(self.done))]

    async def _count(self, number: int) -> None:
        while self._going:
            try:
                self.done[number] = int(await self.cache.incr(f"count {number}"))
            except TlruError as exc:
                self.errors.append(exc)

    async def more(self, count: int) -> None:
        """Wait until each has counted so much further."""
        wanted = [done + count for done in self.done]
        await until(lambda: all(map(operator.ge, self.done, wanted)))

    async def end(self) -> None:
        """Count no more; each count is what was counted, neither more nor less."""
        self._going = False
        await asyncio.gather(*self._tasks)
        assert self.errors == []
        for number, done in enumerate(self.done):
            assert await self.cache.get(f"count {number}", read="linear") == done
        await self.cache.close()


@asynccontextmanager
async def counting(cluster: Processes, *at: str) -> AsyncIterator[Counting]:
    """Clients that count while something happens, `at` some of the nodes, or at any."""
    clients = Counting([cluster.nodes[id].url for id in at or cluster.nodes])
    try:
        await clients.more(20)
        yield clients
        await clients.more(20)
    finally:
        await clients.end()


@pytest.mark.parametrize("keeps", [False, True], ids=["in memory", "on disk"])
def test_a_leader_that_is_killed_costs_nobody_anything(tmp_path: Path, keeps: bool) -> None:
    """Whatever was counted is counted, once; and it comes back under its name."""

    async def test() -> None:
        async with processes(tmp_path, "n1", "n2", "n3", keeps=keeps) as cluster:
            leader = await cluster.leader()
            assert leader.id == "n1", "the highest priority"
            async with counting(cluster):
                await leader.end(signal.SIGKILL)
            await leader.start()
            said = await cluster.until_alike()
            assert set(said) == {"n1", "n2", "n3"}

    run(test())


def test_a_leader_that_stands_still_for_long_is_replaced_and_comes_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with processes(tmp_path, "n1", "n2", "n3") as cluster:
            leader = await cluster.leader()
            assert leader.process is not None
            async with counting(cluster, "n2", "n3") as clients:
                leader.process.send_signal(signal.SIGSTOP)
                await clients.more(20)
                leader.process.send_signal(signal.SIGCONT)
            await cluster.until_alike()

    run(test())


def test_a_node_that_is_stopped_in_order_fails_nobodys_request(tmp_path: Path) -> None:
    """One after another, the leader too."""

    async def test() -> None:
        async with processes(tmp_path, "n1", "n2", "n3", keeps=True) as cluster:
            async with counting(cluster):
                for node in cluster.nodes.values():
                    await node.end(signal.SIGTERM)
                    await node.start()
                    await cluster.until_active(node)
            await cluster.until_alike()

    run(test())
