"""`tlru watch`: print changes as they come."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tlru.cli.commands import Command, Kinded, Text
from tlru.cli.exits import Exit
from tlru.cli.target import Target, client_command
from tlru.config.numbers import Count, Duration
from tlru.wire.limits import NUMBER_MAX

ALL = "*"
PATTERNS_MAX = 64  # each is a subscription of its own
FOR_S_MAX = 10 * 366 * 86_400.0


def _since(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """Checked before anything is asked: a position, as a watch has printed it."""
    from tlru.client.changes import place

    try:
        if given is not None:
            place(given)
    except ValueError as problem:
        raise click.BadParameter(str(problem), ctx, param) from problem
    return given


def _patterns(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
    from tlru.client.changes import Topic

    found = tuple(dict.fromkeys(given or (ALL,)))
    try:
        for one in found:
            Topic.parse(one, "")
    except ValueError as problem:
        raise click.BadParameter(str(problem), ctx, param) from problem
    if len(found) > PATTERNS_MAX:
        raise click.BadParameter(
            f"{len(found)} patterns are more than {PATTERNS_MAX}; let one stand for several "
            "(price:*)",
            ctx,
            param,
        )
    return found


@click.command(
    cls=Command,
    examples=[
        "tlru watch",
        "tlru watch 'price:*' '#news'",
        "tlru watch 'user:*' --keys | cut -f 2,3",
        "tlru watch 'order:*' --state orders.json --json | ./import-orders",
        "tlru watch 'price:*' --snapshot --quiet-for 1s --json > prices.jsonl",
        "tlru watch order:7 --count 1 --for 30s || echo it has not changed",
    ],
)
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1, type=Text(), callback=_patterns)
@click.option(
    "--since",
    metavar="POSITION",
    callback=_since,
    help="Begin with what has happened behind this position, which --json has printed.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Keep in FILE how far it has printed, and go on from there the next time.",
)
@click.option("--snapshot", is_flag=True, help="First print what there is, as if it was set now.")
@click.option(
    "--fold",
    is_flag=True,
    help="Where it cannot keep up, let one change of a key stand for several.",
)
@click.option("--keys", "keys_only", is_flag=True, help="Leave the values out.")
@click.option(
    "--count",
    type=Kinded(Count(1, NUMBER_MAX)),
    metavar="COUNT",
    help="End after so many changes. [default: go on]",
)
@click.option(
    "--for",
    "lasting",
    type=Kinded(Duration(0.001, FOR_S_MAX)),
    help="End after so long. [default: go on]",
)
@click.option(
    "--quiet-for",
    type=Kinded(Duration(0.001, FOR_S_MAX)),
    help="End once nothing has come for so long. [default: go on]",
)
@client_command
async def command(
    target: Target,
    /,
    patterns: tuple[str, ...],
    since: str | None,
    state: str | None,
    snapshot: bool,
    fold: bool,
    keys_only: bool,
    count: int | None,
    lasting: float | None,
    quiet_for: float | None,
) -> Exit:
    """Print each change of the keys that fit a PATTERN, as it comes; of all without one.

    A PATTERN is a key, the beginning of keys (price:*), a channel (#news) or the beginning of
    channels (#news:*). A change that fits several is printed for each of them. A line has the time,
    the type, the key, the time to live and the value, in a pipe with tabs between; with --json it
    is an object, with the position behind which --since goes on.

    When the connection is lost it goes on at another server, with nothing missed, and says so on
    stderr. Where the cluster no longer has what was missed, a reset is told. With --state the same
    holds for the command: whenever it was killed, the next one goes on behind what was printed
    (what it was just printing may come again).

    Where --count is given and --for or --quiet-for end it before, the exit status is 1.
    """
    from tlru.cli.watching import Plan, Watching

    if since is not None and state is not None:
        raise click.UsageError("--since and --state both say where to begin; give one of them")
    plan = Plan(
        patterns=patterns,
        since=since,
        state=state,
        snapshot=snapshot,
        fold=fold,
        keys_only=keys_only,
        count=count,
        lasting=lasting,
        quiet_for=quiet_for,
    )
    return await Watching(target, plan).run()
