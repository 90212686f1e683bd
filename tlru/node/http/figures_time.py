"""The histograms of `/metrics`: how long things take on this node.

This module decides their names; what is one measurement, `tlru/node/latency.py` decides. A label's
series appears with its first measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from prometheus_client.metrics_core import HistogramMetricFamily, Metric

from tlru.node.latency import Spread
from tlru.node.pauses import PAUSES

if TYPE_CHECKING:
    from tlru.node.server import Node

Measured = tuple[tuple[str, ...], Spread]


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram: what it is called, what it says, and where it is read."""

    type: ClassVar[str] = "histogram"

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Node], Iterable[Measured]]

    def family(self, node: Node) -> Metric:
        """As it stands now."""
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, spread in self.read(node):
            family.add_metric(labels, spread.buckets(), spread.seconds)
        return family


def _operations(node: Node) -> Iterator[Measured]:
    yield from sorted(node.rates.latency.operations.items(), key=lambda each: each[0])


def _commits(node: Node) -> Iterator[Measured]:
    for name, service in node.services.items():
        yield (name,), service.measure.commits


def _loop(node: Node) -> Iterator[Measured]:
    yield (), node.rates.latency.loop


def _pauses(node: Node) -> Iterator[Measured]:
    for generation, spread in enumerate(PAUSES.spreads):
        yield (str(generation),), spread


HISTOGRAMS = (
    Histogram(
        "tlru_operation_seconds",
        "From an operation's coming to its answer, by operation and class of the client.",
        ("op", "class"),
        _operations,
    ),
    Histogram(
        "tlru_commit_seconds",
        "From proposing an entry on this node to its being committed and applied here.",
        ("cache",),
        _commits,
    ),
    Histogram(
        "tlru_loop_late_seconds",
        "By how much the event loop was late, looked at four times a second.",
        (),
        _loop,
    ),
    Histogram(
        "tlru_gc_pause_seconds",
        "How long the garbage collector stopped the process, by generation.",
        ("generation",),
        _pauses,
    ),
)
