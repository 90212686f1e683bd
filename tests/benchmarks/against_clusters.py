"""Writes that a majority holds: tlru against NATS JetStream KV and etcd, three nodes each.

    python -m tests.benchmarks.against_clusters [--seconds 1.5] [--rounds 7]

All servers run for the whole time, on this machine, and rounds alternate, so that whatever else the
machine does meets all alike; a figure is the median of the ratios of neighbouring rounds. Each has
its own Python client in this process (uvloop), which talks to the node that leads. What is missing
is installed if we are root. What share of the time goes where is told by what each process kept a
core busy.

Beside them runs what checks, keeps and recovers nothing (`bare_cluster.py`): the bound of what
Python can do here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from dataclasses import dataclass, field

import uvloop

from tests.benchmarks.clusters import (
    BARE,
    Cluster,
    bare_cluster,
    etcd_cluster,
    nats_cluster,
    tlru_cluster,
)
from tests.benchmarks.processes import cpu_s

CALLERS = 256
GOALS = {"NATS JetStream KV": 2.5, "etcd": 12.0}


@dataclass
class Round:
    """What one round came to."""

    rate: float
    p50_ms: float
    p99_ms: float
    busy: dict[str, float] = field(default_factory=dict)  # microseconds of a core for a write


async def measured(cluster: Cluster, callers: int, seconds: float) -> Round:
    """So many callers, each one write after another."""
    pids = {"client": os.getpid(), **cluster.pids}
    took: list[float] = []
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    began = time.perf_counter()
    end = began + seconds

    async def caller() -> None:
        while (asked := time.perf_counter()) < end:
            await cluster.put(len(took))
            took.append(time.perf_counter() - asked)

    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed = time.perf_counter() - began
    busy = {name: (cpu_s(pid) - before[name]) / len(took) * 1e6 for name, pid in pids.items()}
    took.sort()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return Round(len(took) / elapsed, p50 * 1e3, p99 * 1e3, busy)


async def rounds_of(
    clusters: list[Cluster], callers: int, seconds: float, rounds: int
) -> dict[str, list[Round]]:
    """Alternating rounds of all of them, after one that does not count."""
    found: dict[str, list[Round]] = {cluster.name: [] for cluster in clusters}
    for number in range(rounds + 1):
        for cluster in clusters:
            one = await measured(cluster, callers, seconds if number else seconds / 3)
            if number:
                found[cluster.name].append(one)
    return found


def tell_rates(found: dict[str, list[Round]]) -> None:
    """The table of many callers."""
    ours = found["tlru"]
    print(f"\n{CALLERS} callers, each one write after another")
    for name, theirs in found.items():
        rate = statistics.median(one.rate for one in theirs)
        p99 = statistics.median(one.p99_ms for one in theirs)
        line = f"  {name:26} {rate:>9,.0f}/s   p99 {p99:7.2f} ms"
        if name != "tlru":
            ratios = [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
            line += f"   tlru is {statistics.median(ratios):5.2f} times as fast"
            line += f" ({min(ratios):.2f} to {max(ratios):.2f})"
            line += verdict(statistics.median(ratios), GOALS.get(name))
        print(line, flush=True)
    tell_bound(found, [one.rate for one in found.get(BARE, ())])


def tell_bound(found: dict[str, list[Round]], bare: list[float]) -> None:
    """What the goals ask of the least that a cluster in Python can do."""
    for name, goal in GOALS.items():
        if bare and name in found:
            ratios = [a / b.rate for a, b in zip(bare, found[name], strict=True)]
            line = f"  the bare one is {statistics.median(ratios):5.2f} times as fast as {name}"
            print(f"{line} ({min(ratios):.2f} to {max(ratios):.2f}; goal {goal:g})", flush=True)


def verdict(ratio: float, goal: float | None) -> str:
    """Whether that is what was wanted."""
    if goal is None:
        return ""
    return f"  goal {goal:g} {'reached' if ratio >= goal else 'MISSED'}"


def tell_lone(found: dict[str, list[Round]]) -> None:
    """The table of a lone caller."""
    ours = found["tlru"]
    print("\none caller, one write after another")
    for name, theirs in found.items():
        p50 = statistics.median(one.p50_ms for one in theirs)
        line = f"  {name:26} p50 {p50:7.3f} ms"
        if name != "tlru":
            ratios = [b.p50_ms / a.p50_ms for a, b in zip(ours, theirs, strict=True)]
            line += f"   {statistics.median(ratios):5.2f} times tlru's"
            line += f" ({min(ratios):.2f} to {max(ratios):.2f})"
            line += verdict(statistics.median(ratios), 1.0 if name == "NATS JetStream KV" else None)
        print(line, flush=True)


def tell_shares(found: dict[str, list[Round]], callers: int) -> None:
    """Where the time goes."""
    print(f"\nmicroseconds of a core for one write, {callers} at a time, and their shares")
    for name, rounds in found.items():
        parts = {
            part: statistics.median(one.busy[part] for one in rounds) for part in rounds[0].busy
        }
        whole = sum(parts.values())
        told = "   ".join(f"{part} {us:6.1f} ({us / whole:3.0%})" for part, us in parts.items())
        print(f"  {name:26} {whole:7.1f}   {told}", flush=True)


async def compare(seconds: float, rounds: int, *, rivals: bool) -> None:
    """Run all, and print the tables."""
    async with contextlib.AsyncExitStack() as stack:
        clusters = await stack.enter_async_context(tlru_cluster())
        if rivals:
            clusters.append(await stack.enter_async_context(nats_cluster()))
            clusters.append(await stack.enter_async_context(etcd_cluster()))
            clusters.append(await stack.enter_async_context(bare_cluster()))
        many = await rounds_of(clusters, CALLERS, seconds, rounds)
        tell_rates(many)
        lone = await rounds_of(clusters, 1, seconds, rounds)
        tell_lone(lone)
        tell_shares(many, CALLERS)
        tell_shares(lone, 1)


def main() -> None:
    """Parse the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="of each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--alone", action="store_true", help="measure tlru and nobody else")
    args = parser.parse_args()
    uvloop.run(compare(args.seconds, args.rounds, rivals=not args.alone))


if __name__ == "__main__":
    main()
