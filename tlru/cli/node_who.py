"""`tlru node add | set | remove | lead`: who belongs to a cluster, and who leads it."""

from __future__ import annotations

import shlex
from typing import Any

import click

from tlru.cli import say
from tlru.cli.commands import Command, Flag
from tlru.cli.exits import Exit
from tlru.cli.over_http import Facts, ask, node_path
from tlru.cli.target import Target, client_command
from tlru.cli.waiting import until_there, waiting_flags
from tlru.errors import TlruError

_STANDING = (
    click.option(
        "--priority",
        type=click.IntRange(0, 1_000),
        cls=Flag,
        help="The node with the highest priority leads while it is healthy.",
    ),
    click.option(
        "--role",
        type=click.Choice(["voter", "observer"]),
        cls=Flag,
        help="A voter may lead; an observer holds everything and never votes.",
    ),
)


def _standing(command: Any) -> Any:  # Any: click's decorators
    for flag in reversed(_STANDING):
        command = flag(command)
    return command


def _given(priority: int | None, role: str | None) -> Facts:
    given = {"priority": priority, "role": role}
    return {name: value for name, value in given.items() if value is not None}


@click.command(
    "add",
    cls=Command,
    examples=[
        "tlru node add n4",
        "tlru node add n4 --role observer",
        "tlru node add n4 --wait --within 5m",
    ],
)
@click.argument("id")
@_standing
@click.option("--wait", is_flag=True, help="Wait until it is there and serves.")
@waiting_flags(no_wait=False)
@client_command
async def add(
    target: Target,
    /,
    id: str,
    priority: int | None,
    role: str | None,
    wait: bool,
    within: float,
) -> Exit:
    """Print the command by which a node called ID joins the cluster.

    A node joins by itself: start it where it is to run by the line that is printed, with the
    --listen, --mesh, --data-dir and token that it needs there. Where ID is a member already, its
    priority and role are changed, if any are given.
    """
    given = _given(priority, role)
    told = await ask(target, "POST", "/v1/nodes", {"id": id, **given}, waits=True)
    if target.json:
        say.json_line(told)
    elif told["member"]:
        say.word(f"{id} is a member{_changed(given)}")
    else:
        say.data(shlex.join(told["start"]))
        say.word("start it by that line, with the --listen and --mesh (and TLRU_TOKEN) it needs")
    if wait and not told["member"]:
        await until_there(target, id, within, f"{id} to join")
    return Exit.OK


@click.command(
    "set",
    cls=Command,
    examples=[
        "tlru node set n2 --priority 110",
        "tlru node set n3 --role observer",
    ],
)
@click.argument("id")
@_standing
@client_command
async def change(target: Target, /, id: str, priority: int | None, role: str | None) -> Exit:
    """Give the node ID another priority or role.

    It stays over restarts, until the node's own configuration says something else than it did.
    Region, zone, labels and addresses are what the node itself says.
    """
    given = _given(priority, role)
    if not given:
        raise click.UsageError("give --priority, --role or both")
    told = await ask(target, "PATCH", node_path(id), given, waits=True)
    if target.json:
        say.json_line(told)
    else:
        say.word(f"{id} is changed{_changed(given)}, by entry {told['index']}")
    return Exit.OK


def _changed(given: Facts) -> str:
    told = ", ".join(f"{name} {value}" for name, value in given.items())
    return f": {told}" if told else ""


@click.command(
    "remove",
    cls=Command,
    examples=["tlru node remove n3", "tlru node remove n3 --server cache-1:8400"],
)
@click.argument("id")
@client_command
async def remove(target: Target, /, id: str) -> Exit:
    """Take the node ID out of the cluster, for good.

    It may be away. If it runs, it serves nothing from then on, and it does not come back with what
    it has kept; started with an empty data directory it joins as a newcomer. One that leads hands
    the lead over first. Where there is no member ID, nothing is done and that is said.
    """
    try:
        told = await ask(target, "DELETE", node_path(id), waits=True)
    except TlruError as problem:
        if problem.code != "not_found":
            raise
        told = {"id": id, "removed": False}
    if target.json:
        say.json_line(told)
    elif told["removed"]:
        say.word(f"{id} is out")
    else:
        say.word(f"there is no member {id!r} (any more): nothing was done")
    return Exit.OK


@click.command(
    "lead",
    cls=Command,
    examples=["tlru node lead n2", "tlru node lead n2 && tlru node restart n1"],
)
@click.argument("id")
@client_command
async def lead(target: Target, /, id: str) -> Exit:
    """Hand the lead to the node ID, and wait until it leads.

    Writes wait for some milliseconds meanwhile, and none is lost. A node of higher priority takes
    the lead back once it is steady; give ID a higher one to keep it there (`tlru node set`).
    """
    told = await ask(target, "POST", node_path(id, "/lead"), waits=True)
    if target.json:
        say.json_line(told)
        return Exit.OK
    say.word(f"{told['leader']} leads")
    if "note" in told:
        say.word(told["note"])
    return Exit.OK
