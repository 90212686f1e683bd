"""A collector of traces on loopback: it takes OTLP over HTTP, as protobuf, and keeps what came."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PROTOBUF = "application/x-protobuf"
BATCH_BYTES_MAX = 64 << 20


class Told(NamedTuple):
    """A span, as a collector sees it."""

    service: str
    node: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes


@dataclass
class Collector:
    """Takes OTLP over HTTP as a collector does, and keeps what came."""

    url: str = ""
    spans: list[Told] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """One batch."""
        assert request.content_type == PROTOBUF
        body = await request.read()  # aiohttp has unpacked it
        self.bodies.append(body)
        batch = ExportTraceServiceRequest.FromString(body)
        for resource in batch.resource_spans:
            about = _facts(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [
                    Told(
                        about["service.name"],
                        about.get("service.instance.id", ""),
                        span.name,
                        span.trace_id,
                        span.span_id,
                        span.parent_span_id,
                    )
                    for span in scope.spans
                ]
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type=PROTOBUF
        )

    def tree(self) -> Counter[tuple[str, str, str]]:
        """How often which span of whom hangs from which other."""
        names = {span.id: f"{span.name} of {span.node}" for span in self.spans}
        return Counter(
            (span.name, span.node, names.get(span.parent, "nothing")) for span in self.spans
        )


def _facts(attributes: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes}


@contextlib.asynccontextmanager
async def a_collector() -> AsyncIterator[Collector]:
    """One on a free port of loopback."""
    collector = Collector()
    app = web.Application(client_max_size=BATCH_BYTES_MAX)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()
