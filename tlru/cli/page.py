"""The reference of all commands as text: what stands between the marks of docs/cli.md.

Decides how commands are laid out for reading. `python -m tlru.cli.page` writes the page anew; a
test compares it with what stands here, so it cannot drift from what `--help` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from tlru.cli.app import COMMANDS, app
from tlru.cli.commands import NO_BREAK, Command, Kinded
from tlru.cli.exits import Exit
from tlru.cli.target import SECTION as TARGET
from tlru.config.options import Section

BEGIN, END = "<!-- commands: begin -->", "<!-- commands: end -->"
PAGE = Path("docs/cli.md")

# Said once for all commands; the options of a node have a page of their own.
_SAID_ELSEWHERE = frozenset({TARGET, *map(str, Section)})


def markdown() -> str:
    """The exit statuses, then a section for each command."""
    ctx = click.Context(app, info_name="tlru")
    commands = [part for name, one in _commands(ctx) for part in _command(name, one)]
    return "\n".join([*_statuses(), *commands])


def filled(page: str) -> str:
    """The page with what stands between its two marks replaced by the reference of today."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    assert mark, f"the page has no {BEGIN} ... {END}"
    return f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}"


def _statuses() -> Iterator[str]:
    yield from ("### Exit statuses", "", "| status | name | meaning |", "| --- | --- | --- |")
    for one in Exit:
        yield f"| {int(one)} | `{one.name}` | {one.meaning} |"
    yield ""


def _commands(ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in (name for group in COMMANDS.values() for name in group):
        command = app.get_command(ctx, name)
        assert command is not None, f"{name} is in the table and has no module"
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", one) for inner, one in command.commands.items())
        else:
            yield name, command


def _command(name: str, command: click.Command) -> Iterator[str]:
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    usage = " ".join(["tlru", name, *(_metavar(one) for one in arguments)])
    yield from (f"### tlru {name}", "", f"`{usage}`", "")
    yield from (f"{' '.join(part.split())}\n" for part in (command.help or "").split("\n\n"))
    if isinstance(command, Command) and command.examples:
        yield from (*(f"    {line}" for line in command.examples), "")
    rows = [
        f"| `{_flag(one)}` | {_text(one.help or '')} |"
        for one in command.params
        if isinstance(one, click.Option) and getattr(one, "section", "") not in _SAID_ELSEWHERE
    ]
    if rows:
        yield from ("| option | meaning |", "| --- | --- |", *rows, "")


def _flag(one: click.Option) -> str:
    names = " / ".join([*one.opts, *one.secondary_opts])
    return names if one.is_flag else f"{names} {_metavar(one)}"


def _metavar(one: click.Parameter) -> str:
    """What stands for its value: what was said, else the kind's word, else its name."""
    if one.metavar is not None:
        return one.metavar
    return one.type.kind.metavar if isinstance(one.type, Kinded) else (one.name or "").upper()


def _text(words: str) -> str:
    return words.replace(NO_BREAK, " ").replace("|", "\\|").replace("*", "\\*")


def main() -> None:
    """Write the page anew; run from the top of the repository."""
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
