"""Waiting for what a node does by itself and in its own time.

Decides how often it is looked, and what is said when it takes too long: then nothing has failed, it
only has not come to be yet.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from tlru.cli import say
from tlru.cli.commands import NO_BREAK, Kinded
from tlru.cli.over_http import Facts, ask, node_path
from tlru.cli.target import Target
from tlru.config.numbers import Duration
from tlru.errors import Timeout, TlruError, Unavailable

LOOK_S: Final = 0.2
WITHIN_S: Final = 60.0
WITHIN_S_MAX: Final = 86_400.0


def waiting_flags(*, no_wait: bool = True) -> Callable[[Any], Any]:  # Any: click's decorators
    """The flags of a command that waits."""

    def flags(command: Any) -> Any:
        command = click.option(
            "--within",
            type=Kinded(Duration(0.1, WITHIN_S_MAX)),
            default=WITHIN_S,
            help=f"For how long to wait. [default:{NO_BREAK}1m]",
        )(command)
        if no_wait:
            command = click.option("--no-wait", is_flag=True, help="Do not wait until it is done.")(
                command
            )
        return command

    return flags


async def until_there(
    target: Target,
    id: str,
    within_s: float,
    what: str,
    holds: Callable[[Facts], bool] = lambda facts: True,
) -> Facts:
    """Wait until a node serves, and what is asked of it holds. Timeout where that takes longer."""
    if sys.stderr.isatty() and not target.json:
        say.word(f"waiting for {what}")
    seen = "nothing is known of it"
    clock = asyncio.get_running_loop().time
    until = clock() + within_s
    while clock() < until:
        try:
            facts = await ask(target, "GET", node_path(id))
            if facts["status"] == "active" and holds(facts):
                return facts
            seen = f"it is {facts['status']}"
        except Unavailable as problem:
            seen = str(problem)
        except TlruError as problem:
            if problem.code != "not_found":
                raise
            seen = "it is no member yet"
        await asyncio.sleep(LOOK_S)
    raise Timeout(f"waited {within_s:g} s for {what}, and {seen}; it may yet come to be")
