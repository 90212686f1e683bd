"""Changes to many subscribers: a node, real Redis and real NATS, in turn on the same cores.

    python -m tests.benchmarks.fan_out [--subscribers 500] [--seconds 1] [--rounds 5] [--idle 10000]

The server runs on one core. On the other, this process publishes bursts of 1, 10 and 100 messages
of 128 bytes and reads the sockets of all subscribers; the next burst leaves when the last has come
to everybody. On a node a message is a key that is written: it is logged, applied, encoded and
delivered. A delivery is one message at one subscriber. The order of the systems is turned from
round to round, and the ratios are of one round, with the better of the two others. A server in C
that does nothing but send shows what the kernel leaves to anybody.

Then one node holds many idle subscribers: what each of them takes of its memory, and that a change
still comes to all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.benchmarks.crowd import Crowd, System, systems
from tests.benchmarks.processes import (
    cpu_s,
    resident_bytes,
    running,
    until_reachable,
)
from tests.ports import free_ports

SERVER_CORE, CLIENT_CORE = 0, 1
GOALS = {1: 1.5, 10: 2.0, 100: 3.0}  # times the better of the others, by burst
IDLE_GOAL_BYTES = 20_000


@dataclass
class Found:
    """What one system did with bursts of one size, round by round."""

    rates: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    core_ns: list[float] = field(default_factory=list)  # of the server's core, for a delivery


@contextlib.contextmanager
def served(system: System) -> Iterator[tuple[dict[str, int], int]]:
    """The server, its ports and its process."""
    ports = dict(zip(("port", "other"), free_ports(2), strict=True))
    with running(system.command(ports), core=SERVER_CORE) as process:
        for name in {"port", system.subscribers_come}:
            asyncio.run(until_reachable(ports[name]))
        yield ports, process.pid


def measure(system: System, subscribers: int, seconds: float, found: dict[int, Found]) -> None:
    """One round of one system: each size of burst for so long."""
    with served(system) as (ports, pid):
        crowd = Crowd(system, ports, subscribers)
        try:
            for burst, row in found.items():
                data = system.publish(burst)
                crowd.burst(data, burst)  # does not count
                took: list[float] = []
                busy, began = cpu_s(pid), time.perf_counter()
                while (elapsed := time.perf_counter() - began) < seconds:
                    took += crowd.burst(data, burst)
                took.sort()
                row.rates.append(len(took) / elapsed)
                row.p99_ms.append(took[len(took) * 99 // 100] * 1e3)
                row.core_ns.append((cpu_s(pid) - busy) / len(took) * 1e9)
        finally:
            crowd.close()


def tell(known: list[System], found: dict[str, dict[int, Found]], subscribers: int) -> None:
    """A table for each size of burst."""
    rivals = [system.name for system in known if system.rival]
    for burst, goal in GOALS.items():
        print(f"\n{subscribers} subscribers, bursts of {burst}")
        rows = {name: of[burst] for name, of in found.items()}
        best = list(map(max, *(rows[name].rates for name in rivals)))
        for system in known:
            row = rows[system.name]
            line = (
                f"  {system.name:20} {statistics.median(row.rates):12,.0f} deliveries/s   "
                f"p99 {statistics.median(row.p99_ms):7.2f} ms   "
                f"{statistics.median(row.core_ns):6.0f} ns of the server's core each"
            )
            if not system.rival:
                ratio = statistics.median(a / b for a, b in zip(row.rates, best, strict=True))
                line += f"   {ratio:.2f} times the better of the others"
                if system.ours:
                    line += f": goal {goal:g} {'reached' if ratio >= goal else 'MISSED'}"
            print(line, flush=True)


def hold_idle(system: System, subscribers: int) -> None:
    """One node, and very many who only listen."""
    with served(system) as (ports, pid):
        few = Crowd(system, ports, 100)  # what is made once is not counted for each
        before = resident_bytes(pid)
        crowd = Crowd(system, ports, subscribers)
        try:
            each = (resident_bytes(pid) - before) / subscribers
            took = max(crowd.burst(system.publish(1), 1))
        finally:
            crowd.close()
            few.close()
    met = "reached" if each < IDLE_GOAL_BYTES else "MISSED"
    print(
        f"  {system.name:20} {subscribers:,} idle subscribers: {each:,.0f} bytes each "
        f"(goal {IDLE_GOAL_BYTES:,} {met}); a change came to the last of them after "
        f"{took * 1e3:.0f} ms",
        flush=True,
    )


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--subscribers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each burst's size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=int, default=10_000, help="idle subscribers; 0: not tried")
    args = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    known = systems()
    found = {system.name: {burst: Found() for burst in GOALS} for system in known}
    for turn in range(args.rounds):
        for n in range(len(known)):
            system = known[(n + turn) % len(known)]
            measure(system, args.subscribers, args.seconds, found[system.name])
        print(f"round {turn + 1} of {args.rounds}", flush=True)
    tell(known, found, args.subscribers)
    if args.idle:
        print()
        for system in known:
            if system.ours:
                hold_idle(system, args.idle)


if __name__ == "__main__":
    main()
