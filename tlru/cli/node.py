"""`tlru node`: who belongs to a cluster, and what its nodes are told to do."""

from __future__ import annotations

import click

from tlru.cli import node_backup, node_list, node_tell, node_who, node_whole
from tlru.cli.commands import SETTINGS, Group, show_help_if_alone


@click.group("node", cls=Group, context_settings=SETTINGS, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, add, change and remove the nodes of a cluster, and tell them what to do.

    Any node can be asked: what changes the cluster goes to the one that leads, and what is about
    one node goes to that node.
    """
    show_help_if_alone(ctx)


for one in (
    node_list.listing,
    node_who.add,
    node_who.change,
    node_who.remove,
    node_who.lead,
    node_tell.reload,
    node_tell.restart,
    node_whole.rebalance,
    node_backup.snapshot,
    node_tell.restore,
    node_whole.revive,
):
    command.add_command(one)
