"""`tlru get`: print the value that is kept under a key."""

from __future__ import annotations

import click

from tlru.cli import items, say, values
from tlru.cli.commands import Command, Text
from tlru.cli.exits import Exit
from tlru.cli.target import Target, client_command


@click.command(
    "get",
    cls=Command,
    examples=[
        "tlru get greeting",
        "tlru get --json user:7 | jq .ttl",
        "tlru get photo > photo.png",
        "tlru get -- --odd-key",
    ],
)
@click.argument("key", type=Text())
@client_command
async def command(target: Target, /, key: str) -> Exit:
    """Print the value that is kept under KEY.

    A string is printed bare, bytes as they are, anything else as JSON. With --json the item is one
    object: value, version, when it was set, and the seconds it has left. Where nothing is kept the
    exit status is 1.
    """
    async with target.connect() as cache:
        item = await cache.item(key)
    if target.json:
        say.json_line(
            {"key": key, "found": item is not None, **(items.facts(item) if item else {})}
        )
    elif item is None:
        say.word(f"nothing is kept under {key!r}")
    else:
        values.write(item.value)
    return Exit.OK if item is not None else Exit.ABSENT
