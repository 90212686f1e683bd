"""One write's spans as a collector gets them: from the program, the node that took it, and the one
that led, each a process of its own that exports by OTLP over HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import tlru
from tests.collecting import Collector, a_collector
from tests.integration.processes import processes
from tests.running import run, until

SECRETS = ("marker-of-a-key", "marker-of-a-value")


@contextlib.asynccontextmanager
async def a_program(collector: Collector) -> AsyncIterator[TracerProvider]:
    """The tracing of a program of its own, as its author would set it up."""
    about = Resource({"service.name": "shop", "service.instance.id": "program"})
    provider = TracerProvider(resource=about, shutdown_on_exit=False)
    session = requests.Session()  # the exporter closes none, its own neither
    exporter = OTLPSpanExporter(f"{collector.url}/v1/traces", session=session)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
    try:
        yield provider
    finally:
        await asyncio.to_thread(provider.shutdown)
        session.close()


def test_a_collector_sees_one_write_as_one_trace_of_program_follower_and_leader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    key, value = SECRETS

    async def scenario() -> None:
        async with a_collector() as collector, a_program(collector) as provider:
            env = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_BSP_SCHEDULE_DELAY": "50",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            }
            cluster = processes(
                tmp_path,
                *("n1", "n2"),
                flags=["--tracing"],
                env={"n1": env, "n2": env},
            )
            async with cluster as nodes:
                await nodes.until_led_by(nodes.nodes["n1"])
                async with tlru.connect(nodes.nodes["n2"].url, tracing=True, timeout=10) as cache:
                    await cache.set("before", 1)  # where nothing is current, nothing is told
                    assert (await cache.status())["node"] == "n2"
                    with provider.get_tracer("shop").start_as_current_span("checkout"):
                        await cache.set(key, value, ack="all")
                    await until(lambda: len(collector.spans) >= 8)
            assert {span.trace for span in collector.spans} == {collector.spans[0].trace}
            assert collector.tree() == Counter(
                [
                    ("checkout", "program", "nothing"),
                    ("tlru.set", "n2", "checkout of program"),
                    ("tlru.take_in", "n2", "tlru.set of n2"),
                    ("tlru.forward", "n2", "tlru.set of n2"),
                    ("tlru.order", "n1", "tlru.forward of n2"),
                    ("tlru.apply", "n1", "tlru.forward of n2"),
                    ("tlru.apply", "n2", "tlru.set of n2"),
                    ("tlru.answer", "n2", "tlru.set of n2"),
                ]
            )
            assert {span.service for span in collector.spans} == {"shop", "tlru"}
            everything = b"".join(collector.bodies)
            assert [secret for secret in SECRETS if secret.encode() in everything] == []

    run(scenario())
