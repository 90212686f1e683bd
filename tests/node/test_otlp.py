"""One write's spans as a collector gets them: from the program, the node that took it, and the one
that led, each a process of its own that exports by OTLP over HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
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


HASTY = """
import sys
from tlru.cli import main
from tlru.node.tracing import tracing

tracing.SEND_WITHIN_S = 0.3
sys.exit(main())
"""


def test_a_collector_that_never_answers_holds_up_no_write_and_no_stop() -> None:
    """The exporter tries for ten seconds each time; the process does not wait for that."""

    async def scenario() -> None:
        taken: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(lambda _, w: taken.add(w), "127.0.0.1", 0)
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "10",
            "NO_PROXY": "127.0.0.1",
        }
        node = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HASTY, "serve", "--json", "--tracing"),
            *("--listen", "127.0.0.1:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **env},
        )
        try:
            assert node.stdout is not None
            url = json.loads(await node.stdout.readline())["url"]
            async with tlru.connect(url, timeout=5) as cache:
                with (
                    TracerProvider(shutdown_on_exit=False)
                    .get_tracer("t")
                    .start_as_current_span("s")
                ):
                    async with tlru.connect(url, tracing=True, timeout=5) as traced:
                        await traced.set("a", 1)
                await until(lambda: taken)
                began = time.monotonic()
                await cache.incr("n")
                assert time.monotonic() - began < 1
            began = time.monotonic()
            node.terminate()
            _, said = await node.communicate()
            assert time.monotonic() - began < 5, said.decode()
            assert b"the last spans could not be sent within 0.3 s" in said
            assert node.returncode == 0
        finally:
            if node.returncode is None:
                node.kill()
                await node.wait()
            for writer in taken:
                writer.close()
            server.close()
            await server.wait_closed()

    run(scenario())
