"""A node that joins a cluster of a million keys: how soon it serves, and what the others notice.

    python -m tests.benchmarks.joining [--keys 1000000] [--seconds 5]

Three nodes hold the keys; clients of all three read and write for some time, and then on while a
fourth joins by the address of one of them. Printed are the time from the start of its process to
its first word that it is active, and the latencies of the others before and meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from typing import Any

import uvloop
from rich.progress import Progress

import tlru
from tests.benchmarks.clusters import NODES, VALUE, tlru_commands, until_active
from tests.benchmarks.processes import resident_bytes, running
from tests.ports import free_ports

AT_ONCE = 1_000
JOIN_S_MAX, P99_MS_MAX = 20.0, 20.0
PAUSE_S = 0.002  # of a client between one request and the next: it is there to notice, not to load

Cache = tlru.Cache[Any]


def percentile(took: list[float], share: float) -> float:
    """Of latencies, in milliseconds."""
    ordered = sorted(took)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3


class Noticing:
    """Clients of the nodes that are there, and how long their requests take."""

    def __init__(self, caches: list[Cache], keys: int) -> None:
        self.gets: list[float] = []
        self.sets: list[float] = []
        self._keys = keys
        self._going = True
        self._tasks = [asyncio.create_task(self._ask(cache)) for cache in caches]

    async def _ask(self, cache: Cache) -> None:
        chance = random.Random(1)
        while self._going:
            key = f"key:{chance.randrange(self._keys)}"
            began = time.perf_counter()
            await cache.get(key)
            read = time.perf_counter()
            await cache.set(key, VALUE)
            self.gets.append(read - began)
            self.sets.append(time.perf_counter() - read)
            await asyncio.sleep(PAUSE_S)

    def told(self, when: str) -> float:
        """Print what was noticed since the last time; the worse of the two p99."""
        worst = 0.0
        for name, took in (("get", self.gets), ("set", self.sets)):
            p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
            print(
                f"  {when:12} {name}: p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   "
                f"worst {max(took) * 1e3:7.2f} ms   ({len(took):,} requests)",
                flush=True,
            )
            worst = max(worst, p99)
            took.clear()
        return worst

    async def end(self) -> None:
        """Ask no more."""
        self._going = False
        await asyncio.gather(*self._tasks)


async def fill(cache: Cache, keys: int) -> None:
    """Write so many keys."""
    with Progress(transient=True) as progress:
        task = progress.add_task("keys", total=keys)
        for first in range(0, keys, AT_ONCE):
            await cache.set_many(
                {f"key:{n}": VALUE for n in range(first, min(keys, first + AT_ONCE))}
            )
            progress.advance(task, AT_ONCE)


async def measure(keys: int, seconds: float) -> None:
    """Fill, join, and tell."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        commands, ports = tlru_commands(folder)
        nodes = [stack.enter_context(running(command)) for command in commands]
        for port in ports:
            await until_active(port)
        async with contextlib.AsyncExitStack() as clients:
            caches: list[Cache] = [
                await clients.enter_async_context(
                    tlru.connect(f"ws://127.0.0.1:{port}", timeout=30)
                )
                for port in ports
            ]
            began = time.perf_counter()
            await fill(caches[0], keys)
            filled = time.perf_counter() - began
            held = resident_bytes(nodes[0].pid)
            print(f"{keys:,} keys written in {filled:.1f} s; a node holds {held >> 20} MiB")
            noticing = Noticing(caches, keys)
            await asyncio.sleep(seconds)
            noticing.told("before")
            joined = await join(stack, commands[0], f"{folder}/n4")
            p99 = noticing.told("meanwhile")
            await asyncio.sleep(seconds)
            noticing.told("after")
            await noticing.end()
    verdicts = [
        f"{name} {found:.1f} {unit}, goal {most:g}: {'reached' if found <= most else 'MISSED'}"
        for name, found, most, unit in (
            ("the fourth node serves after", joined, JOIN_S_MAX, "s"),
            ("p99 of the others meanwhile", p99, P99_MS_MAX, "ms"),
        )
    ]
    print("\n".join(verdicts))


async def join(stack: contextlib.ExitStack, like: list[str], state: str) -> float:
    """Start one more node by the address of one of the others; how long until it serves."""
    client, mesh = free_ports(2)
    contact = like[like.index("--mesh") + 1]
    command = [
        *(sys.executable, "-m", "tlru", "serve", "--id", f"n{NODES + 1}", "--log-level", "error"),
        *("--listen", f"127.0.0.1:{client}", "--mesh", f"127.0.0.1:{mesh}"),
        *("--join", contact, "--priority", "0", "--state-dir", state),
    ]
    began = time.perf_counter()
    stack.enter_context(running(command))
    await until_active(client)
    return time.perf_counter() - began


def main() -> None:
    """Parse the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="before, and after")
    args = parser.parse_args()
    uvloop.run(measure(args.keys, args.seconds))


if __name__ == "__main__":
    main()
