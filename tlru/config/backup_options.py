"""The options of the backups that a node makes by itself.

Fields of `Config` (`settings.py`), in a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tlru.config.kinds import Directory
from tlru.config.numbers import Count, Duration
from tlru.config.options import Change, Section, option
from tlru.config.several import Maybe

_DAY = 86_400.0
_BACKUP = Section.BACKUP
_LIVE = Change.LIVE


@dataclass(frozen=True, kw_only=True)
class BackupOptions:
    """Where backups go, how often, and how many stay."""

    backup_dir: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(Directory()),
        None,
        _BACKUP,
        _LIVE,
        "Makes backups of every cache here, a disk of its own at best; without it none are made.",
        guesses=("backups", "backup", "snapshot_dir"),
    )
    backup_interval: float = option(
        Duration(1.0, 365 * _DAY),
        _DAY,
        _BACKUP,
        _LIVE,
        "So often a backup is made; the members of a cluster take turns within it.",
        guesses=("backup_every",),
    )
    backup_keep: int = option(
        Count(1, 10_000),
        7,
        _BACKUP,
        _LIVE,
        "So many backups of each cache stay; the oldest goes once a newer one is verified.",
        guesses=("backup_retention", "retention"),
    )
