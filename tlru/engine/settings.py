"""Cluster settings: what every node must agree on, so it is changed by an entry of the log.

Pure. A node's own options (its address, its limits for clients) are elsewhere: they need not agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tlru.engine.client_limits import is_limits

DEFAULTS: Final[Mapping[str, Any]] = {
    "max_entries": None,  # None: no budget
    "max_bytes": 1 << 30,
    "limits": None,  # of the classes of clients; None: there are none
    "once_ms": 120_000,
    "tombstone_ms": 120_000,
}
_BUDGETS: Final = ("max_entries", "max_bytes")


def is_valid(name: object, value: object) -> bool:
    """Whether there is such a setting, and it can have that value."""
    if name == "limits":
        return is_limits(value)
    if name in _BUDGETS and value is None:
        return True
    return name in DEFAULTS and type(value) is int and value >= 0


def effective(current: Mapping[str, Any], changes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The settings after changes, each of which is valid."""
    return {**current, **dict(changes)}
