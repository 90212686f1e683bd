"""The flags of writes: times to live, conditions and revisions, as they are typed.

Decides how each is written on the command line. What a node would refuse for its form alone is
refused here, with the flag's name, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from tlru.cli.commands import Kinded
from tlru.config.numbers import Duration
from tlru.wire.limits import NUMBER_MAX, TTL_S_MAX, TTL_S_MIN

F = TypeVar("F", bound=Callable[..., Any])

Condition = Literal["absent", "present"] | int

_WORDS: dict[str, Literal["absent", "present"]] = {"absent": "absent", "present": "present"}

TTL = Kinded(Duration(TTL_S_MIN, float(TTL_S_MAX)))


def ttl_flag(help_text: str) -> Callable[[F], F]:
    """`--ttl`, for a command that says what it is there."""
    return click.option("--ttl", type=TTL, metavar="DURATION", default=None, help=help_text)


def condition(_ctx: click.Context, _flag: click.Parameter, text: str | None) -> Condition | None:
    """`--if`: absent, present, or the version that must be there."""
    if text is None:
        return None
    if (word := _WORDS.get(text.strip().lower())) is not None:
        return word
    if text.isascii() and text.isdecimal() and int(text) <= NUMBER_MAX:
        return int(text)
    raise click.BadParameter(f"found {text!r}, expected absent, present or a version (a number)")


def revision(_ctx: click.Context, _flag: click.Parameter, text: str | None) -> int | str | None:
    """`--rev`: a whole number where it is one, else a string. The two never compare."""
    if text is None:
        return None
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdecimal() and abs(int(text)) <= NUMBER_MAX:
        return int(text)
    return text
