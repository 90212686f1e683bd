"""`tlru delete`: delete keys."""

from __future__ import annotations

import click

from tlru.cli import say
from tlru.cli.commands import Command, Text
from tlru.cli.exits import Exit
from tlru.cli.target import Target, client_command


@click.command(
    "delete",
    cls=Command,
    examples=[
        "tlru delete greeting",
        "tlru delete user:7 user:8 user:9",
        "tlru scan session: | xargs -d '\\n' tlru delete --",
    ],
)
@click.argument("keys", metavar="KEY...", nargs=-1, required=True, type=Text())
@client_command
async def command(target: Target, /, keys: tuple[str, ...]) -> Exit:
    """Delete every KEY, and print how many of them were there.

    Where none of them was there the exit status is 1.
    """
    async with target.connect() as cache:
        deleted = await cache.delete(*keys)
    if target.json:
        say.json_line({"keys": list(keys), "deleted": deleted})
    else:
        say.data(str(deleted))
    return Exit.OK if deleted else Exit.ABSENT
