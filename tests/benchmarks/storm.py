"""A reconnect storm; by hand: `python -m tests.benchmarks.storm`.

Thousands of subscribers, each a Python client of its own with a connection of its own, in a few
processes; three nodes with their logs on disk; and a writer that counts. All nodes are killed at
once with SIGKILL, as by a loss of power, and started again; or, with `--kill one`, the one that
leads. How long it takes until everybody is connected again, after the kill and after the nodes
serve again, and whether everybody was told every number once, is printed.

The clients share the machine with the nodes, and go last. A process of a thousand of them is late
for its own deadlines (on two busy cores by seconds), so some give up attempts that were about to
succeed: what is measured is as much the clients' machine as the nodes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.request import urlopen

import uvloop

import tlru
from tests.benchmarks.clusters import NODES, tlru_commands, until_active
from tests.running import until

CLIENTS, CROWDS = 5_000, 4
COMING_AT_ONCE = 100  # of one crowd, at the beginning; nothing is measured then
WRITE_EVERY_S = 0.5
STEADY_S = 12.0  # what was before has ceased to count for the clients' waits
DOWN_S = 0.5  # from the kill to the start
GOAL_S = 20.0
PATIENCE_S = 180.0


@dataclass
class Told:
    """What one crowd has to say at the end."""

    back: list[float] = field(default_factory=list)  # when each lost client was connected again
    lost: int = 0  # connections that ended
    away: int = 0  # clients that are not connected
    behind: int = 0  # clients that have not heard the last number
    gaps: int = 0
    twice: int = 0
    resets: int = 0


class Subscriber:
    """One client, which watches the counter."""

    def __init__(self, urls: list[str]) -> None:
        self.cache = tlru.connect(*urls, on_link=self._on_link, timeout=PATIENCE_S)
        self.back: list[float] = []
        self.lost = 0
        self.linked = False
        self.last: int | None = None
        self.gaps = self.twice = self.resets = 0
        self.watching: asyncio.Task[None] | None = None

    def _on_link(self, server: str | None, why: str) -> None:
        if server is None:
            self.lost += 1
        elif self.lost:
            self.back.append(time.monotonic())
        self.linked = server is not None

    async def watch(self) -> None:
        """Check what comes, for as long as anything does."""
        async for change in self.cache.watch("count"):
            if isinstance(change, tlru.Reset):
                self.resets += 1
            elif isinstance(change, tlru.Set):
                self._hear(int(change.value))

    def _hear(self, number: int) -> None:
        if self.last is not None:
            self.gaps += number > self.last + 1
            self.twice += number <= self.last
        self.last = number


async def crowd(urls: list[str], count: int) -> None:
    """Be so many clients. Each line that comes in is a number to wait for, and answered."""
    subscribers = [Subscriber(urls) for _ in range(count)]
    for first in range(0, count, COMING_AT_ONCE):
        part = subscribers[first : first + COMING_AT_ONCE]
        for each in part:
            each.watching = asyncio.create_task(each.watch())
        await until(partial(_are_well, part, 1), PATIENCE_S)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        number, patience = int(line.split()[0]), float(line.split()[1])
        with contextlib.suppress(TimeoutError):
            await until(partial(_are_well, subscribers, number), patience)
        print(json.dumps(_told(subscribers, number).__dict__), flush=True)
    for each in subscribers:
        if each.watching is not None:
            each.watching.cancel()


def _are_well(subscribers: list[Subscriber], number: int) -> bool:
    return all(each.linked and (each.last or 0) >= number for each in subscribers)


def _told(subscribers: list[Subscriber], number: int) -> Told:
    return Told(
        back=[each.back[-1] for each in subscribers if each.back],
        lost=sum(each.lost for each in subscribers),
        away=sum(not each.linked for each in subscribers),
        behind=sum(each.last is None or each.last < number for each in subscribers),
        gaps=sum(each.gaps for each in subscribers),
        twice=sum(each.twice for each in subscribers),
        resets=sum(each.resets for each in subscribers),
    )


# -- those who lead it


class Crowd:
    """Clients in a process of their own."""

    def __init__(self, urls: list[str], count: int) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.storm", "--urls", *urls]
        command += ["--clients", str(count)]
        self.count = count
        # Clients have machines of their own; here they must not take the nodes' time.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=partial(os.nice, 10),
        )

    async def heard(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        line: str = await asyncio.to_thread(self.process.stdout.readline)
        if not line:
            raise RuntimeError("a crowd has ended before its time")
        return line

    async def tell_of(self, number: int, patience_s: float) -> Told:
        """How it stands once all have heard a number, or at the end of the patience."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number} {patience_s}\n")
        self.process.stdin.flush()
        return Told(**json.loads(await self.heard()))

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


class Writer:
    """Counts, through whatever happens; each number is written once."""

    def __init__(self, cache: tlru.Cache[Any]) -> None:
        self._cache = cache
        self.number = 0
        self.failed = 0

    def is_beyond(self, number: int) -> bool:
        """Whether it has counted on."""
        return self.number > number

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            await self._write(self.number + 1)
            self.number += 1
            await asyncio.sleep(WRITE_EVERY_S)

    async def _write(self, number: int) -> None:
        while True:
            try:
                # A repeat of one that was done after all is not applied.
                await self._cache.set("count", number, rev=number)
                return
            except tlru.TlruError:
                self.failed += 1
                await asyncio.sleep(0.2)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """A node."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def a_cluster(folder: str) -> Iterator[tuple[list[list[str]], list[int], list[Any]]]:
    """Commands, ports and processes, which the caller may replace."""
    commands, ports = tlru_commands(folder)
    for at, command in enumerate(commands):
        command += ["--data-dir", f"{folder}/data{at}"]
    nodes = [start(command) for command in commands]
    try:
        yield commands, ports, nodes
    finally:
        for node in nodes:
            node.kill()
            node.wait()


@dataclass(frozen=True)
class Found:
    """One storm."""

    clients: int
    killed: float
    serving: float  # when the nodes that were killed served again
    told: list[Told]
    numbers: int
    taken: int  # connections that the nodes have taken since


async def storm(clients: int, crowds: int, kill: str) -> Found:
    """Make one."""
    with tempfile.TemporaryDirectory() as folder, a_cluster(folder) as (commands, ports, nodes):
        for port in ports:
            await until_active(port)
        urls = [f"ws://127.0.0.1:{port}/ws" for port in ports]
        async with tlru.connect(*urls, timeout=PATIENCE_S) as cache:
            writer = Writer(cache)
            writing = asyncio.create_task(writer.run())
            made = [Crowd(urls, clients // crowds) for _ in range(crowds)]
            try:
                for each in made:
                    await each.heard()
                print(f"{clients:,} clients watch", flush=True)
                await asyncio.sleep(STEADY_S)
                places = range(NODES) if kill == "all" else [0]
                killed = time.monotonic()
                for at in places:
                    nodes[at].send_signal(signal.SIGKILL)
                for at in places:
                    nodes[at].wait()
                await asyncio.sleep(DOWN_S)
                for at in places:
                    nodes[at] = start(commands[at])
                for at in places:
                    await until_active(ports[at])
                serving = time.monotonic()
                await until(partial(writer.is_beyond, writer.number), PATIENCE_S)
                number = writer.number
                told = await asyncio.gather(*(each.tell_of(number, 60.0) for each in made))
                last = writer.number
                told = await asyncio.gather(*(each.tell_of(last, 30.0) for each in made))
                taken = sum([await asyncio.to_thread(_taken, port) for port in ports])
            finally:
                writing.cancel()
                for each in made:
                    each.stop()
    return Found(clients, killed, serving, list(told), last, taken)


def _taken(port: int) -> int:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    wanted = 'tlru_connections_opened_total{protocol="websocket"} '
    return sum(int(float(line.removeprefix(wanted))) for line in lines if line.startswith(wanted))


def show(found: Found) -> bool:
    """Print it; whether the goal is met."""
    back = sorted(moment for told in found.told for moment in told.back)
    sums = {
        name: sum(getattr(told, name) for told in found.told)
        for name in ("lost", "away", "behind", "gaps", "twice", "resets")
    }
    print(f"connections lost: {sums['lost']:,} of {found.clients:,}")
    print(f"the nodes that were killed served again after {found.serving - found.killed:.1f} s")
    for label, share in (("half", 0.5), ("99 %", 0.99), ("all", 1.0)):
        at = back[min(len(back) - 1, int(share * len(back)))] if back else float("nan")
        after, since = at - found.killed, at - found.serving
        print(f"{label} of {len(back):,} were back {after:.1f} s after the kill ({since:+.1f} s)")
    print(f"the nodes have taken {found.taken:,} connections for that")
    print(f"numbers written: {found.numbers}; not connected at the end: {sums['away']}")
    print(f"without the last number: {sums['behind']}; gaps: {sums['gaps']}; told twice: ", end="")
    print(f"{sums['twice']}; resets: {sums['resets']}")
    wrong = sums["away"] + sums["behind"] + sums["gaps"] + sums["twice"] + sums["resets"]
    met = bool(back) and back[-1] - found.killed <= GOAL_S and not wrong
    word = "met" if met else "NOT met"
    print(f"the goal (all back {GOAL_S:.0f} s after the kill, none lost, no gap) is {word}")
    return met


def main() -> int:
    """Make a storm and print what came of it; or be a crowd."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--crowds", type=int, default=CROWDS, help="processes that they are in")
    parser.add_argument("--kill", choices=("all", "one"), default="all")
    parser.add_argument("--urls", nargs="+", help="be a crowd of clients of these servers")
    args = parser.parse_args()
    if args.urls:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(crowd(args.urls, args.clients))
        return 0
    return 0 if show(asyncio.run(storm(args.clients, args.crowds, args.kill))) else 1


if __name__ == "__main__":
    sys.exit(main())
