"""The options that say how much is too much for a node.

Fields of `Config` (`settings.py`), in a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from tlru.config.numbers import Count, Size
from tlru.config.options import Change, Section, option
from tlru.config.several import Maybe

_MIB = 1 << 20
_SAFETY = Section.SAFETY
_LIVE = Change.LIVE


@dataclass(frozen=True, kw_only=True)
class StrainOptions:
    """Near these, clients of the lesser classes are refused."""

    memory_max: int | None = option(
        Maybe(Size(64 * _MIB, 1 << 50)),
        None,
        _SAFETY,
        _LIVE,
        "How much memory the process may have; near it, clients of lesser classes are refused.",
    )
    backlog_max: int = option(
        Count(100, 100_000_000),
        100_000,
        _SAFETY,
        _LIVE,
        "How many writes may wait to be committed; near it, clients of lesser classes are refused.",
    )
    connections_per_address: int | None = option(
        Maybe(Count(1, 1_000_000)),
        None,
        _SAFETY,
        _LIVE,
        "How many connections one address may have; where it is not said, half of `connections`, "
        "or any number from this machine. Behind a proxy all clients have one address.",
    )
