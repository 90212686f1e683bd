"""Reads of near copies and mirrors, and changes that a watcher takes, a second; by hand:
`python -m tests.benchmarks.watching`.

A node in a process of its own, a client in this one. The best of a few rounds, since whatever else
the processor does can only make a round slower. Changes come as fast as the node tells them of what
it has retained, so the slower of the two sides shows; the client's own processor time is told too.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import tlru
from tests.benchmarks.processes import free_port, running, until_reachable

KEYS = 1000
BATCH = 1000


async def main() -> None:
    """Print a line for each figure."""
    args = arguments()
    port = free_port()
    serve = (sys.executable, "-m", "tlru", "serve", "--listen", f"127.0.0.1:{port}")
    with running(serve):
        await until_reachable(port)
        url = f"ws://127.0.0.1:{port}"
        async with tlru.connect(url, timeout=60) as cache:
            await cache.set_many({f"k{number}": "x" * 100 for number in range(KEYS)})
            await reads(cache, args.reads, args.rounds)
            await changes(cache, args.events, args.rounds)
        await asyncio.to_thread(blocking_reads, url, args.reads, args.rounds)


async def reads(cache: tlru.Cache[Any], count: int, rounds: int) -> None:
    """Hits of both kinds of copies, and a dict's for comparison."""
    async with cache.near() as near, await cache.mirror() as mirror:
        keys = [f"k{number}" for number in range(KEYS)] * (count // KEYS)
        for key in keys[:KEYS]:
            await near.get(key)
        plain = mirror.copy()

        async def of_near() -> None:
            for key in keys:
                await near.get(key)

        async def peeked() -> None:
            for key in keys:
                near.peek(key)

        async def of_mirror() -> None:
            for key in keys:
                mirror[key]

        async def of_dict() -> None:
            for key in keys:
                plain[key]

        await told("await near.get(key), hit", of_near, len(keys), rounds)
        await told("near.peek(key), hit", peeked, len(keys), rounds)
        await told("mirror[key]", of_mirror, len(keys), rounds)
        await told("a dict's [key]", of_dict, len(keys), rounds)


def blocking_reads(url: str, count: int, rounds: int) -> None:
    """The same without an event loop."""
    with tlru.sync.connect(url) as cache, cache.near() as near, cache.mirror() as mirror:
        keys = [f"k{number}" for number in range(KEYS)] * (count // KEYS)
        while not near.coherent:
            time.sleep(0.01)
        for key in keys[:KEYS]:
            near.get(key)

        def of_near() -> None:
            for key in keys:
                near.get(key)

        def of_mirror() -> None:
            for key in keys:
                mirror[key]

        for name, read in (("sync: near.get(key), hit", of_near), ("sync: mirror[key]", of_mirror)):
            best = min(timed(read) for _ in range(rounds))
            print(f"{name:<42} {len(keys) / best:>12,.0f} a second")


def timed(act: Callable[[], None]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


async def told(name: str, act: Callable[[], Awaitable[None]], count: int, rounds: int) -> None:
    """Print how many a second, at best."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        await act()
        best = min(best, time.perf_counter() - began)
    print(f"{name:<42} {count / best:>12,.0f} a second")


async def changes(cache: tlru.Cache[Any], count: int, rounds: int) -> None:
    """What a watcher takes of changes that have happened, one by one and in batches."""
    async with cache.watch() as watch:
        start = watch.position
    for number in range(0, count, BATCH):
        await cache.set_many({f"k{key}": f"{number}".zfill(100) for key in range(BATCH)})

    async def one_by_one(watch: tlru.Watch[Any]) -> int:
        taken = 0
        async for _ in watch:
            taken += 1
            if taken == count:
                break
        return taken

    async def in_batches(watch: tlru.Watch[Any]) -> int:
        taken = 0
        async for batch in watch.batches():
            taken += len(batch)
            if taken >= count:
                break
        return taken

    for name, take in (("async for change in watch", one_by_one), ("watch.batches()", in_batches)):
        best, processor = float("inf"), float("inf")
        for _ in range(rounds):
            began, busy = time.perf_counter(), time.process_time()
            watch = cache.watch(since=start)
            taken = await take(watch)
            await watch.aclose()
            best = min(best, time.perf_counter() - began)
            processor = min(processor, time.process_time() - busy)
            assert taken == count, f"{taken} of {count} changes came"
        each = processor / count * 1e6
        print(f"{name:<42} {count / best:>12,.0f} a second, {each:.1f} us of the client's each")


def arguments() -> argparse.Namespace:
    """How much to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=300_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
