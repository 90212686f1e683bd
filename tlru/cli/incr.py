"""`tlru incr`: add to a number, and print the result."""

from __future__ import annotations

import click

from tlru.cli import say
from tlru.cli.commands import NO_BREAK, Command, Kinded, Text
from tlru.cli.conditions import ttl_flag
from tlru.cli.exits import Exit
from tlru.cli.target import Target, client_command
from tlru.config.numbers import Count
from tlru.wire.limits import NUMBER_MAX


@click.command(
    "incr",
    cls=Command,
    examples=[
        "tlru incr visits",
        "tlru incr stock:7 --by -3",
        "tlru incr attempts:ada --ttl 10m",
    ],
)
@click.argument("key", type=Text())
@click.option(
    "--by",
    type=Kinded(Count(-NUMBER_MAX, NUMBER_MAX)),
    metavar="NUMBER",
    default=1,
    help=f"How much to add; less than 0 takes away. [default:{NO_BREAK}1]",
)
@ttl_flag("How long a new key lives; one that is there keeps its life. [default: forever]")
@client_command
async def command(target: Target, /, key: str, by: int, ttl: float | None) -> Exit:
    """Add to the whole number under KEY, and print the result.

    A key that is not there counts as 0. A value that is no whole number is left as it is, and the
    exit status is 4.
    """
    async with target.connect() as cache:
        value = await cache.incr(key, by, ttl=ttl)
    if target.json:
        say.json_line({"key": key, "value": value})
    else:
        say.data(str(value))
    return Exit.OK
