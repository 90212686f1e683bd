"""The spans of writes: made by real nodes, caught by OpenTelemetry's own exporter in memory."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from tests.node.clusters import three
from tests.node.http.visiting import document, visit
from tests.running import Talker, a_node, run, talking, until
from tests.spans import Caught, a_parent, began, ended, shown, spans_of_this_process
from tlru import errors
from tlru.node.tracing import exporting, spans
from tlru.wire.traceparent import Parent, parse

SECRETS = ("marker-of-a-key", "marker-of-a-value", "marker-of-a-token")
KEY, VALUE, TOKEN = SECRETS


@pytest.fixture
def caught() -> Caught:
    return spans_of_this_process()


async def asked(client: Talker, op: str, **fields: Any) -> Any:
    """The reply to one request; members of a cluster that is young tell of servers in between."""
    await client.send({"id": 1, "op": op, **fields})
    return await answer(client)


async def answer(client: Talker) -> Any:
    """The next reply."""
    while "push" in (message := await client.receive()):
        pass
    return message


ALONE = Counter(
    [
        ("set", "n1", "client"),
        ("take_in", "n1", "set at n1"),
        ("order", "n1", "set at n1"),
        ("apply", "n1", "set at n1"),
        ("answer", "n1", "set at n1"),
    ]
)


def test_a_write_to_one_node_is_told_step_by_step(caught: Caught) -> None:
    async def scenario() -> None:
        over_http, over_websocket = a_parent(), a_parent()
        async with a_node(tracing=True) as node:
            path = f"/v1/keys/{KEY}"
            said = {"traceparent": str(over_http), "Authorization": f"Bearer {TOKEN}"}
            assert (await visit(node, "PUT", path, json=VALUE, headers=said)).status == 201
            async with talking(node) as client:
                reply = await client.ask("set", key=KEY, value=VALUE, trace=str(over_websocket))
                assert reply["ok"], reply
                assert "trace" in (await client.ask("hello"))["features"]
        for parent in (over_http, over_websocket):
            assert caught.tree(parent) == ALONE
            *steps, root = sorted(caught.of(parent), key=lambda span: span.end_time or 0)
            assert root.name == "tlru.set"
            for span in steps:
                assert began(span) >= began(root)
            names = [span.name for span in caught.of(parent)]
            assert names[2:] == ["tlru.order", "tlru.apply", "tlru.answer"]

    run(scenario())
    secret_free(caught)


def secret_free(caught: Caught) -> None:
    """Nothing of what clients keep or know stands in a span."""
    told = "".join(span.to_json() for span in caught.exporter.get_finished_spans())
    assert told
    assert [secret for secret in SECRETS if secret in told] == []


def test_a_write_by_way_of_a_follower_is_one_trace_on_all_nodes(caught: Caught) -> None:
    async def scenario() -> None:
        parent = a_parent()
        async with three(tracing=True) as nodes:
            leader = nodes.leader()
            assert leader is not None
            taker, third = sorted({"n1", "n2", "n3"} - {leader})
            async with talking(nodes[taker]) as client:
                reply = await asked(
                    client, "set", key=KEY, value=VALUE, trace=str(parent), ack="all"
                )
                assert reply["ok"], reply
            await until(lambda: len(caught.of(parent)) >= 8)
            tree = caught.tree(parent)
        assert tree == Counter(
            [
                ("set", taker, "client"),
                ("take_in", taker, f"set at {taker}"),
                ("forward", taker, f"set at {taker}"),
                ("order", leader, f"forward at {taker}"),
                ("apply", leader, f"forward at {taker}"),
                ("apply", third, f"forward at {taker}"),
                ("apply", taker, f"set at {taker}"),
                ("answer", taker, f"set at {taker}"),
            ]
        )
        places = {
            (span.attributes or {}).get("tlru.index")
            for span in caught.of(parent)
            if span.name in ("tlru.order", "tlru.apply", "tlru.forward")
        }
        assert places == {reply["version"]}
        by_name = {shown(span): span for span in caught.of(parent)}
        order, forward = by_name[f"order at {leader}"], by_name[f"forward at {taker}"]
        assert began(forward) <= began(order) <= ended(order) <= ended(forward)

    run(scenario())
    secret_free(caught)


def test_sets_that_come_together_stay_one_operation(caught: Caught) -> None:
    """Each has spans of its own; with the others they have one place in the log."""

    async def scenario() -> None:
        parents = [a_parent() for _ in range(5)]
        async with three(tracing=True) as nodes:
            leader = nodes.leader()
            assert leader is not None
            async with talking(nodes[leader]) as client:
                await client.send(*a_set_each(client, [str(parent) for parent in parents]))
                versions = {(await answer(client))["version"] for _ in parents}
            assert len(versions) == 1
            await until(lambda: all(len(caught.of(parent)) >= 7 for parent in parents))
            others = sorted({"n1", "n2", "n3"} - {leader})
            for parent in parents:
                tree = caught.tree(parent)
                assert [tree["apply", other, f"order at {leader}"] for other in others] == [1, 1]

    run(scenario())


def a_set_each(client: Talker, traces: list[str]) -> list[dict[str, object]]:
    """Plain sets of different keys."""
    return [
        {"id": n, "op": "set", "key": f"k{n}", "value": client.value(n), "trace": text}
        for n, text in enumerate(traces)
    ]


def test_what_is_not_recorded_costs_no_span_and_no_batch(caught: Caught) -> None:
    async def scenario() -> None:
        unsampled = str(a_parent(sampled=False))
        async with a_node(tracing=True) as node:
            async with talking(node) as client:
                await client.send(*a_set_each(client, [unsampled] * 5))
                versions = {(await client.receive())["version"] for _ in range(5)}
                assert len(versions) == 1
                assert (await client.ask("set", key="plain", value=1))["ok"]
            for text in (unsampled, "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
                said = {"traceparent": text}
                answer = await visit(node, "PUT", "/v1/keys/a", json=1, headers=said)
                assert answer.status in (200, 201)
        assert caught.exporter.get_finished_spans() == ()

    run(scenario())


CHANGES = [
    (path, method)
    for path, methods in document()["paths"].items()
    for method in methods
    if method != "get"
]
WANTED = {
    "/v1/keys": "?key=a",
    "/v1/keys/incr": "?key=a",
    "/cache": "?key=a&value=b",
}
BODIES: dict[str, object] = {
    "/v1/batch": [{"op": "set", "key": "a", "value": 1}],
    "/v1/command": {"command": "SET", "attributes": {"key": "a", "value": 1}},
    "/v1/ticket": {"pattern": "*"},
}


def test_the_header_is_described_if_and_only_if_it_is_read(caught: Caught) -> None:
    """Of all requests that change something, those that write to a cache."""

    async def scenario() -> None:
        async with a_node(tracing=True) as node:
            for path, method in CHANGES:
                parent = a_parent()
                target = path.replace("{key}", "n").replace("{channel}", "c")
                await visit(
                    node,
                    method.upper(),
                    target.replace("{id}", "n9") + WANTED.get(path, ""),
                    json=BODIES.get(path, {}) if method != "delete" else ...,
                    headers={"traceparent": str(parent)},
                )
                asked = document()["paths"][path][method].get("parameters", ())
                described = "traceparent" in {each["name"] for each in asked}
                assert bool(caught.of(parent)) == described, (path, method)

    run(scenario())
    assert len(CHANGES) > 10


def test_a_node_that_traces_nothing_takes_the_field_all_the_same(caught: Caught) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            assert node.services["default"].spans is None
            assert (await client.ask("incr", key="a", trace=str(a_parent())))["ok"]
            refused = await client.ask("incr", key="a", trace="nonsense")
            assert refused["error"]["code"] == "bad_request"
        assert caught.exporter.get_finished_spans() == ()

    run(scenario())


def test_a_write_that_fails_says_so_by_its_code(caught: Caught) -> None:
    async def scenario() -> None:
        parent, locked = a_parent(), a_parent()
        async with a_node(tracing=True) as node:
            async with talking(node) as client:
                await client.ask("set", key=KEY, value=VALUE)
                reply = await client.ask("incr", key=KEY, trace=str(parent))
                assert reply["error"]["code"] == "not_integer"
                await client.ask("lock", name=KEY, ttl=60)
                await client.send(
                    {"id": 9, "op": "lock", "name": KEY, "ttl": 1, "wait": 60, "trace": str(locked)}
                )
                await until(lambda: len(caught.of(locked)) == 3)
            spans_of = node.services["default"].spans
            assert spans_of is not None
            await until(lambda: not node.connections)  # who waited is gone, and gave its wait up
            assert spans_of.open == 0
        root = next(span for span in caught.of(parent) if span.name == "tlru.incr")
        assert not root.status.is_ok
        assert root.attributes is not None
        assert root.attributes["error.type"] == "not_integer"

    run(scenario())
    secret_free(caught)


def test_what_is_followed_is_bounded(caught: Caught, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words about writes that never come: the oldest go, and each span of theirs is ended."""
    monkeypatch.setattr(spans, "OPEN_MAX", 10)

    async def scenario() -> None:
        parents = [a_parent() for _ in range(40)]
        async with a_node(tracing=True) as node:
            found = node.services["default"].spans
            assert found is not None
            for n, parent in enumerate(parents, 1):
                found.heard("n9", {"ways": [["birth", 1, n, str(parent)]]})
            assert found.open == 10
            found.heard("n9", {"ways": [["birth", "x", None], 5, "text", ["b", 1, 1, "nonsense"]]})
            found.heard("n9", {})
            found.heard("n9", {"ways": 5})
            assert found.open == 10
        assert len(caught.exporter.get_finished_spans()) == 30

    run(scenario())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"00-{10:032x}-{11:016x}-01", Parent(10, 11, True)),
        (f"00-{10:032x}-{11:016x}-02", Parent(10, 11, False)),
        (f"01-{10:032x}-{11:016x}-01-more", Parent(10, 11, True)),
        (f"00-{10:032x}-{11:016x}-01-more", None),
        (f"01-{10:032x}-{11:016x}-01more", None),
        (f"ff-{10:032x}-{11:016x}-01", None),
        (f"00-{0:032x}-{11:016x}-01", None),
        (f"00-{10:032x}-{0:016x}-01", None),
        (f"00-{10:032X}-{11:016X}-01", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_its_standard_says(text: str, found: Parent | None) -> None:
    assert parse(text) == found
    if found is not None:
        assert parse(str(found)) == found


def test_without_the_packages_the_node_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    async def scenario() -> None:
        async with a_node(tracing=True):
            raise AssertionError("it started")

    with pytest.raises(errors.TlruError, match=r"pip install 'tlru-cluster\[otel\]'"):
        run(scenario())


def test_an_exporter_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "carrier-pigeon")
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    with pytest.raises(errors.TlruError, match="no exporter 'carrier-pigeon'"):
        exporting.provider("n1")


def test_a_process_of_its_own_exports_by_the_standard_variables(tmp_path: Path) -> None:
    """`tlru serve` with the exporter that writes to stdout: what is made arrives, the last at the
    latest when the node stops."""

    async def scenario() -> None:
        from tests.integration.processes import Process
        from tests.ports import free_ports

        (port,) = free_ports(1)
        flags = ["--listen", f"127.0.0.1:{port}", "--tracing"]
        env = {"OTEL_TRACES_EXPORTER": "console", "OTEL_SERVICE_NAME": "shop-cache"}
        process = Process("n7", port, "", flags, tmp_path / "log", env)
        parent = a_parent()
        await process.start()
        running = process.process
        assert running is not None
        assert running.stdout is not None
        try:
            async with talking(process) as client:
                assert (await client.ask("incr", key=KEY, trace=str(parent)))["ok"]
            running.terminate()
            async with asyncio.timeout(20):
                said = (await running.stdout.read()).decode()
                await running.wait()
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()
        assert f"0x{parent.trace:032x}" in said, process.said()
        assert '"service.name": "shop-cache"' in said
        assert '"service.instance.id": "n7"' in said
        assert KEY not in said

    run(scenario())


def test_without_tracing_nothing_of_opentelemetry_is_loaded() -> None:
    async def scenario() -> str:
        program = (
            "import sys, tlru.node; print(any('opentelemetry' in name for name in sys.modules))"
        )
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await started.communicate()
        return said.decode().strip()

    assert run(scenario()) == "False"
