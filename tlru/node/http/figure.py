"""What a figure of `/metrics` is. Which there are stands in `figures.py` and its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from tlru.node.service import CacheService

if TYPE_CHECKING:
    from tlru.node.server import Node

Sample = tuple[tuple[str, ...], float]
Read = Callable[["Node"], Iterable[Sample]]

CACHE = ("cache",)


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric: what it is called, what it says, and where it is read."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Read
    counter: bool = False

    @property
    def type(self) -> str:
        """What Prometheus calls its kind."""
        return "counter" if self.counter else "gauge"

    def family(self, node: Node) -> Metric:
        """As it stands now."""
        kind = CounterMetricFamily if self.counter else GaugeMetricFamily
        family = kind(self.name, self.help, labels=self.labels)
        for labels, value in self.read(node):
            family.add_metric(labels, value)
        return family


def of_node(read: Callable[[Node], float]) -> Read:
    """One sample, without labels."""
    return lambda node: [((), read(node))]


def of_cache(read: Callable[[CacheService], float | None]) -> Read:
    """One for each cache that has it."""

    def samples(node: Node) -> Iterator[Sample]:
        for name, service in node.services.items():
            if (value := read(service)) is not None:
                yield (name,), value

    return samples
