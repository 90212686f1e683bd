"""What `/metrics` counts, and that it is what docs/metrics.md says."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.node.clusters import three
from tests.node.http.streams import listening
from tests.node.http.visiting import get, put, to_json, until, visit
from tests.running import a_node, run, talking
from tlru.node import Node
from tlru.node.http.figures import FIGURES
from tlru.node.latency import BOUNDS, CLASSES_MAX, Latency, Spread

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


async def scrape(node: Node) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by its name and labels."""
    told = await visit(node, "GET", "/metrics")
    assert told.status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(told.body.decode())
        for sample in family.samples
    }


def base(name: str) -> str:
    """A metric's name by that of one of its samples."""
    return re.sub("_(created|bucket|count|sum)$", "", name)


async def one(where: Node, name: str, /, **labels: str) -> float:
    """One sample; 0 where there is none yet."""
    return (await scrape(where)).get((name, frozenset(labels.items())), 0.0)


def test_what_is_asked_for_is_counted() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await put(node, "a", 1)
            await get(node, "a")
            await get(node, "nothing")
            await client.ask("get", key="nothing")
            await visit(node, "PUT", "/v1/keys/a?ttl=0", json=1)
            await visit(node, "GET", "/nonsense")
            await visit(node, "DELETE", "/v1/keys/a")
            samples = await scrape(node)

            def sample(name: str, **labels: str) -> float:
                return samples[name, frozenset(labels.items())]

            assert sample("tlru_operations_total", op="get") == 3
            assert sample("tlru_operations_total", op="set") == 1
            assert sample("tlru_hits_total") == 1
            assert sample("tlru_misses_total") == 2
            assert sample("tlru_errors_total", code="bad_request") == 1
            assert sample("tlru_http_requests_total", route="/v1/keys/{key}", status="2xx") == 3
            assert sample("tlru_http_requests_total", route="/v1/keys/{key}", status="4xx") == 2
            assert sample("tlru_http_requests_total", route="unknown", status="4xx") == 1
            assert sample("tlru_events_total", cache="default", type="delete") == 1
            assert sample("tlru_connections", protocol="websocket") == 1
            assert sample("tlru_connections", protocol="http") == 1
            assert sample("tlru_connections_opened_total", protocol="http") == 7

    run(scenario())


def test_who_watches_and_what_he_is_sent_is_counted() -> None:
    async def scenario() -> None:
        async with (
            a_node(caches=("default", "other")) as node,
            talking(node) as client,
            listening(node, "pattern=*") as stream,
            listening(node, "pattern=*", Last_Event_ID="1-00000000-1") as begun_anew,
        ):
            for watched in ("*", "a*"):
                await client.ask("subscribe", pattern=watched)
            await stream.event()
            assert (await begun_anew.event()).data["push"] == "reset"
            before = await one(node, "tlru_bytes_pushed_total", cache="default")
            await put(node, "a", 1)
            pushes = [(await each.event()).data for each in (stream, begun_anew)]
            pushes += [await client.receive() for _ in range(2)]
            sent = sum(len(to_json(each)) for each in pushes)
            samples = await scrape(node)

            def sample(name: str, cache: str = "default") -> float:
                return samples[name, frozenset({("cache", cache)})]

            assert sample("tlru_feeds") == 2
            assert sample("tlru_subscriptions") == 4
            assert sample("tlru_subscriptions_behind") == 0
            assert sample("tlru_subscription_resets_total") == 1
            assert sample("tlru_event_streams") == 2
            assert sample("tlru_events_pushed_total") == 4
            assert sample("tlru_bytes_pushed_total") - before == sent
            assert sample("tlru_feeds", "other") == sample("tlru_event_streams", "other") == 0

    run(scenario())


def test_a_reader_that_does_not_read_is_told_as_behind() -> None:
    async def scenario() -> None:
        async with (
            a_node() as node,
            talking(node) as client,
            listening(node, "pattern=%23*", limit=1 << 10),
        ):
            while not await one(node, "tlru_subscriptions_behind", cache="default"):
                for _ in range(20):
                    await client.ask("publish", channel="c", value="x" * 30_000)
            assert await one(node, "tlru_subscriptions", cache="default") == 1

    run(scenario())


def test_figures_are_those_of_the_status() -> None:
    async def scenario() -> None:
        async with a_node(caches=("default", "other"), max_entries=5) as node:
            for key in "abcdefgh":
                await put(node, key, 1)
            await until(lambda: node.services["default"].machine.items.count == 5)
            told = (await visit(node, "GET", "/v1/status")).json
            assert await one(node, "tlru_items", cache="default") == told["keys"] == 5
            assert await one(node, "tlru_items_max", cache="default") == 5
            assert await one(node, "tlru_bytes", cache="default") == told["bytes"]
            assert await one(node, "tlru_items", cache="other") == 0
            assert await one(node, "tlru_events_total", cache="default", type="evict") == 3
            assert await one(node, "tlru_info", node="n1", release=told["release"]) == 1
            assert await one(node, "tlru_status", status="active") == 1
            assert await one(node, "tlru_leads", cache="default") == 1

    run(scenario())


def test_probes_are_told_once_they_were_made() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await until(lambda: node.health.ready()[0])
            assert await one(node, "tlru_probe_seconds", cache="default") > 0
            assert await one(node, "tlru_ready", **{"for": "write"}) == 1

    run(scenario())


def test_two_nodes_in_one_process_count_apart() -> None:
    async def scenario() -> None:
        async with a_node() as first, a_node() as second:
            await put(first, "a", 1)
            assert await one(first, "tlru_operations_total", op="set") == 1
            assert await one(second, "tlru_operations_total", op="set") == 0

    run(scenario())


def test_openmetrics_is_given_to_who_prefers_it() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
            told = await visit(node, "GET", "/metrics", headers=wanted)
            assert told.headers["content-type"].startswith("application/openmetrics-text")
            assert told.body.endswith(b"# EOF\n")

    run(scenario())


def test_the_page_lists_every_metric_with_its_type_and_labels() -> None:
    rows = re.findall(r"^\| `(tlru_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M)
    assert rows == [
        (
            figure.name,
            figure.type,
            ", ".join(f"`{label}`" for label in figure.labels),
            figure.help,
        )
        for figure in FIGURES
    ]


def test_a_node_gives_every_metric_of_the_page_and_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(
                three(tmp_path / "data", max_entries=5, backup_dir=tmp_path)
            )
            await until(lambda: len(made.seats("n1")) == 3)
            node = made["n1"]
            await stack.enter_async_context(talking(node))
            await put(node, "a", 1)
            assert (await visit(node, "GET", "/v1/keys/a")).status == 200
            await visit(node, "GET", "/nonsense")
            await until(lambda: "loop_lag" in node.health.ready()[1]["checks"])
            service = node.services["default"]
            await until(lambda: service.machine.settings["max_entries"])
            await until(lambda: node.backups.records["default"].made)
            mesh = service.log.mesh  # type: ignore[attr-defined]
            await until(lambda: all(peer.round_trip_s for peer in mesh.status()))
            service.guard.follow("default: open=1", 1)
            assert service.guard.connection("default", 0.0)
            given = {base(name) for name, _ in await scrape(node)}
            page = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.M))
            assert given <= page
            # The process's own figures depend on the system.
            ours = {name for name in page if name.startswith("tlru_")}
            assert ours - given == set()

    run(scenario())


def test_an_operation_is_measured_by_its_class() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await client.send(
                *({"id": n, "op": "set", "key": f"{n}", "value": n} for n in range(1001, 1008))
            )
            for _ in range(7):
                assert (await client.receive())["ok"]
            for _ in range(3):
                await client.ask("get", key="1")
            await get(node, "1")
            await client.ask("incr", key="n")
            await client.ask("get", key="1", read="linear")
            samples = await scrape(node)

            def count(op: str) -> float:
                labels = frozenset({"op": op, "class": "default"}.items())
                return samples["tlru_operation_seconds_count", labels]

            assert (count("set"), count("get"), count("incr")) == (7, 5, 1)
            for name, labels in samples:
                if name == "tlru_operation_seconds_count":
                    slowest = ("tlru_operation_seconds_bucket", labels | {("le", "+Inf")})
                    assert samples[slowest] == samples[name, labels]

    run(scenario())


def test_classes_beyond_the_bound_share_one_name() -> None:
    latency = Latency()
    for number in range(CLASSES_MAX * 2):
        latency.add("get", f"class{number}", 0.001, 2)
    assert len(latency.operations) == CLASSES_MAX
    assert sum(sum(spread.counts) for spread in latency.operations.values()) == CLASSES_MAX * 4


def test_a_measurement_stands_in_the_bucket_that_it_fits() -> None:
    spread = Spread()
    for seconds in (BOUNDS[0], BOUNDS[0] * 1.01, BOUNDS[-1] + 1):
        spread.add(seconds, times=2)
    counts = dict(spread.buckets())
    assert counts[f"{BOUNDS[0]:g}"] == 2
    assert counts[f"{BOUNDS[1]:g}"] == counts[f"{BOUNDS[-1]:g}"] == 4
    assert counts["+Inf"] == 6
