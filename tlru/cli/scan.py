"""`tlru scan`: list keys, in order."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import click

from tlru.cli import items, say, values
from tlru.cli.commands import Command, Kinded, Text
from tlru.cli.exits import Exit
from tlru.cli.target import Target, client_command
from tlru.config.numbers import Count
from tlru.wire.limits import NUMBER_MAX

if TYPE_CHECKING:
    from tlru.client import Cache, Item

# Keys that are asked for at once; what a node gives at once may be less.
PAGE = 1_000


@click.command(
    "scan",
    cls=Command,
    examples=[
        "tlru scan",
        "tlru scan user: --values",
        "tlru scan user: --limit 10 --json | jq -r .key",
        "tlru scan | wc -l",
    ],
)
@click.argument("prefix", metavar="[PREFIX]", default="", type=Text())
@click.option("--values", "with_values", is_flag=True, help="Print the values too, after a tab.")
@click.option(
    "--limit",
    type=Kinded(Count(1, NUMBER_MAX)),
    metavar="COUNT",
    default=None,
    help="Stop after that many. [default: all]",
)
@client_command
async def command(target: Target, /, prefix: str, with_values: bool, limit: int | None) -> Exit:
    """List the keys that begin with PREFIX, in the order of their bytes; all without one.

    Keys come one a line, while they are being read page by page, so this is no snapshot: what
    changes meanwhile may or may not be among them. With --json every line is an object, which is
    safe for keys with a new line in them.
    """
    async with (
        target.connect() as cache,
        contextlib.aclosing(_rows(cache, prefix, with_values, min(limit or PAGE, PAGE))) as rows,
    ):
        printed = 0
        async for key, item in rows:
            if target.json:
                say.json_line({"key": key, **(items.facts(item) if item else {})})
            else:
                say.data(key if item is None else f"{key}\t{values.line(item.value)}")
            printed += 1
            if printed == limit:
                break
    return Exit.OK


async def _rows(
    cache: Cache[bytes], prefix: str, with_values: bool, page: int
) -> AsyncGenerator[tuple[str, Item[bytes] | None], None]:
    if with_values:
        async for key, item in cache.items(prefix, page=page):
            yield key, item
    else:
        async for key in cache.keys(prefix, page=page):
            yield key, None
