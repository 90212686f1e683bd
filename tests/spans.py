"""The spans that are made in this process, caught by OpenTelemetry's own exporter in memory."""

from __future__ import annotations

import functools
import itertools
from collections import Counter

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tlru.wire.traceparent import Parent

_numbers = itertools.count(0x1234)


class Caught:
    """The spans that were made."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self.exporter = exporter

    def of(self, parent: Parent) -> list[ReadableSpan]:
        """Those of one trace, in the order of their beginnings."""
        found = [
            s for s in self.exporter.get_finished_spans() if s.context.trace_id == parent.trace
        ]
        return sorted(found, key=lambda span: span.start_time or 0)

    def tree(self, parent: Parent) -> Counter[tuple[str, str, str]]:
        """How often which span of which node hangs from which other."""
        found = self.of(parent)
        names = {span.context.span_id: shown(span) for span in found}
        names[parent.span] = "client"
        return Counter(
            (*_name_and_node(span), names[span.parent.span_id])
            for span in found
            if span.parent is not None
        )


def _name_and_node(span: ReadableSpan) -> tuple[str, str]:
    assert span.attributes is not None
    return span.name.removeprefix("tlru."), str(span.attributes["tlru.node"])


def shown(span: ReadableSpan) -> str:
    """Its name, and of which node it is."""
    return " at ".join(_name_and_node(span))


def began(span: ReadableSpan) -> int:
    """When, in nanoseconds."""
    assert span.start_time is not None
    return span.start_time


def ended(span: ReadableSpan) -> int:
    """When, in nanoseconds."""
    assert span.end_time is not None
    return span.end_time


@functools.cache
def _exporter() -> InMemorySpanExporter:
    """What a program around a node may have: one provider of its own, for the whole process."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def spans_of_this_process() -> Caught:
    """What is caught from now on."""
    exporter = _exporter()
    exporter.clear()
    return Caught(exporter)


def a_parent(*, sampled: bool = True) -> Parent:
    """The context that a client sends."""
    return Parent(next(_numbers), next(_numbers), sampled)
