"""The options that decide what a node tells of its work, beside its ordinary log.

Fields of `Config` (`settings.py`), in a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tlru.config.kinds import File
from tlru.config.numbers import Duration
from tlru.config.options import Change, Section, option
from tlru.config.several import Maybe

_RUNNING = Section.RUNNING
_LIVE = Change.LIVE


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """What is told of slow operations, and of what admins do."""

    slow_op: float = option(
        Duration(0.0, 3_600.0),
        0.5,
        _RUNNING,
        _LIVE,
        "Operations that take so long or longer are logged, without their keys and values; 0 logs "
        "none.",
        guesses=("slow", "slow_ms", "slowlog", "slow_log"),
    )
    audit_file: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        _RUNNING,
        _LIVE,
        "A file to which a line is appended for each thing that an admin does; it is opened again "
        "when the node reloads, so that it can be rotated.",
        guesses=("audit", "audit_log", "auditlog"),
    )
