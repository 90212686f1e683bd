"""`tlru node rebalance | revive`: what concerns a whole cluster."""

from __future__ import annotations

import sys

import click

from tlru.cli import say, tables
from tlru.cli.commands import NO_BREAK, Command, Kinded
from tlru.cli.exits import Exit
from tlru.cli.over_http import Facts, ask, node_path
from tlru.cli.target import Target, client_command
from tlru.config.numbers import Duration


@click.command(
    "rebalance",
    cls=Command,
    examples=["tlru node rebalance", "tlru node rebalance --spread 1m"],
)
@click.option(
    "--spread",
    type=Kinded(Duration(0.0, 3_600.0)),
    default=10.0,
    help=f"Clients leave one after another within so long. [default:{NO_BREAK}10s]",
)
@client_command
async def rebalance(target: Target, /, spread: float) -> Exit:
    """Spread the clients evenly over the nodes.

    Nodes that have more than their share ask some of their clients to go to the others; each of
    those leaves at a moment of its own, and loses nothing. Clients that prefer a node, or do not
    know how to leave, stay.
    """
    told = await ask(target, "POST", "/v1/rebalance", {"within": spread}, waits=True)
    if target.json:
        say.json_line(told)
        return Exit.OK
    asked = told["asked"]
    rows = [[id, f"{n:,}", f"{asked.get(id, 0):,}"] for id, n in sorted(told["clients"].items())]
    tables.show(["id", "clients", "asked to leave"], rows, right={"clients", "asked to leave"})
    return Exit.OK


@click.command(
    "revive",
    cls=Command,
    short_help="Go on with some where a majority is gone.",
    examples=[
        "tlru node revive n1 --server cache-1:8400",
        "tlru node revive n1 n2 --yes --server cache-1:8400",
    ],
)
@click.argument("members", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask whether this is meant.")
@client_command
async def revive(target: Target, /, members: tuple[str, ...], yes: bool) -> Exit:
    """Go on with MEMBERS alone, where a majority of a cluster is gone for good.

    The node that is asked (--server) is one of them, and the cluster goes on with what it has: ask
    the one that has come farthest. What the others had acknowledged and it lacks is lost, clients
    forget their positions, and who is left out stays out with what it has kept. Never do this while
    the others may still run somewhere: then two clusters would go on.
    """
    if len(target.servers) != 1:
        raise click.UsageError("name one --server: the node whose state is to go on")
    facts = await ask(target, "GET", "/v1/status")
    me = str(facts["node"])
    if me not in members:
        raise click.UsageError(f"{me}, which is asked, has to be among those who go on")
    if not yes and not await _is_meant(target, facts, members):
        say.word("nothing was done")
        return Exit.REFUSED
    told = await ask(
        target, "POST", node_path(me, "/revive"), {"members": list(members)}, waits=True
    )
    if target.json:
        say.json_line(told)
    else:
        say.word(f"{me} goes on with {', '.join(members)} in epoch {told['epoch']}")
    return Exit.OK


async def _is_meant(target: Target, facts: Facts, members: tuple[str, ...]) -> bool:
    """Show what may be lost, and ask."""
    rows = (await ask(target, "GET", "/v1/nodes"))["nodes"]
    out = [row for row in rows if row["id"] not in members]
    say.word(f"{facts['node']} has entries up to {facts['pos']}, in epoch {facts['epoch']}")
    for row in out:
        since = row.get("silent_s")
        silent = "" if since is None else f", and nothing was heard of it for {since:.0f} s"
        say.word(f"{row['id']} is left out for good: it is {row['status']}{silent}")
    say.word("whatever was acknowledged and is not there is lost")
    if not sys.stdin.isatty():
        raise click.UsageError("say --yes where nobody can be asked")
    return click.confirm("Go on without them?", default=False, err=True)
