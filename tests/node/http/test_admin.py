"""What a node says of itself over HTTP."""

from __future__ import annotations

import pytest

from tests.node.http.visiting import exchange, get, parse, put, request, until, visit
from tests.running import a_node, run, talking


def test_the_index_leads_to_what_is_there() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            index = await visit(node, "GET", "/")
            assert index.status == 200
            await until(lambda: node.health.ready()[0])
            for name, path in index.json["links"].items():
                assert (await visit(node, "GET", path)).status == (
                    426 if name == "websocket" else 200
                )

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/status", "/status"])
def test_status_is_what_the_websocket_says(path: str) -> None:
    async def scenario() -> None:
        async with a_node(id="me", label={"rack": "a1"}) as node, talking(node) as client:
            await put(node, "a", 1)
            told = (await visit(node, "GET", path)).json
            said = await client.ask("status")
            assert set(said) - {"id", "ok"} == set(told)
            assert (told["node"], told["labels"]) == ("me", {"rack": "a1"})
            assert told["keys"] == 1
            assert told["status"] == "active"

    run(scenario())


def test_status_is_of_the_cache_that_is_named() -> None:
    async def scenario() -> None:
        async with a_node(caches=("default", "other")) as node:
            told = await visit(node, "GET", "/v1/status", headers={"Tlru-Cache": "other"})
            assert told.json["cache"] == "other"
            missing = await visit(node, "GET", "/v1/status", headers={"Tlru-Cache": "x"})
            assert missing.status == 404

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/nodes", "/nodes"])
def test_the_members_are_listed(path: str) -> None:
    async def scenario() -> None:
        async with a_node(id="me") as node:
            told = (await visit(node, "GET", path)).json
            assert [each["id"] for each in told["nodes"]] == ["me"]
            assert told["leader"] == "me"
            one = (await visit(node, "GET", "/v1/nodes/me")).json
            assert one["id"] == "me"
            assert (await visit(node, "GET", "/v1/nodes/%6De")).status == 200

    run(scenario())


def test_an_unknown_member_is_404() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for method, path in (
                ("GET", "/v1/nodes/other"),
                ("GET", "/v1/nodes/"),
                ("DELETE", "/v1/nodes/n1%2F"),
                ("POST", "/v1/nodes/other/lead"),
            ):
                missing = await visit(node, method, path)
                assert (missing.status, missing.code) == (404, "not_found")

    run(scenario())


def test_a_log_of_one_has_no_members_to_change() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for method, path in (("POST", "/v1/nodes"), ("DELETE", "/v1/nodes/n1")):
                refused = await visit(node, method, path)
                assert (refused.status, refused.code) == (409, "unknown_op")
            leads = await visit(node, "POST", "/v1/nodes/n1/lead")
            assert (leads.status, leads.json) == (200, {"id": "n1", "leader": "n1"})

    run(scenario())


def test_health_tells_each_check_with_its_figure() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            assert (await visit(node, "GET", "/health/live")).json == {"status": "live"}
            await until(lambda: node.health.startup()[0])
            assert (await visit(node, "GET", "/health/startup")).status == 200
            for query, purpose in (("", "write"), ("?for=write", "write"), ("?for=read", "read")):
                ready = await visit(node, "GET", f"/health/ready{query}")
                assert (ready.status, ready.json["for"]) == (200, purpose)
                assert "ms" in ready.json["checks"]["probe_default"]
            assert (await visit(node, "GET", "/health/ready?for=fun")).status == 400
            assert (await visit(node, "HEAD", "/health/ready")).status == 200

    run(scenario())


def test_a_draining_node_is_alive_and_not_ready_and_ends_its_connections() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            node.draining = True
            for service in node.services.values():
                service.draining = True
            live = await visit(node, "GET", "/health/live", headers={"Connection": "keep-alive"})
            assert (live.status, live.headers["connection"]) == (200, "close")
            assert (await visit(node, "GET", "/health/ready")).status == 503
            for method in ("GET", "PUT", "DELETE"):
                refused = await visit(node, method, "/v1/keys/a", body=b"")
                assert (refused.status, refused.code) == (503, "draining")
                assert refused.headers["connection"] == "close"
                assert refused.json["retry"] == "other"

    run(scenario())


def test_the_websocket_place_says_how_to_use_it() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = await visit(node, "GET", "/ws")
            assert told.status == 426
            assert told.headers["upgrade"] == "websocket"
            assert "upgrade" in told.headers["connection"].lower()

    run(scenario())


def test_what_is_not_there_is_404_and_says_where_to_look() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for path in ("/nonsense", "/v1", "/v1/", "/V1/keys/a", "/v1/keys%2Fa", "/status/"):
                missing = await visit(node, "GET", path)
                assert (missing.status, missing.code) == (404, "unknown_op")

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v1/keys/a", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("PATCH", "/v1/keys", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("PUT", "/v1/batch", "OPTIONS, POST"),
        ("DELETE", "/cache", "GET, HEAD, OPTIONS, POST"),
        ("TRACE", "/", "GET, HEAD, OPTIONS"),
        ("PATCH", "/v1/keys/a/incr", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
    ],
)
def test_a_method_that_is_not_served_is_405_with_those_that_are(
    method: str, path: str, allow: str
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            sent = parse(await exchange(node, request(method, path)), method)
            assert (sent.status, sent.code) == (405, "unknown_op")
            assert sent.headers["allow"] == allow
            asked = parse(await exchange(node, request("OPTIONS", path)), "OPTIONS")
            assert (asked.status, asked.headers["allow"], asked.body) == (204, allow, b"")

    run(scenario())


def test_options_of_everything_and_of_nothing() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            everything = parse(await exchange(node, request("OPTIONS", "*")), "OPTIONS")
            assert everything.status == 204
            assert (await visit(node, "OPTIONS", "/nonsense")).status == 404
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_a_field_in_the_query_that_no_route_knows_is_refused() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for path in (
                "/",
                "/v1/status",
                "/v1/nodes",
                "/metrics",
                "/health/live",
                "/openapi.json",
            ):
                refused = await visit(node, "GET", f"{path}?nonsense=1")
                assert refused.status == 400
                assert "nonsense" in refused.json["detail"]

    run(scenario())
