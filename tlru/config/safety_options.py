"""The options that decide who may come, and how many.

Fields of `Config` (`settings.py`), in a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from tlru.config.kinds import Switch
from tlru.config.numbers import Count
from tlru.config.options import Change, Section, option

_SAFETY = Section.SAFETY
_LIVE = Change.LIVE


@dataclass(frozen=True, kw_only=True)
class SafetyOptions:
    """Who may come, and how many."""

    insecure: bool = option(
        Switch(),
        False,
        _SAFETY,
        _LIVE,
        "Lets a node without authentication listen where other machines can reach it.",
    )
    connections: int = option(
        Count(1, 1_000_000),
        10_000,
        _SAFETY,
        _LIVE,
        "How many clients may be connected at once; further ones are turned away.",
        guesses=("max_connections", "clients", "max_clients"),
    )
