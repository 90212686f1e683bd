"""What clients notice of a backup: three nodes, and snapshots of 100,000 keys one after another.

    python -m tests.benchmarks.backups [--keys 100000] [--seconds 10]

Clients of all three nodes read and write; then they go on while backups of the leader are
taken over and over, which is far more than anybody does. Printed are the latencies before
and meanwhile. With --slow the backups are read at so many KiB a second, as over a bad line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time

import aiohttp
import uvloop

import tlru
from tests.benchmarks.clusters import tlru_commands, until_active
from tests.benchmarks.joining import Cache, Noticing, fill
from tests.benchmarks.processes import resident_bytes, running
from tlru.backups.form import Reading
from tlru.node.seats import LEVEL

FACTOR_MAX, FLOOR_MS = 2.0, 5.0  # the p99 may double, or be so little that nobody minds
PIECE_BYTES = 64 << 10


async def taken(port: int, slow_kib_s: float | None) -> tuple[int, int]:
    """A backup, which is verified as it comes: items, and bytes."""
    reading, size = Reading("the backup", LEVEL), 0
    url = f"http://127.0.0.1:{port}/v1/snapshot"
    async with aiohttp.ClientSession() as web, web.get(url) as answer:
        assert answer.status == 200, await answer.text()
        async for piece in answer.content.iter_chunked(PIECE_BYTES):
            size += len(piece)
            for _ in reading.take(piece):
                pass
            if slow_kib_s is not None:
                await asyncio.sleep(len(piece) / 1024 / slow_kib_s)
    reading.finish()
    return reading.head.items, size


async def over_and_over(port: int, seconds: float, slow_kib_s: float | None) -> None:
    """Take backups one after another, and tell of them."""
    began = time.perf_counter()
    took: list[float] = []
    items = size = 0
    while time.perf_counter() - began < seconds or not took:
        start = time.perf_counter()
        items, size = await taken(port, slow_kib_s)
        took.append(time.perf_counter() - start)
    took.sort()
    print(
        f"{len(took)} backups of {items:,} items, {size / 2**20:.1f} MiB each, "
        f"in {took[len(took) // 2]:.2f} s (half of them), {took[-1]:.2f} s (the slowest)",
        flush=True,
    )


async def measure(keys: int, seconds: float, slow_kib_s: float | None) -> bool:
    """Fill, take backups, and tell; whether the others were not harmed."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        commands, ports = tlru_commands(folder)
        nodes = [stack.enter_context(running(command)) for command in commands]
        for port in ports:
            await until_active(port)
        caches: list[Cache] = [
            await stack.enter_async_context(tlru.connect(f"ws://127.0.0.1:{port}", timeout=30))
            for port in ports
        ]
        await fill(caches[0], keys)
        noticing = Noticing(caches, keys)
        await asyncio.sleep(seconds)
        quiet = noticing.told("before")
        held = resident_bytes(nodes[0].pid)
        await over_and_over(ports[0], seconds, slow_kib_s)
        more = resident_bytes(nodes[0].pid) - held
        meanwhile = noticing.told("meanwhile")
        await noticing.end()
    allowed = max(FLOOR_MS, FACTOR_MAX * quiet)
    kept = meanwhile <= allowed
    print(
        f"p99 meanwhile {meanwhile:.2f} ms, before {quiet:.2f} ms, allowed {allowed:.2f} ms: "
        f"{'kept' if kept else 'MISSED'}; the node's memory grew by {more / 2**20:.1f} MiB"
    )
    return kept


def main() -> int:
    """Parse the flags and measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.backups")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--slow", type=float, help="KiB a second that the backups are read at")
    args = parser.parse_args()
    return 0 if uvloop.run(measure(args.keys, args.seconds, args.slow)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
