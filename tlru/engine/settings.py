"""Cluster settings: what every node must agree on, so it is changed by an entry of the log.

Pure. A node's own options (its address, its limits for clients) are elsewhere: they need not agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

DEFAULTS: Final[Mapping[str, Any]] = {
    "max_entries": None,  # None: no budget
    "max_bytes": 1 << 30,
    "once_ms": 120_000,
    "tombstone_ms": 120_000,
}


def effective(current: Mapping[str, Any], changes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The settings after changes. A name that this release does not know changes nothing."""
    settings = dict(current)
    for name, value in changes:
        if name in DEFAULTS:
            settings[name] = value
    return settings
