"""`tlru config`: the two commands about configurations."""

from __future__ import annotations

import click

from tlru.cli.commands import SETTINGS, Group, show_help_if_alone
from tlru.cli.config_check import check
from tlru.cli.config_show import show


@click.group("config", cls=Group, context_settings=SETTINGS, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Check a configuration, or show what a node would run with."""
    show_help_if_alone(ctx)


command.add_command(check)
command.add_command(show)
