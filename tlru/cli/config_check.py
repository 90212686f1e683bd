"""`tlru config check`: say every mistake in a configuration file."""

from __future__ import annotations

import os
from typing import Any

import click

from tlru.cli import say
from tlru.cli.app import Session
from tlru.cli.commands import Command
from tlru.cli.exits import Exit
from tlru.config import ConfigError, resolve


@click.command(
    "check",
    cls=Command,
    examples=[
        "tlru config check node.toml",
        "TLRU_INSECURE=true tlru config check --env node.toml",
    ],
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--env", "with_env", is_flag=True, help="Read TLRU_ variables too, as serve does.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file.")
@click.pass_obj
def check(session: Session, /, files: tuple[str, ...], with_env: bool, as_json: bool) -> Exit:
    """Say every mistake in a configuration file.

    Each file is judged by itself, over the defaults. All its mistakes come at once, one a line,
    with line and key, what was found and what was expected.
    """
    session.json = as_json
    env = dict(os.environ) if with_env else {}
    results = [_check(file, env, as_json=as_json) for file in files]
    return Exit.OK if all(results) else Exit.CONFIG


def _check(file: str, env: dict[str, str], *, as_json: bool) -> bool:
    """Whether a node could run with the file; what is wrong is told."""
    notes: tuple[str, ...] = ()
    mistakes: list[dict[str, Any]] = []
    try:
        notes = resolve(file, env).notes
    except ConfigError as problem:
        mistakes = [mistake.as_object() for mistake in problem.mistakes]
        if not as_json:
            say.word(str(problem))
    if as_json:
        say.json_line({"file": file, "ok": not mistakes, "mistakes": mistakes, "notes": notes})
    else:
        for note in notes:
            say.word(note)
        if not mistakes:
            say.data(f"{file}: no mistakes")
    return not mistakes
