"""What the machine's records take in memory. By hand: `python -m tests.benchmarks.memory`.

Each kind is made in a process of its own, by entries that come as bytes, as from the log; what the
process has grown by is divided by the number of records, and what the bounds count as the content
of one (its key, its value) is taken off. The rest is what the constants in the engine stand for.
"""

from __future__ import annotations

import argparse
import gc
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from peers.core.entry import Dot, Entry, Origin
from tlru.engine.items import EXPIRY_OVERHEAD_BYTES, ITEM_OVERHEAD_BYTES
from tlru.engine.locks import LOCK_OVERHEAD_BYTES, WAITER_OVERHEAD_BYTES
from tlru.engine.machine import Machine
from tlru.engine.once import RECORD_OVERHEAD_BYTES, SESSION_OVERHEAD_BYTES
from tlru.engine.operations import Clear, Delete, Lock, Once, Operation, Publish, Set, Touch, encode
from tlru.engine.tombstones import STONE_OVERHEAD_BYTES

ORIGIN = Origin("a", "birth-a")
START_MS = 1_700_000_000_000
KEY = "key:{:08}"
VALUE = 64
BATCH = 64

Named = tuple[Operation, Once | None]


def items(count: int) -> Iterator[Named]:
    dice = random.Random(1)
    for i in range(count):
        yield Set(KEY.format(i), dice.randbytes(VALUE)), None


def items_that_end_together(count: int) -> Iterator[Named]:
    dice = random.Random(1)
    for i in range(count):
        yield Set(KEY.format(i), dice.randbytes(VALUE), 60_000), None


def items_that_end_at_any_time(count: int) -> Iterator[Named]:
    dice = random.Random(1)
    for i in range(count):
        yield Set(KEY.format(i), dice.randbytes(VALUE), dice.randrange(10**7)), None


def items_written_three_times(count: int) -> Iterator[Named]:
    dice = random.Random(1)
    for i in range(3 * count):
        key = KEY.format(i % count if i < count else dice.randrange(count))
        yield Set(key, dice.randbytes(VALUE), dice.randrange(10**7)), None


def items_touched(count: int) -> Iterator[Named]:
    yield from items(count)
    yield from ((Touch(KEY.format(i), 60_000 + i), None) for i in range(count))


def items_after_a_clear(count: int) -> Iterator[Named]:
    yield from items_that_end_at_any_time(count)
    yield Clear(), None
    yield from items_that_end_at_any_time(count)


def tombstones(count: int) -> Iterator[Named]:
    return ((Delete((KEY.format(i),)), None) for i in range(count))


def revisions(count: int) -> Iterator[Named]:
    return ((Delete((KEY.format(i),), None, 10**6 + i), None) for i in range(count))


def results(count: int) -> Iterator[Named]:
    return ((Publish("c", b""), Once("s", 10**6 + i, START_MS)) for i in range(count))


def sessions(count: int) -> Iterator[Named]:
    """Each with a result, so that it has a list of them."""
    return ((Publish("c", b""), Once(KEY.format(i), 1, START_MS)) for i in range(count))


def locks(count: int) -> Iterator[Named]:
    return ((Lock(KEY.format(i), 10**6), None) for i in range(count))


def waiters(count: int) -> Iterator[Named]:
    yield Lock(KEY.format(0), 10**6), None
    for i in range(1, count):
        if i % 4_000 == 0:  # so many may wait for one lock
            yield Lock(KEY.format(i), 10**6), None
        else:
            yield Lock(KEY.format(i // 4_000 * 4_000), 10**6, 10**6 + i), Once("s", i, START_MS)


LEN_KEY = len(KEY.format(0))
ITEM = (LEN_KEY + VALUE, ITEM_OVERHEAD_BYTES)
EXPIRING = (LEN_KEY + VALUE, ITEM_OVERHEAD_BYTES + EXPIRY_OVERHEAD_BYTES)
# What makes them; what the bounds count of each as its content, and as overhead.
KINDS: dict[Callable[[int], Iterator[Named]], tuple[int, int]] = {
    items: ITEM,
    items_that_end_together: EXPIRING,
    items_that_end_at_any_time: EXPIRING,
    items_written_three_times: EXPIRING,
    items_touched: EXPIRING,
    items_after_a_clear: EXPIRING,
    tombstones: (LEN_KEY, STONE_OVERHEAD_BYTES),
    revisions: (LEN_KEY, STONE_OVERHEAD_BYTES),
    results: (14, RECORD_OVERHEAD_BYTES),
    sessions: (LEN_KEY + 14, RECORD_OVERHEAD_BYTES + SESSION_OVERHEAD_BYTES),
    locks: (LEN_KEY, LOCK_OVERHEAD_BYTES),
    waiters: (0, WAITER_OVERHEAD_BYTES),
}


def resident() -> int:
    """The bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096


def measure(kind: str, count: int) -> float:
    """Bytes that this process grows by for each record, beside the record's content."""
    make, (content, _) = next((m, c) for m, c in KINDS.items() if m.__name__ == kind)
    machine = Machine()
    machine.settings["max_bytes"] = None
    gc.collect()
    before = resident()
    batch: list[Entry] = []
    for index, (operation, once) in enumerate(make(count), 1):
        data = encode(operation, once)
        at = START_MS + index // 256
        batch.append(Entry(index, 1, at, Dot(ORIGIN, 1, index), None, data))
        if len(batch) == BATCH:
            machine.apply(batch)
            batch = []
    machine.apply(batch)
    batch = []
    gc.collect()
    return (resident() - before) / count - content


def main() -> None:
    """Print a line for each kind, or the figure of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--kind", choices=[make.__name__ for make in KINDS])
    arguments = parser.parse_args()
    if arguments.kind is not None:
        print(measure(arguments.kind, arguments.count))
        return
    print(f"{'bytes for each of':28} {'measured':>9} {'counted':>9}")
    for make, (_, counted) in KINDS.items():
        command = [sys.executable, "-m", "tests.benchmarks.memory", "--kind", make.__name__]
        # Tables of half a bound: beyond it the oldest go, and nothing would be measured.
        count = arguments.count if "items" in make.__name__ else min(arguments.count, 40_000)
        done = subprocess.run(
            [*command, "--count", str(count)], capture_output=True, text=True, check=True
        )
        print(f"{make.__name__.replace('_', ' '):28} {float(done.stdout):9.0f} {counted:9}")


if __name__ == "__main__":
    main()
