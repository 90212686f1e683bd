"""What a node's disk does in a second; by hand: `python -m tests.benchmarks.disk_speed`.

Batches are appended as a node does it, as many as are not yet kept at a time; the size and the
number in flight say which load that is. A start reads a log that was written before. Where a disk
is shared, or its writes are cached, the figures say more of that than of this program.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from peers.core.entry import NO_EPOCH, Batch, Dot, Entry, Epoch, Origin
from peers.core.membership import Member, Membership
from peers.core.output import Entrance, Promise
from peers.disk.disk import Disk
from peers.disk.store import Found, Fsync, Store
from peers.wire import pack_batch

ME = Origin("node-a", "0123456789abcdef")
MEMBERS = Membership((Member(ME.id, ME.birth),))
BLANK = Promise(NO_EPOCH, ME.birth, 1, 0, None)
PROMISE = Promise(Epoch(1, "one"), ME.birth, 1, 1, ME)
AT_MS = 1_700_000_000_000


def make_batches(count: int, entries: int, size: int) -> list[Batch]:
    """Batches that follow each other."""
    batches, value = [], b"x" * size
    for first in range(1, count * entries + 1, entries):
        rows = [
            Entry(n, 1, AT_MS + n // 64, Dot(ME, 1, n), None, value)
            for n in range(first, first + entries)
        ]
        batches.append(pack_batch(rows, ((ME, 1, first - 1),) if first > 1 else ()))
    return batches


class Run:
    """A node's disk, and how far its log is kept."""

    def __init__(self, where: Path, fsync: Fsync) -> None:
        self.kept = 0
        self.news = asyncio.Event()
        self.disk = Disk(where / "state", where / "data", stored=self.note, fsync=fsync)

    def note(self, term: int, index: int) -> None:
        self.kept = index
        self.news.set()

    async def start(self) -> None:
        found = await self.disk.open()
        if found.promise is None:
            self.disk.write_promise(BLANK)
            await self.disk.enter(Entrance(PROMISE, MEMBERS, True, 0))

    async def append(self, batches: list[Batch], in_flight: int) -> float:
        """Seconds until all are kept."""
        began = time.perf_counter()
        flying = 0
        for number, batch in enumerate(batches):
            self.disk.append((batch,))
            flying = number + 1
            while flying - self.kept // len(batch.entries) >= in_flight:
                self.news.clear()
                await self.news.wait()
        while self.kept < batches[-1].last.index:
            self.news.clear()
            await self.news.wait()
        return time.perf_counter() - began


async def appends(seconds: float) -> None:
    """Print a table of what is appended."""
    print(f"{'appended':34} {'fsync':9} {'batches/s':>11} {'MB/s':>8}")
    for entries, size, in_flight in ((1, 100, 1), (1, 100, 64), (64, 100, 64), (64, 1_000, 64)):
        for fsync in Fsync:
            count = 200
            while True:
                with tempfile.TemporaryDirectory(dir=".") as directory:
                    run = Run(Path(directory), fsync)
                    await run.start()
                    batches = make_batches(count, entries, size)
                    took = await run.append(batches, in_flight)
                    await run.disk.close()
                if took > seconds or count > 200_000:
                    break
                count = max(count * 2, int(count * min(20.0, 1.2 * seconds / took)))
            total = sum(len(batch.packed) for batch in batches)
            what = f"{entries} x {size} bytes, {in_flight} in flight"
            print(f"{what:34} {fsync:9} {count / took:11,.0f} {total / took / 1e6:8.1f}")


def promises(count: int) -> None:
    """Print what a promise takes."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        store = Store(Path(directory) / "state", None)
        store.open()
        took = []
        for term in range(count):
            began = time.perf_counter()
            store.write_promise(replace(BLANK, term=term))
            took.append(time.perf_counter() - began)
        store.close(clean=True)
    took.sort()
    middle, slow = took[count // 2], took[count * 9 // 10]
    print(f"\na promise: {middle * 1e3:.2f} ms in the middle, {slow * 1e3:.2f} ms one in ten")


async def starts(mib: int, million: float, profile: str | None) -> None:
    """Print what a start takes."""
    print(f"\n{'a start finds':44} {'s':>7} {'MB/s':>8} {'entries/s':>11}")
    loads = (
        (f"{mib} MiB, 64 entries of 1,000 bytes each", 64, 1_000, mib * 1024 * 1024 // 64_600),
        (f"{million:g} million entries of 100 bytes, 64 each", 64, 100, int(million * 1e6) // 64),
        (f"{million:g} million entries of 100 bytes, 1 each", 1, 100, int(million * 1e6)),
    )
    for name, entries, size, count in loads:
        with tempfile.TemporaryDirectory(dir=".") as directory:
            run = Run(Path(directory), Fsync.NEVER)
            await run.start()
            batches = make_batches(count, entries, size)
            total = sum(len(batch.packed) for batch in batches)
            await run.append(batches, 1_000)
            await run.disk.close()
            del batches
            store = Store(Path(directory) / "state", Path(directory) / "data")
            found, took = timed(store.open, profile)
            assert found.log.last.index == entries * count
            store.close(clean=True)
        print(f"{name:44} {took:7.2f} {total / took / 1e6:8.1f} {entries * count / took:11,.0f}")


def timed(what: Callable[[], Found], profile: str | None) -> tuple[Found, float]:
    """What it gives, and the seconds that it takes."""
    profiler = cProfile.Profile() if profile else None
    began = time.perf_counter()
    found = profiler.runcall(what) if profiler else what()
    took = time.perf_counter() - began
    if profiler:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(12)
    return found, took


def main() -> None:
    """Print the figures, of a disk under the present directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each line of appends")
    parser.add_argument("--promises", type=int, default=300)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--million", type=float, default=1.0)
    parser.add_argument("--profile", help="say what the starts spend their time with")
    args = parser.parse_args()
    asyncio.run(appends(args.seconds))
    promises(args.promises)
    asyncio.run(starts(args.mib, args.million, args.profile))


if __name__ == "__main__":
    main()
