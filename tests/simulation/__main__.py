"""python -m tests.simulation --seeds N: many runs, each from its own seed, on all cores.

A run that fails prints its seed and the one command that repeats it. The summary says what did
happen, so that one sees that each kind of harm was done.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from tests.simulation.faults import FAULTS
from tests.simulation.runs import Run


def one(
    seed: int, nodes: int | None, seconds: float, faults: tuple[str, ...]
) -> tuple[int, str | None, Counter[str]]:
    """A run; what broke in it, if anything."""
    run = Run(seed, nodes=nodes, seconds=seconds, faults=faults)
    try:
        run.go()
    except Exception as exc:
        return seed, f"{type(exc).__name__}: {exc}", run.counts
    return seed, None, run.counts


def trace(seed: int, nodes: int | None, seconds: float, faults: tuple[str, ...]) -> None:
    """One run, with every message."""
    Run(seed, nodes=nodes, seconds=seconds, faults=faults, trace=print).go()


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--nodes", type=int, help="as many in each run; else the seed decides")
    parser.add_argument("--seconds", type=float, default=10.0, help="of harm in each run, virtual")
    parser.add_argument("--hours", type=float, help="go on for so long instead of --seeds")
    parser.add_argument(
        "--faults", default=",".join(FAULTS), help="which kinds of harm, separated by commas"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--trace", action="store_true", help="one seed (--first), every message")
    return parser.parse_args()


def main() -> int:
    """Run them all, and say how it went."""
    args = options()
    faults = tuple(name for name in args.faults.split(",") if name)
    if unknown := [name for name in faults if name not in FAULTS]:
        sys.exit(f"there is no harm called {unknown[0]!r}; there are {', '.join(FAULTS)}")
    if args.trace:
        trace(args.first, args.nodes, args.seconds, faults)
        return 0
    end = None if args.hours is None else time.monotonic() + args.hours * 3_600
    total, failed, done = Counter[str](), 0, 0
    with (
        ProcessPoolExecutor(args.workers) as pool,
        Progress(
            *Progress.get_default_columns(), MofNCompleteColumn(), TimeRemainingColumn()
        ) as bar,
    ):
        task = bar.add_task("seeds", total=None if end else args.seeds)
        seed = args.first
        waiting: set[Future[tuple[int, str | None, Counter[str]]]] = set()
        while waiting or done == 0:
            while len(waiting) < 4 * args.workers and (
                time.monotonic() < end if end else seed < args.first + args.seeds
            ):
                waiting.add(pool.submit(one, seed, args.nodes, args.seconds, faults))
                seed += 1
            finished = next(as_completed(waiting))
            waiting.discard(finished)
            number, problem, counts = finished.result()
            total += counts
            done += 1
            bar.advance(task)
            if problem is not None:
                failed += 1
                bar.console.print(f"seed {number}: {problem}", highlight=False, markup=False)
                bar.console.print(f"    {again(args, number)}", highlight=False, markup=False)
    summary(total, done, failed)
    return 1 if failed else 0


def again(args: argparse.Namespace, seed: int) -> str:
    """The command that repeats a run."""
    nodes = "" if args.nodes is None else f" --nodes {args.nodes}"
    faults = "" if args.faults == ",".join(FAULTS) else f" --faults {args.faults}"
    return (
        f"python -m tests.simulation --seeds 1 --first {seed}{nodes} "
        f"--seconds {args.seconds:g}{faults}"
    )


def summary(total: Counter[str], done: int, failed: int) -> None:
    """What happened in all of them."""
    hours = total.pop("virtual seconds", 0) / 3_600
    print(f"{done} runs, {failed} failed; {hours:.1f} virtual hours")
    for name, count in sorted(total.items()):
        print(f"  {name:28} {count:>12,}")


if __name__ == "__main__":
    sys.exit(main())
