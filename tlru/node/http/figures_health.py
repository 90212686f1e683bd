"""The figures of `/metrics` about the background check of a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tlru.node.http.figure import Figure, Sample

if TYPE_CHECKING:
    from tlru.node.server import Node


def _checks(node: Node) -> Iterator[Sample]:
    for name, check in node.health.ready()[1]["checks"].items():
        yield (name,), check["ok"]


def _disk_free(node: Node) -> Iterator[Sample]:
    room = node.health.ready()[1]["checks"].get("disk_room", {})
    if (free := room.get("free_bytes")) is not None:
        yield (), free


HEALTH_FIGURES = (
    Figure(
        "tlru_check_ok",
        "1 where a check of `/health/ready` went well, else 0; by its name.",
        ("check",),
        _checks,
    ),
    Figure(
        "tlru_disk_free_bytes",
        "Room that is left on the disk of the data directory.",
        (),
        _disk_free,
    ),
)
