"""The flags of a node, made from the table of options.

Decides how an option becomes a flag: its name, its place in the help, what is shown of its default.
Judges no value: flags hand on the text as it was typed, so that `tlru.config` can tell the mistakes
of all sources together.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tlru.cli.commands import NO_BREAK, Flag
from tlru.config.kinds import Choice, Switch
from tlru.config.options import ENV_PREFIX, Option
from tlru.config.settings import OPTIONS

F = TypeVar("F", bound=Callable[..., Any])


def node_flags(command: F) -> F:
    """Give a command `--config` and a flag for every option of a node."""
    for one in reversed(OPTIONS):
        command = _flag(one)(command)
    return click.option(
        "--config",
        "file",
        cls=Flag,
        section="Configuration file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        envvar=f"{ENV_PREFIX}CONFIG",
        help="A TOML file with any of the options below; variables and flags weigh more. "
        f"[env:{NO_BREAK}{ENV_PREFIX}CONFIG]",
    )(command)


def given(flags: dict[str, Any]) -> dict[str, object]:
    """The flags that were on the command line, by the names of their options."""
    return {name: value for name, value in flags.items() if value is not None and value != ()}


def _flag(one: Option) -> Callable[[F], F]:
    default = one.shown_default()
    shown = one.spec.help
    if isinstance(one.kind, Choice):
        shown += f" One of {one.kind.expected}."
    if default:
        shown += f" [default:{NO_BREAK}{default}]"
    if isinstance(one.kind, Switch):
        return click.option(
            f"{one.flag}/--no-{one.flag.removeprefix('--')}",
            one.name,
            cls=Flag,
            section=str(one.spec.section),
            default=None,
            help=shown,
        )
    return click.option(
        one.flag,
        one.name,
        cls=Flag,
        section=str(one.spec.section),
        metavar=one.kind.metavar,
        multiple=one.kind.many,
        default=None,
        help=shown,
    )
