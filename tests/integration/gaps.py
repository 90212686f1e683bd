"""How long nobody's writes are acknowledged when a leader is killed, hands over, or all restart.

    python -m tests.integration.gaps --rounds 10

Clients write at every node, one after another's answer. A gap is the longest time between two
acknowledgements of whichever client; a wait, the longest that one client's write took. The figures
are for people: what is asserted of them in the test run has bounds that a slow machine keeps, too.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tlru
from tests.integration.processes import Processes, processes
from tests.running import until
from tlru.errors import TlruError

PACE_S = 0.001
WRITERS = 6
BEFORE = AFTER = 20  # writes of each client


@dataclass
class Writers:
    """Clients that only write."""

    urls: list[str]
    acknowledged: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    errors: list[TlruError] = field(default_factory=list)
    going: bool = True

    async def write(self, number: int) -> None:
        """One client; it begins at a server of its own."""
        at = number % len(self.urls)
        cache: tlru.Cache[int] = tlru.connect(*self.urls[at:], *self.urls[:at], timeout=20)
        try:
            for count in itertools.count():
                began = time.perf_counter()
                try:
                    await cache.set(f"gap {number}", count)
                except TlruError as exc:
                    self.errors.append(exc)
                else:
                    ended = time.perf_counter()
                    self.acknowledged.append(ended)
                    self.waits.append(ended - began)
                if not self.going:
                    return
                await asyncio.sleep(PACE_S)
        finally:
            await cache.close()

    async def more(self, count: int) -> None:
        """Wait until there are so many more."""
        wanted = len(self.acknowledged) + count * WRITERS
        await until(lambda: len(self.acknowledged) >= wanted, within_s=60)

    def gap_s(self) -> float:
        """The longest time without any."""
        return max(later - sooner for sooner, later in itertools.pairwise(self.acknowledged))


@asynccontextmanager
async def writing(cluster: Processes) -> AsyncIterator[Writers]:
    """Writers at work while something happens."""
    writers = Writers(cluster.urls)
    async with asyncio.TaskGroup() as tasks:
        for number in range(WRITERS):
            tasks.create_task(writers.write(number))
        try:
            await writers.more(BEFORE)
            writers.acknowledged.clear()  # what comes before is no part of it
            writers.waits.clear()
            await writers.more(1)
            yield writers
            await writers.more(AFTER)
        finally:
            writers.going = False


# -- what happens


async def kill(cluster: Processes) -> None:
    """The leader is killed."""
    await (await cluster.leader()).end(signal.SIGKILL)


async def stop(cluster: Processes) -> None:
    """The leader is stopped in order: it hands the lead over."""
    await (await cluster.leader()).end(signal.SIGTERM)


async def restart_all(cluster: Processes) -> None:
    """One after another."""
    for node in cluster.nodes.values():
        await node.end(signal.SIGTERM)
        await node.start()
        await cluster.until_active(node)


EVENTS: dict[str, Callable[[Processes], Awaitable[None]]] = {
    "the leader is killed": kill,
    "the leader is stopped": stop,
    "all restart in turn": restart_all,
}


async def measure(cluster: Processes, happens: Callable[[Processes], Awaitable[None]]) -> Writers:
    """What writers meet when it happens; afterwards all nodes are there again."""
    async with writing(cluster) as writers:
        await happens(cluster)
    for node in cluster.nodes.values():
        if node.process is None:
            await node.start()
    await cluster.until_alike()
    await cluster.until_led_by(next(iter(cluster.nodes.values())))  # which is steady by then
    return writers


async def rounds(count: int, keeps: bool, chosen: list[str]) -> None:
    """Measure, and print a table."""
    print(f"{'':24}{'gap, ms':>24}{'wait, ms':>24}{'failed':>8}")
    print(f"{'':24}{'median':>12}{'worst':>12}{'median':>12}{'worst':>12}")
    with tempfile.TemporaryDirectory() as folder:
        async with processes(Path(folder), "n1", "n2", "n3", keeps=keeps) as cluster:
            await cluster.until_grown()
            for name in chosen:
                found = [await measure(cluster, EVENTS[name]) for _ in range(count)]
                gaps = [writers.gap_s() * 1000 for writers in found]
                waits = [max(writers.waits) * 1000 for writers in found]
                failed = sum(len(writers.errors) for writers in found)
                figures = (statistics.median(gaps), max(gaps), statistics.median(waits), max(waits))
                print(f"{name:24}" + "".join(f"{f:12.1f}" for f in figures) + f"{failed:8}")
                for error in {str(error) for writers in found for error in writers.errors}:
                    print(f"    {error}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.gaps")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="without data directories")
    parser.add_argument("--only", choices=list(EVENTS), help="only this")
    told = parser.parse_args()
    chosen = [told.only] if told.only else list(EVENTS)
    asyncio.run(rounds(told.rounds, not told.memory, chosen))


if __name__ == "__main__":
    main()
