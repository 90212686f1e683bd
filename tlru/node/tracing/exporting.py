"""Where spans go: to the provider of the program around the node, or else to exporters of our own.

This module decides that, by the variables `OTEL_TRACES_EXPORTER` and `OTEL_EXPORTER_OTLP_PROTOCOL`;
all others are read by OpenTelemetry itself. Spans are sent in batches by a thread of its own, so no
write waits for a collector, and what a collector does not take is dropped there, within the bounds
that OpenTelemetry names (`OTEL_BSP_*`).
"""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from tlru import errors

_GROUP: Final = "opentelemetry_traces_exporter"  # under which packages name their exporters
_PROTOCOLS: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def provider(node: str) -> tuple[trace.TracerProvider, TracerProvider | None]:
    """Who makes spans, and the same again where it is ours to end. TlruError where an exporter is
    asked for that is not installed."""
    around = trace.get_tracer_provider()
    if isinstance(around, TracerProvider):
        return around, None
    resource = Resource.create()  # with what the environment says of this process
    if str(resource.attributes.get("service.name")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "tlru"}))
    if "service.instance.id=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        resource = resource.merge(Resource({"service.instance.id": node}))
    own = TracerProvider(resource=resource, shutdown_on_exit=False)
    for name in _exporters():
        own.add_span_processor(BatchSpanProcessor(_exporter(name)))
    return own, own


def _exporters() -> list[str]:
    wanted = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    names = [name.strip() for name in wanted.split(",")]
    return [name for name in names if name and name != "none"]


def _exporter(name: str) -> SpanExporter:
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL"
        )
        name = _PROTOCOLS.get(protocol or "http/protobuf", protocol or "")
    found = list(entry_points(group=_GROUP, name=name))
    if not found:
        raise errors.TlruError(
            f"tracing is on, but there is no exporter {name[:40]!r} of OpenTelemetry here: "
            "pip install 'tlru-cluster[otel]' brings otlp_proto_http; OTEL_TRACES_EXPORTER and "
            "OTEL_EXPORTER_OTLP_PROTOCOL say which one is wanted"
        )
    made: SpanExporter = found[0].load()()
    return made
