"""`tlru node reload | restart | restore`: what nodes are told to do."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tlru.cli import say
from tlru.cli.commands import NO_BREAK, Command
from tlru.cli.exits import Exit
from tlru.cli.node_backup import begin_anew
from tlru.cli.over_http import Facts, ask, node_path
from tlru.cli.target import Target, client_command
from tlru.cli.waiting import until_there, waiting_flags


async def _named(target: Target, ids: tuple[str, ...], everybody: bool) -> list[str]:
    """The nodes that are meant; who leads comes last, so that the lead moves once."""
    if bool(ids) is everybody:
        raise click.UsageError("name the nodes, or say --all")
    if ids:
        return list(ids)
    told = await ask(target, "GET", "/v1/nodes")
    return sorted((each["id"] for each in told["nodes"]), key=lambda id: (id == told["leader"], id))


@click.command(
    "reload",
    cls=Command,
    short_help="Have nodes read their configuration again.",
    examples=["tlru node reload n1", "tlru node reload --all"],
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everybody", is_flag=True, help="All nodes, one after another.")
@client_command
async def reload(target: Target, /, ids: tuple[str, ...], everybody: bool) -> Exit:
    """Have nodes read their configuration again, and say what has changed.

    What cannot change while a node runs is named, and waits for its restart. Where the
    configuration has mistakes nothing of it is taken, and the exit status is 4.
    """
    refused = False
    for id in await _named(target, ids, everybody):
        told = await ask(target, "POST", node_path(id, "/reload"), waits=True)
        refused = refused or bool(told.get("mistakes"))
        if target.json:
            say.json_line(told)
        else:
            _report(id, told)
    return Exit.REFUSED if refused else Exit.OK


def _report(id: str, told: Facts) -> None:
    for mistake in told.get("mistakes") or ():
        say.word(f"{id}: {mistake}")
    changed, later = told.get("changed") or (), told.get("needs_restart") or ()
    if changed:
        say.word(f"{id}: changed: {', '.join(map(str, changed))}")
    if later:
        say.word(f"{id}: needs a restart: {', '.join(map(str, later))}")
    if not (changed or later or told.get("mistakes")):
        say.word(f"{id}: nothing has changed")


@click.command(
    "restart",
    cls=Command,
    examples=["tlru node restart n1", "tlru node restart --all", "tlru node restart n2 --no-wait"],
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everybody", is_flag=True, help="All nodes, one after another.")
@waiting_flags()
@client_command
async def restart(
    target: Target, /, ids: tuple[str, ...], everybody: bool, no_wait: bool, within: float
) -> Exit:
    """Have nodes start anew in their places, one after another.

    Each of them serves again before the next one is told, so that the cluster never lacks more than
    one. The one that leads comes last, and hands the lead over.
    """
    for id in await _named(target, ids, everybody):
        told = await ask(target, "POST", node_path(id, "/restart"), waits=True)
        if told.get("mistakes"):
            if target.json:
                say.json_line(told)
            else:
                _report(id, told)
            return Exit.REFUSED
        before = told.get("started")
        if not no_wait:
            facts = await until_there(
                target,
                id,
                within,
                f"{id} to serve again",
                lambda facts, before=before: facts.get("started") != before,  # type: ignore[misc]
            )
            told = {"id": id, "started": facts.get("started")}
        if target.json:
            say.json_line(told)
        else:
            say.word(f"{id} starts anew" if no_wait else f"{id} serves again")
    return Exit.OK


@click.command(
    "restore",
    cls=Command,
    short_help="Have a node take another's state, or a cluster begin anew from a backup.",
    examples=[
        "tlru node restore n2",
        "tlru node restore n2 --within 10m",
        "tlru node restore monday.tlru --as-new-epoch --server cache-1:8400",
    ],
)
@click.argument("what", metavar="ID|FILE")
@click.option("--as-new-epoch", is_flag=True, help="Begin anew from the backup in FILE.")
@click.option(
    "--lives",
    type=click.Choice(["now", "backup"]),
    default="now",
    help="Lives go on with what is left of them now, or with what was left at the backup. "
    f"[default:{NO_BREAK}now]",
)
@click.option("--yes", is_flag=True, help="Do not ask whether a new epoch is meant.")
@waiting_flags()
@client_command
async def restore(
    target: Target,
    /,
    what: str,
    as_new_epoch: bool,
    lives: str,
    yes: bool,
    no_wait: bool,
    within: float,
) -> Exit:
    """Have the node ID throw its state away and take another's, over the network.

    A node whose state differs from the majority's does so by itself; this is for when you know
    better. It serves nothing meanwhile, and keeps its seat. One that leads hands the lead over
    first. A node that is alone has nobody to take a state from.

    Where a whole cluster has lost what it had: start one node alone, with an empty directory, and
    have it begin anew from the backup in FILE (--as-new-epoch, --server names the node). Then start
    the others, empty too: they join it. What was acknowledged after the backup is lost.
    """
    if as_new_epoch:
        return await begin_anew(target, Path(what), lives, yes)
    _check_is_node(what)
    return await _take_anothers(target, what, no_wait, within)


def _check_is_node(what: str) -> None:
    if os.path.isfile(what):
        raise click.UsageError(
            f"{what} is a file, and a node that has a leader takes that one's state, which is "
            "newer: name the node. To begin a whole cluster anew from the file: --as-new-epoch"
        )


async def _take_anothers(target: Target, id: str, no_wait: bool, within: float) -> Exit:
    from tlru.errors import Timeout  # what takes long goes on by itself

    try:
        told = await ask(target, "POST", node_path(id, "/restore"), waits=True)
    except Timeout:
        if no_wait:
            say.word(f"{id} goes on taking another's state by itself")
            return Exit.OK
        facts = await until_there(target, id, within, f"{id} to serve again")
        told = {"id": id, "pos": facts.get("pos")}
    if target.json:
        say.json_line(told)
    else:
        say.word(f"{id} has another's state, up to entry {told['pos']}")
    return Exit.OK
