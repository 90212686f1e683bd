"""How fast `TLRUCache` is beside that of cachetools, and how it scales. Run by hand:

    python -m tests.benchmarks.cache_vs_cachetools            # 100,000 items, a minute and a half
    python -m tests.benchmarks.cache_vs_cachetools --scale    # 1,000 to 1,000,000 items, five

Both caches do the same work in the same process, in rounds that take turns, so that whatever else
the machine does meets both; a round is long enough for whatever a cache puts off to fall due. What
is measured is the time on the processor. A figure is the median of the rounds; a ratio is ours over
theirs, in operations a second, so above 1 ours is faster; its spread is over the rounds.
`OrderedDict` in the second table does the least that any such cache must (find a key, move it to
the end), and shows what the machine's own memory costs as the table outgrows its caches.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cachetools

from tlru.cache import TLRUCache

SEED = 20_26
LIFE_S = 3600.0

Ttu = Callable[[Any, Any, float], float]
Work = Callable[[Any, Sequence[int]], None]


def fixed_life(key: int, value: int, now: float) -> float:
    """Every item lives for an hour."""
    return now + LIFE_S


def random_life() -> Ttu:
    """Lives from a second to two hours; drawn beforehand, so that drawing is not measured."""
    chance = random.Random(SEED)
    lives = itertools.cycle([chance.uniform(1.0, 2 * LIFE_S) + 60 for _ in range(10_007)])
    return lambda key, value, now: now + next(lives)


class Keys(NamedTuple):
    """The keys of one round: what is there, what is not, and a mixture, each in random order."""

    present: list[int]
    absent: list[int]
    mixed: list[int]


def draw_keys(count: int, operations: int) -> Keys:
    chance = random.Random(SEED)
    present = [chance.randrange(count) for _ in range(operations)]
    absent = list(range(count, count + operations))
    # Some keys are asked for far more often than others, as in life; a few are not there.
    mixed = [int(count * 1.1 * chance.random() ** 3) for _ in range(operations)]
    return Keys(present, absent, mixed)


def get_by_brackets(cache: Any, keys: Sequence[int]) -> None:
    for key in keys:
        cache[key]


def get(cache: Any, keys: Sequence[int]) -> None:
    get = cache.get
    for key in keys:
        get(key)


def put(cache: Any, keys: Sequence[int]) -> None:
    for key in keys:
        cache[key] = key


def get_or_put(cache: Any, keys: Sequence[int]) -> None:
    get = cache.get
    for number, key in enumerate(keys):
        if number % 10 == 0 or get(key) is None:
            cache[key] = key


class Case(NamedTuple):
    name: str
    keys: str
    work: Work


CASES = (
    Case("get, hit: cache[key]", "present", get_by_brackets),
    Case("get, hit: cache.get(key)", "present", get),
    Case("get, miss", "absent", get),
    Case("set, new key, evicts", "absent", put),
    Case("set, overwrites", "present", put),
    Case("mixed: 9 get or fill, 1 set", "mixed", get_or_put),
)


class LeastCache(OrderedDict[int, int]):
    """The least that a cache with an order of use must do."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def __getitem__(self, key: int) -> int:
        self.move_to_end(key)
        return super().__getitem__(key)

    def __setitem__(self, key: int, value: int) -> None:
        super().__setitem__(key, value)
        if len(self) > self.count:
            self.popitem(last=False)


CONTENDERS = ("ours", "theirs")
MAKERS: dict[str, Callable[[int, Ttu], Any]] = {
    "ours": lambda count, ttu: TLRUCache(count, ttu, time.monotonic),
    "theirs": lambda count, ttu: cachetools.TLRUCache(count, ttu, time.monotonic),
    "OrderedDict": lambda count, ttu: LeastCache(count),
}


def measure(name: str, count: int, ttu: Ttu, case: Case, keys: Sequence[int]) -> float:
    """Nanoseconds for each operation, on a full cache of `count` items."""
    cache = MAKERS[name](count, ttu)
    for key in range(count):
        cache[key] = key
    gc.collect()
    start = time.process_time_ns()
    case.work(cache, keys)
    return (time.process_time_ns() - start) / len(keys)


def take_turns(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Every name once a round, the order turned about each time."""
    for number in range(rounds):
        yield from names if number % 2 == 0 else reversed(names)


def compare(count: int, rounds: int) -> bool:
    """Print the ratios at one size; True if all of them reach 1."""
    operations = 2 * count
    keys = draw_keys(count, operations)
    print(f"{count:,} items, {operations:,} operations a round, {rounds} rounds; ns an operation")
    print(f"{'':<30}{'life':<8}{'ours':>7}{'theirs':>8}{'ratio':>7}   spread")
    fastest = True
    for life, ttu_of in (("fixed", lambda: fixed_life), ("random", random_life)):
        for case in CASES:
            took: dict[str, list[float]] = {name: [] for name in CONTENDERS}
            for name in take_turns(CONTENDERS, rounds):
                took[name].append(measure(name, count, ttu_of(), case, getattr(keys, case.keys)))
            ours, theirs = (statistics.median(took[name]) for name in CONTENDERS)
            ratios = [b / a for a, b in zip(took["ours"], took["theirs"], strict=True)]
            ratio = statistics.median(ratios)
            fastest = fastest and ratio >= 1
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"{case.name:<30}{life:<8}{ours:>7.0f}{theirs:>8.0f}{ratio:>7.2f}   {spread}")
    return fastest


def scale(sizes: Sequence[int], rounds: int) -> None:
    """Print what a get and a set cost as the cache grows."""
    cases = (CASES[0], CASES[3], CASES[4])
    print(f"ns an operation, random lives, {rounds} rounds of as many operations as items")
    print(f"{'':<24}{'':<13}" + "".join(f"{size:>11,}" for size in sizes) + "   growth")
    for case in cases:
        rows: dict[str, list[float]] = {name: [] for name in MAKERS}
        for count in sizes:
            keys = getattr(draw_keys(count, max(count, 100_000)), case.keys)
            took: dict[str, list[float]] = {name: [] for name in MAKERS}
            for name in take_turns(list(MAKERS), rounds):
                took[name].append(measure(name, count, random_life(), case, keys))
            for name, times in took.items():
                rows[name].append(statistics.median(times))
        for name, row in rows.items():
            figures = "".join(f"{ns:>11.0f}" for ns in row)
            print(f"{case.name:<24}{name:<13}{figures}{row[-1] / row[0]:>8.1f}x")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", action="store_true", help="from 1,000 to 1,000,000 items")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, help="5, or 3 with --scale")
    arguments = parser.parse_args()
    if arguments.scale:
        scale((1_000, 10_000, 100_000, 1_000_000), arguments.rounds or 3)
        return 0
    return 0 if compare(arguments.items, arguments.rounds or 5) else 1


if __name__ == "__main__":
    raise SystemExit(main())
