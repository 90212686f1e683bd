"""`/metrics`: what a node counts and measures, as Prometheus reads it.

This module decides how it is gathered; the figures themselves stand in `figures.py`. Nothing is
kept for it but plain counters: every figure is read when somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    exposition,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tlru.engine.events import Event
from tlru.node.http.answers import Answer
from tlru.node.http.figures import FIGURES
from tlru.node.http.request import Request
from tlru.node.pauses import PAUSES

if TYPE_CHECKING:
    from tlru.node.server import Node


class Metrics(Collector):
    """What one node measures, in a registry of its own."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.events: dict[str, Counter[str]] = {}
        for name, service in node.services.items():
            service.listen(self._counting(name))
        PAUSES.listen()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def _counting(self, cache: str) -> Callable[[Sequence[Event]], None]:
        counts = self.events[cache] = Counter()

        def listen(events: Sequence[Event]) -> None:
            if len(events) == 1:  # as with most writes that come alone
                counts[events[0].type] += 1
            else:
                counts.update(event.type for event in events)

        return listen

    def collect(self) -> Iterator[Metric]:
        """Every figure, as it stands now."""
        for figure in FIGURES:
            yield figure.family(self._node)

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are known, and no figure is read before somebody asks."""
        return iter(())

    def text(self, accept: str) -> tuple[bytes, str]:
        """All of it in the format that `accept` prefers, and that format's content type."""
        encoder, content_type = exposition.choose_encoder(accept)
        return encoder(self._registry), content_type


async def metrics(request: Request) -> Answer:
    """What the node measures."""
    request.only()
    body, content_type = request.node.http.metrics.text(request.header_list("Accept") or "")
    return Answer(200, body, content_type)
