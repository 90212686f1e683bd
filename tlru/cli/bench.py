"""`tlru bench`: measure how fast a node answers from here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from tlru.cli import load, say, tables
from tlru.cli.commands import NO_BREAK, Command, Kinded
from tlru.cli.exits import Exit, exit_for
from tlru.cli.latency import Latencies
from tlru.cli.load import Measured, Plan
from tlru.cli.target import Target, client_command
from tlru.config.numbers import Count, Duration, Size

PERCENTILES = (50.0, 90.0, 99.0)


def _default(shown: str) -> str:
    return f"[default:{NO_BREAK}{shown}]"


@click.command(
    "bench",
    cls=Command,
    examples=[
        "tlru bench",
        "tlru bench --callers 1",
        "tlru bench --reads 0 --size 10KiB --seconds 30",
        "tlru bench --json | jq .operations.get.p99_ms",
    ],
)
@click.option(
    "--callers",
    type=Kinded(Count(1, 10_000)),
    default=64,
    help=f"How many ask at the same time, each one thing after another. {_default('64')}",
)
@click.option(
    "--reads",
    type=Kinded(Count(0, 100)),
    metavar="PERCENT",
    default=90,
    help=f"How many of a hundred requests read; the others write. {_default('90')}",
)
@click.option(
    "--size",
    type=Kinded(Size(0, 1 << 30)),
    default=100,
    help=f"The size of every value. {_default('100B')}",
)
@click.option(
    "--keys",
    type=Kinded(Count(1, 1_000_000)),
    default=1_000,
    help=f"How many keys are used, at random. {_default('1000')}",
)
@click.option(
    "--seconds",
    type=Kinded(Duration(0.1, 86_400.0)),
    default=5.0,
    help=f"How long to measure. {_default('5s')}",
)
@client_command
async def command(
    target: Target, /, callers: int, reads: int, size: int, keys: int, seconds: float
) -> Exit:
    """Measure how fast a node answers from here.

    One process with one connection asks; what is asked in one turn of its event loop travels as
    one message, as it does for any program. A caller of its own (--callers 1) shows the round trip,
    many show what this client and the node can do together. The keys are new ones, which are
    deleted in the end.
    """
    plan = Plan(callers, reads, size, keys, seconds)
    async with target.connect() as cache:
        with _progress(f"{callers} callers") as progress:
            measured = await load.run(cache, plan, progress)
    if target.json:
        say.json_line(_as_object(plan, measured))
    else:
        _table(measured)
    if measured.last_error is None:
        return Exit.OK
    for code, count in measured.errors.most_common():
        say.word(f"{count:,} requests failed: {code}")
    say.word(f"the last one: {measured.last_error}")
    return exit_for(measured.last_error)


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None]]:
    """A bar on the terminal; nothing where stderr is none."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(name, total=1.0)
        yield lambda share: bars.update(bar, completed=share)


def _all(measured: Measured) -> dict[str, Latencies]:
    """The operations that were asked, and all of them together where there are several."""
    asked = {name: one for name, one in measured.latencies.items() if one.count}
    if len(asked) < 2:
        return asked
    both = Latencies()
    for one in asked.values():
        both.merge(one)
    return {**asked, "all": both}


def _figures(one: Latencies, seconds: float) -> dict[str, float]:
    figures = {"count": one.count, "per_second": round(one.count / seconds, 1)}
    for percent in PERCENTILES:
        figures[f"p{percent:g}_ms"] = round(one.percentile(percent) * 1_000, 4)
    return {**figures, "max_ms": round(one.max * 1_000, 4)}


def _as_object(plan: Plan, measured: Measured) -> dict[str, Any]:
    return {
        "seconds": round(measured.seconds, 3),
        "callers": plan.callers,
        "reads_percent": plan.reads_percent,
        "value_bytes": plan.value_bytes,
        "keys": plan.keys,
        "operations": {
            name: _figures(one, measured.seconds) for name, one in _all(measured).items()
        },
        "errors": dict(measured.errors),
    }


def _table(measured: Measured) -> None:
    numbers = ["count", "per second", *(f"p{percent:g} ms" for percent in PERCENTILES), "max ms"]
    rows = []
    for name, one in _all(measured).items():
        figures = list(_figures(one, measured.seconds).values())
        rows.append(
            [name, f"{one.count:,}", f"{figures[1]:,.0f}", *(f"{x:.2f}" for x in figures[2:])]
        )
    tables.show(["", *numbers], rows, right=set(numbers))
