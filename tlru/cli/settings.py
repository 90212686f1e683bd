"""`tlru settings`: what all nodes of a cluster go by."""

from __future__ import annotations

from typing import Any, Final

import click

from tlru.cli import say, tables
from tlru.cli.commands import Command
from tlru.cli.exits import Exit
from tlru.cli.over_http import Facts, ask
from tlru.cli.target import Target, client_command
from tlru.config import show_duration, show_size
from tlru.config.kinds import Kind
from tlru.config.mistakes import WrongValueError
from tlru.config.numbers import Count, Duration, Size
from tlru.config.several import NONE, Maybe

_DAY: Final = 86_400.0
_KINDS: Final[dict[str, tuple[Kind[Any], str]]] = {  # Any: of several types
    "max_bytes": (Maybe(Size(1, 1 << 50)), "how much a cache may hold"),
    "max_entries": (Maybe(Count(1, 1_000_000_000_000)), "how many items a cache may hold"),
    "once_ms": (Duration(1.0, _DAY), "how long the result of a write that may be repeated is kept"),
    "tombstone_ms": (Duration(1.0, _DAY), "how long a deleted key remembers its revision"),
}
_LIMITS: Final = "limits"  # a text that the node judges
_MEANINGS: Final = {
    _LIMITS: "what each class of clients may take",
    **{name: meaning for name, (_, meaning) in _KINDS.items()},
}


@click.command(
    "settings",
    cls=Command,
    examples=[
        "tlru settings",
        "tlru settings set max_bytes=2GiB",
        "tlru settings set 'limits=bulk: operations=1000 open=50; critical: share=80'",
        "tlru settings set max_entries=none once_ms=5m",
        "tlru settings --json | jq .settings.max_bytes",
    ],
)
@click.argument("act", type=click.Choice(["set"]), required=False, metavar="[set]")
@click.argument("changes", nargs=-1, metavar="[NAME=VALUE]...")
@client_command
async def command(target: Target, /, act: str | None, changes: tuple[str, ...]) -> Exit:
    """Show what all nodes of a cluster go by, or change it, on all of them at once.

    A budget takes effect at once: what is over it goes. Sizes may have units (512MiB) and times too
    (2m); none is no bound. The configuration of the nodes counts when a cluster is founded, and
    where a node reloads one that says another value than before; a node that is alone goes by its
    configuration whenever it starts.
    """
    if act is None:
        told = await ask(target, "GET", "/v1/settings")
    else:
        told = await ask(target, "PATCH", "/v1/settings", _read(changes), waits=True)
    if target.json:
        say.json_line(told)
        return Exit.OK
    found = sorted(told["settings"].items())
    tables.show(
        ["setting", "value", "meaning"],
        [[name, _shown(name, value), _MEANINGS.get(name, "")] for name, value in found],
    )
    return Exit.OK


def _read(changes: tuple[str, ...]) -> Facts:
    given: Facts = {}
    for one in changes:
        name, equals, text = one.partition("=")
        if not equals or name not in _MEANINGS:
            known = ", ".join(_MEANINGS)
            raise click.UsageError(f"{one!r} is no NAME=VALUE; the settings are {known}")
        if name == _LIMITS:
            given[name] = None if text == NONE else text
            continue
        try:
            value = _KINDS[name][0].from_text(text)
        except WrongValueError as problem:
            raise click.UsageError(f"{name}: {problem}") from problem
        given[name] = round(value * 1000) if name.endswith("_ms") else value
    if not given:
        raise click.UsageError("name what is to be set, as in max_bytes=2GiB")
    return given


def _shown(name: str, value: Any) -> str:  # Any: what a node says
    if value is None:
        return NONE
    if name.endswith("_ms"):
        return show_duration(value / 1000)
    if isinstance(value, str):
        return value
    return show_size(value) if name.endswith("_bytes") else f"{value:,}"
