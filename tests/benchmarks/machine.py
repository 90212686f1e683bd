"""Microseconds for each kind of entry, and a read; by hand: `python -m tests.benchmarks.machine`.

The best of a few rounds, each with a machine of its own, since whatever else the processor does can
only make a round slower. Entries come in batches of 64, ten of which share a millisecond; making
them is not counted, decoding their operations is, for every node pays for that.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterable

from peers.core.entry import Dot, Entry, Origin
from tlru.engine.machine import Machine
from tlru.engine.operations import (
    Clear,
    Delete,
    Evict,
    Expire,
    Incr,
    Lock,
    Once,
    Operation,
    Publish,
    Set,
    Settings,
    Touch,
    Unlock,
    decode,
    encode,
)

ORIGIN = Origin("a", "birth-a")
START_MS = 1_700_000_000_000
VALUE = b"\xc4\x40" + b"x" * 64
BATCH = 64
ROUNDS = 3

Named = tuple[Operation, Once | None]


class Log:
    """Makes batches of entries."""

    def __init__(self) -> None:
        self.index = 0

    def batches(self, operations: Iterable[Named], at: int | None = None) -> list[list[Entry]]:
        """Operations as the batches of a log."""
        entries = []
        for operation, once in operations:
            self.index += 1
            moment = START_MS + self.index // (10 * BATCH) if at is None else at
            dot = Dot(ORIGIN, 1, self.index)
            entries.append(
                Entry(self.index, 1, moment, dot, moment + 5_000, encode(operation, once))
            )
        return [entries[start : start + BATCH] for start in range(0, len(entries), BATCH)]


def timed(what: Callable[[], object]) -> float:
    """Seconds that it takes."""
    gc.collect()
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


class Round:
    """One machine, and what each of its steps took."""

    def __init__(self, count: int, ttl: int | None) -> None:
        self.count, self.ttl = count, ttl
        self.machine, self.log = Machine(), Log()
        self.took: dict[str, float] = {}
        self.apply("", [(Settings((("max_bytes", None),)), None)])

    def apply(
        self, name: str, operations: Iterable[Named], at: int | None = None, per: int = 0
    ) -> None:
        """Apply operations, and note what each of them took."""
        batches = self.log.batches(operations, at)
        apply = self.machine.apply

        def run() -> None:
            for batch in batches:
                apply(batch)

        count = per or sum(map(len, batches))
        self.took[name] = timed(run) / count

    def keys(self, step: int = 7_919) -> list[str]:
        """The keys, in an order that jumps about."""
        return [f"key:{i * step % self.count:08}" for i in range(self.count)]

    def run(self) -> None:
        keys, ttl = self.keys(), self.ttl
        self.apply("set, a new key", [(Set(key, VALUE, ttl), None) for key in self.keys(6_007)])
        self.apply("set, again", [(Set(key, VALUE, ttl), None) for key in keys])
        self.apply("touch", [(Touch(key, ttl), None) for key in keys])
        self.apply("incr", [(Incr(f"n{i % 1_000}"), None) for i in range(self.count)])
        self.apply("publish", [(Publish("news", VALUE), None) for _ in keys])
        names = [Once("s", i, START_MS, i - 9) for i in range(self.count)]
        self.apply(
            "set, named", [(Set(key, VALUE, ttl), n) for key, n in zip(keys, names, strict=True)]
        )
        locked = START_MS + 10_000
        self.apply(
            "lock and unlock",
            (
                (each, None)
                for i in range(self.count // 2)
                for each in (Lock(f"lock{i % 9}", 10**6), Unlock(f"lock{i % 9}", locked + i))
            ),
            at=locked,
        )
        self.reads(keys)
        self.removals(keys)

    def reads(self, keys: list[str]) -> None:
        read, now = self.machine.read, self.machine.at

        def run() -> None:
            for key in keys:
                read(key, now)

        self.took["get"] = timed(run) / self.count

        def capture() -> None:
            for _ in self.machine.capture().chunks():
                pass

        self.took["snapshot, an item"] = timed(capture) / self.count
        chunks = list(self.machine.capture().chunks())
        self.took["restore, an item"] = timed(lambda: Machine.from_snapshot(chunks)) / self.count

    def removals(self, keys: list[str]) -> None:
        machine, half = self.machine, self.count // 2
        later = machine.at + 1
        self.apply("delete", [(Delete((key,)), None) for key in keys[:half]], at=later)
        rest = keys[half:]
        victims = [(key, machine.items.store.entries[key].changed) for key in rest[: half // 2]]
        self.apply(
            "evict, an item",
            [(Evict(tuple(victims[i : i + 1_000])), None) for i in range(0, len(victims), 1_000)],
            at=later,
            per=len(victims),
        )
        left = len(rest) - len(victims)
        if self.ttl is None:
            self.apply("clear, an item", [(Clear("key:"), None)], at=later, per=left)
        else:
            later += self.ttl + 10**6
            expire = [(Expire(later), None)] * (left // 1_000 + 2)
            self.apply("expire, an item", expire, at=later, per=left)


def main() -> None:
    """Print the figures, without and with a time to live."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    count: int = parser.parse_args().items
    data = encode(Set("key:00000000", VALUE, 60_000))

    def decode_many() -> None:
        for _ in range(count):
            decode(data)

    decoding = min(timed(decode_many) for _ in range(ROUNDS))
    print(f"{'decode of a set':20} {decoding / count * 1e6:7.2f} us")
    for ttl in (None, 60_000):
        print(f"\n{count:,} items, {'no time to live' if ttl is None else f'{ttl} ms to live'}")
        best: dict[str, float] = {}
        for _ in range(ROUNDS):
            one = Round(count, ttl)
            one.run()
            best = {name: min(took, best.get(name, took)) for name, took in one.took.items()}
        for name, seconds in best.items():
            if name:
                print(f"{name:20} {seconds * 1e6:7.2f} us")


if __name__ == "__main__":
    main()
