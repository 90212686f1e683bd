"""`tlru upgrade`: which release each node runs, and what can be put in force."""

from __future__ import annotations

import click

from tlru.cli import say, tables
from tlru.cli.commands import Command
from tlru.cli.exits import Exit
from tlru.cli.over_http import Facts, ask
from tlru.cli.target import Target, client_command


@click.command(
    "upgrade",
    cls=Command,
    examples=["tlru upgrade", "tlru upgrade finalize", "tlru upgrade --json | jq .possible"],
)
@click.argument("act", type=click.Choice(["finalize"]), required=False, metavar="[finalize]")
@client_command
async def command(target: Target, /, act: str | None) -> Exit:
    """Show which release each node runs; with finalize, use what the newest of them brings.

    Nodes are upgraded one after another, each stopped and started with the new release. What a
    release adds to the log has a feature level, and is not used before all nodes can apply it and
    you say `tlru upgrade finalize` (or the option finalize_after does). From then on nodes of an
    older release are refused: there is no way back.
    """
    if act is None:
        told = await ask(target, "GET", "/v1/upgrade")
        if target.json:
            say.json_line(told)
        else:
            _show(told)
        return Exit.OK
    done = await ask(target, "POST", "/v1/upgrade/finalize", waits=True)
    if target.json:
        say.json_line(done)
    elif done["raised"]:
        say.word(f"feature level {done['level']} is in force, for good")
    else:
        say.word(f"feature level {done['level']} is in force already: nothing was done")
    return Exit.OK


def _show(told: Facts) -> None:
    rows = [
        [
            str(each["id"]),
            str(each["status"]),
            str(each["release"] or "not known"),
            "not known" if each["level_max"] is None else str(each["level_max"]),
        ]
        for each in told["nodes"]
    ]
    tables.show(["id", "status", "release", "can apply level"], rows)
    level, possible = told["level"], told["possible"]
    if possible is None:
        say.word(f"level {level} is in force; not all nodes say what they can apply")
    elif possible > level:
        say.word(f"level {level} is in force; `tlru upgrade finalize` puts {possible} in force")
    else:
        say.word(f"level {level} is in force, and is all that every node can apply")
