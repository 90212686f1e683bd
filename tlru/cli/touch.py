"""`tlru touch`: give a key a new time to live."""

from __future__ import annotations

import click

from tlru.cli import say
from tlru.cli.commands import Command, Text
from tlru.cli.conditions import ttl_flag
from tlru.cli.exits import Exit
from tlru.cli.target import Target, client_command


@click.command(
    "touch",
    cls=Command,
    examples=[
        "tlru touch session:ada --ttl 30m",
        "tlru touch greeting --forever",
    ],
)
@click.argument("key", type=Text())
@ttl_flag("How long it lives from now on, as 30s, 5m or 1h30m.")
@click.option("--forever", is_flag=True, help="Let it live until it is deleted or evicted.")
@client_command
async def command(target: Target, /, key: str, ttl: float | None, forever: bool) -> Exit:
    """Give KEY a new time to live; its value stays as it is.

    Where nothing is kept the exit status is 1.
    """
    if (ttl is None) is not forever:
        raise click.UsageError("give either --ttl or --forever")
    async with target.connect() as cache:
        found = await cache.touch(key, ttl=ttl)
    if target.json:
        say.json_line({"key": key, "found": found})
    elif not found:
        say.word(f"nothing is kept under {key!r}")
    return Exit.OK if found else Exit.ABSENT
