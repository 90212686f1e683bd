"""The figures of `/metrics` about the backups that a node makes by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tlru.node.backups import Record
from tlru.node.http.figure import CACHE, Figure, Read, Sample

if TYPE_CHECKING:
    from tlru.node.server import Node


def _backups(read: Callable[[Record], float | None]) -> Read:
    def of_each(node: Node) -> Iterator[Sample]:
        for cache, record in node.backups.records.items():
            value = read(record)
            if value is not None:
                yield (cache,), value

    return of_each


BACKUP_FIGURES = (
    Figure(
        "tlru_backups_total",
        "Backups that this node made by itself.",
        CACHE,
        _backups(lambda record: record.made),
        counter=True,
    ),
    Figure(
        "tlru_backup_failures_total",
        "Backups that it could not make.",
        CACHE,
        _backups(lambda record: record.failed),
        counter=True,
    ),
    Figure(
        "tlru_backup_time_seconds",
        "When the newest backup was made, in seconds since 1970.",
        CACHE,
        _backups(lambda record: record.newest_s),
    ),
    Figure(
        "tlru_backup_duration_seconds",
        "How long the newest backup took, with reading it back.",
        CACHE,
        _backups(lambda record: record.took_s),
    ),
)
