"""Memory and descriptors of three nodes under churn, over a long time; prints a plot of both.

    python -m tests.benchmarks.soak [--minutes 20] [--data]

Items come, are overwritten, expire and are evicted; clients come and go; locks change hands. Every
minute something happens to a node: the first two are stopped, killed or held up, in turn, and
started again; the third is only held up, so that it lives through all of it. Nothing of that one
may grow: the peak of its last quarter is held against that of its second, when all that is bounded
has come to its bound. Whatever a client was refused or not told is printed, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

import tlru
from tests.benchmarks.clusters import NODES, tlru_commands, until_active
from tests.benchmarks.processes import descriptors, resident_bytes
from tlru.errors import TlruError

SAMPLE_S = 2.0
HARM_EVERY_S = 60.0
HELD_UP_S = 3.0
KEYS, ENTRIES_MAX = 200_000, 100_000  # so half of what is written is evicted
CLIENTS, REQUESTS_A_LIFE = 8, 2_000
PAUSE_S = 0.001
WIDTH, HEIGHT = 72, 12
MARKS = "123"
# What is kept for those who come back is bounded so low that it is full in the first minutes.
RETAINED = "4MiB"
GROWTH_MAX = {"memory": 0.03, "descriptors": 0.1}  # shares; what is flat wavers by less

Cache = tlru.Cache[Any]


@dataclass
class Series:
    """The samples of one node's one figure."""

    at: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, at: float, value: float) -> None:
        """One more."""
        self.at.append(at)
        self.values.append(value)

    def growth(self) -> float:
        """Of the last quarter's peak over that of the second, as a share of that."""
        quarter = len(self.values) // 4
        if not quarter:
            return 0.0
        return max(self.values[-quarter:]) / max(self.values[quarter : 2 * quarter]) - 1


def plot(title: str, unit: str, lines: Sequence[Series]) -> str:
    """A picture of all of them in characters, from nothing up."""
    most = max((max(line.values, default=0) for line in lines), default=0) or 1
    end = max((line.at[-1] for line in lines if line.at), default=0) or 1
    canvas = [[" "] * WIDTH for _ in range(HEIGHT)]
    for mark, line in zip(MARKS, lines, strict=True):
        for at, value in zip(line.at, line.values, strict=True):
            column = min(WIDTH - 1, int(at / end * WIDTH))
            row = HEIGHT - 1 - min(HEIGHT - 1, int(value / most * HEIGHT))
            taken = canvas[row][column]
            canvas[row][column] = mark if taken in (" ", mark) else "*"
    left = [f"{most:9,.0f} {unit:4}", *[" " * 14] * (HEIGHT - 2), f"{0:9} {unit:4}"]
    rows = [f"{label}|{''.join(row)}" for label, row in zip(left, canvas, strict=True)]
    foot = f"{'':14}0{'minutes':^{WIDTH - 8}}{end / 60:7.1f}"
    return "\n".join([f"\n{title} (1, 2, 3: the nodes; *: several)", *rows, foot])


class Node:
    """One node's process, which may be another after a while."""

    def __init__(self, command: list[str], port: int, folder: str) -> None:
        self.command, self.port, self._folder = command, port, folder
        self.memory, self.files = Series(), Series()
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        env = {**os.environ, "TMPDIR": self._folder}  # for what one that is killed leaves behind
        return subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
        )

    def sample(self, at: float) -> None:
        """Look at it, if it runs."""
        with contextlib.suppress(OSError):
            self.memory.add(at, resident_bytes(self.process.pid) / (1 << 20))
            self.files.add(at, descriptors(self.process.pid))

    async def end(self, how: signal.Signals) -> None:
        """Have it end, by its own process id."""
        self.process.send_signal(how)
        await asyncio.to_thread(self.process.wait)

    async def harm(self, how: signal.Signals) -> None:
        """Stop, kill or hold it up, and see it back."""
        if how is signal.SIGSTOP:
            self.process.send_signal(how)
            await asyncio.sleep(HELD_UP_S)
            self.process.send_signal(signal.SIGCONT)
        else:
            await self.end(how)
            self.process = self._started()
        await until_active(self.port)


class Churn:
    """Clients that write, read, lock, come and go."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self.told: Counter[str] = Counter()
        self.requests = 0
        self.going = True

    async def run(self, number: int) -> None:
        """One client after another."""
        chance = random.Random(number)
        while self.going:
            async with tlru.connect(*chance.sample(self._urls, NODES), timeout=20) as cache:
                await self._live(cache, chance)

    async def _live(self, cache: Cache, chance: random.Random) -> None:
        for _ in range(REQUESTS_A_LIFE):
            if not self.going:
                return
            try:
                await self._ask(cache, chance)
            except TlruError as error:
                self.told[error.code] += 1
            self.requests += 1
            await asyncio.sleep(PAUSE_S)

    async def _ask(self, cache: Cache, chance: random.Random) -> None:
        key = f"key:{chance.randrange(KEYS)}"
        what = chance.random()
        if what < 0.45:
            await cache.get(key)
        elif what < 0.8:
            ttl = chance.choice([None, 1, 10, 60])
            await cache.set(key, chance.randbytes(chance.randrange(300)), ttl=ttl)
        elif what < 0.9:
            await cache.incr(f"count:{chance.randrange(100)}", ttl=30)
        elif what < 0.95:
            await cache.delete(key)
        else:
            async with cache.lock(f"lock:{chance.randrange(20)}", ttl=5):
                await cache.get(key)


@contextlib.asynccontextmanager
async def nodes_of(folder: str, *, data: bool) -> AsyncIterator[list[Node]]:
    """Three nodes that serve; whatever happens, none is left."""
    more = ["--max-entries", str(ENTRIES_MAX), "--grace", "2", "--retained-bytes", RETAINED]
    commands, ports = tlru_commands(folder, *more)
    if data:
        commands = [[*c, "--data-dir", f"{folder}/data{n}"] for n, c in enumerate(commands)]
    pairs = zip(commands, ports, strict=True)
    nodes = [Node(command, port, folder) for command, port in pairs]
    try:
        for node in nodes:
            await until_active(node.port)
        yield nodes
    finally:
        for node in nodes:
            await node.end(signal.SIGKILL)


async def soak(minutes: float, *, data: bool) -> None:
    """Run it, and print what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        async with nodes_of(folder, data=data) as nodes:
            churn = Churn([f"ws://127.0.0.1:{node.port}" for node in nodes])
            clients = [asyncio.create_task(churn.run(number)) for number in range(CLIENTS)]
            harms = asyncio.create_task(harm_in_turn(nodes))
            await sample_until(nodes, minutes * 60, churn)
            harms.cancel()
            churn.going = False
            await asyncio.gather(*clients, harms, return_exceptions=True)
    tell(nodes, churn)


async def harm_in_turn(nodes: list[Node]) -> None:
    """Every minute something happens to one of them; the last one is never started again."""
    kinds = (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP)
    number = 0
    while True:
        await asyncio.sleep(HARM_EVERY_S)
        node = nodes[number % NODES]
        how = kinds[(number + number // NODES) % len(kinds)]
        await node.harm(signal.SIGSTOP if node is nodes[-1] else how)
        number += 1


async def sample_until(nodes: list[Node], seconds: float, churn: Churn) -> None:
    """Look at all of them, every so often."""
    began = time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        for node in nodes:
            node.sample(at)
        print(f"\r  {at / 60:5.1f} minutes, {churn.requests:,} requests ", end="", flush=True)
        await asyncio.sleep(SAMPLE_S)
    print()


def tell(nodes: list[Node], churn: Churn) -> None:
    """The plots, and whether anything grows."""
    print(plot("Memory", "MiB", [node.memory for node in nodes]))
    print(plot("Descriptors", "", [node.files for node in nodes]))
    lived = nodes[-1]
    for name, line in (("memory", lived.memory), ("descriptors", lived.files)):
        growth = line.growth()
        verdict = "flat" if growth <= GROWTH_MAX[name] else "GROWS"
        print(f"{name} of the node that lived through it, since the second quarter: ", end="")
        print(f"{growth:+.1%}: {verdict}")
    refused = ", ".join(f"{code} {count}" for code, count in sorted(churn.told.items()))
    print(f"{churn.requests:,} requests; errors that clients were told: {refused or 'none'}")


def main() -> None:
    """Parse the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--data", action="store_true", help="with data directories")
    args = parser.parse_args()
    uvloop.run(soak(args.minutes, data=args.data))


if __name__ == "__main__":
    main()
