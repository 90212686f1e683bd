"""The figures of `/metrics` about limits and overload: who was refused, and what is let in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tlru.node.http.figure import Figure, Sample

if TYPE_CHECKING:
    from tlru.node.server import Node


def _refused(node: Node) -> Iterator[Sample]:
    for name, service in node.services.items():
        for (client_class, reason), count in sorted(service.guard.refused.items()):
            yield (name, client_class, reason), count


def _admitted(node: Node) -> Iterator[Sample]:
    for rank, share in enumerate(node.strain.overload.shares):
        yield (str(rank),), share


LIMIT_FIGURES: tuple[Figure, ...] = (
    Figure(
        "tlru_refused_total",
        "Requests and connections that limits or overload refused, by class and reason.",
        ("cache", "class", "reason"),
        _refused,
        counter=True,
    ),
    Figure(
        "tlru_admitted_share",
        "Of the requests of a rank, how many overload lets in; 1 is all.",
        ("rank",),
        _admitted,
    ),
)
