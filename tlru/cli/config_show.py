"""`tlru config show`: what a node would run with, and where each value comes from."""

from __future__ import annotations

from typing import Any

import click

from tlru.cli import say
from tlru.cli.app import Session
from tlru.cli.commands import Command
from tlru.cli.exits import Exit
from tlru.cli.node_flags import given, node_flags
from tlru.config import OPTIONS, Resolved, resolve
from tlru.config import page as pages
from tlru.config.options import Option

HIDDEN = "(hidden)"


@click.command(
    "show",
    cls=Command,
    examples=[
        "tlru config show",
        "tlru config show --config node.toml --zone a",
        "tlru config show --toml > node.toml",
        "tlru config show --json | jq .max_bytes.value",
    ],
)
@click.option("--toml", "as_toml", is_flag=True, help="A TOML file that says the same.")
@click.option("--with-secrets", is_flag=True, help="Write secrets too, with --toml.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with where each is from.")
@node_flags
@click.pass_obj
def show(
    session: Session,
    /,
    file: Any,
    as_toml: bool,
    with_secrets: bool,
    as_json: bool,
    **flags: Any,
) -> Exit:
    """Show what a node would run with, and where each value comes from.

    Takes the flags of `tlru serve` and reads the same file and variables, but starts nothing. Of a
    secret it shows only that there is one: with --toml a comment stands in its place, unless it is
    asked for.
    """
    session.json = as_json
    resolved = resolve(file, None, given(flags))
    for note in resolved.notes:
        say.word(note)
    if as_json:
        say.json_line(_as_object(resolved))
    elif as_toml:
        say.data(pages.toml(resolved.config, secrets=with_secrets).rstrip())
    else:
        _table(resolved)
    return Exit.OK


def _as_object(resolved: Resolved) -> dict[str, Any]:
    return {
        one.name: {
            "value": HIDDEN if one.kind.hidden else _plain(getattr(resolved.config, one.name)),
            "shown": _shown(one, getattr(resolved.config, one.name)),
            "from": str(resolved.origins[one.name].kind),
            "where": str(resolved.origins[one.name]),
            "change": str(one.spec.change),
        }
        for one in OPTIONS
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it: sizes in bytes, durations in seconds."""
    plain = value is None or isinstance(value, (bool, int, float, str, dict, tuple))
    return value if plain else str(value)


def _table(resolved: Resolved) -> None:
    from tlru.cli import tables

    rows = []
    for one in OPTIONS:
        origin = str(resolved.origins[one.name])
        shown = _shown(one, getattr(resolved.config, one.name))
        rows.append([one.name, shown, "" if origin == "default" else origin])
    tables.show(["option", "value", "from"], rows)


def _shown(one: Option, value: Any) -> str:
    """The value as text; of a secret only whether there is one."""
    if one.kind.hidden:
        return HIDDEN if value else ""
    return one.kind.show(value)
