"""What `/openapi.json` says is what is served, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.node.http.visiting import document, visit
from tests.running import a_node, run
from tlru.node.http import openapi
from tlru.node.http.request import IN_QUERY
from tlru.node.http.routes import ROUTES
from tlru.wire.limits import Limits

# A value of each query parameter that its field takes.
SAMPLES = {
    "key": "a",
    "ttl": "5",
    "keep_ttl": "false",
    "rev": "7",
    "ack": "quorum",
    "read": "local",
    "timeout": "1",
    "by": "2",
    "prefix": "a",
    "after": "a",
    "limit": "3",
    "values": "true",
    "value": "text",
    "minutes": "1",
    "for": "read",
    "channel": "a",
    "channel_prefix": "a",
    "pattern": "a*",
    "send": "keys",
    "snapshot": "true",
    "fold": "true",
    "since": "1-aaaaaaaa-1",
    "cache": "default",
    "ticket": "a",
}

OPERATIONS = [
    (path, method)
    for path, methods in openapi.describe(Limits())["paths"].items()
    for method in methods
]


def test_the_document_is_openapi_3_1() -> None:
    async def scenario() -> None:
        async with a_node(key_bytes=500) as node:
            told = await visit(node, "GET", "/openapi.json")
            assert told.status == 200
            assert told.headers["content-type"] == "application/json"
            assert told.json["openapi"].startswith("3.1.")
            validate(told.json)
            parameter = told.json["paths"]["/v1/keys/{key}"]["get"]["parameters"][0]
            assert parameter["schema"]["maxLength"] == 500  # it is this node's own

    run(scenario())


def test_every_route_is_described_and_everything_described_is_a_route() -> None:
    served = {(route.path, method.lower()) for route in ROUTES.routes for method in route.methods}
    assert served == set(OPERATIONS)


def test_operations_have_names_of_their_own() -> None:
    names = [document()["paths"][path][method]["operationId"] for path, method in OPERATIONS]
    assert len(set(names)) == len(names)


def _queried(path: str, method: str) -> set[str]:
    parameters = document()["paths"][path][method].get("parameters", ())
    return {each["name"] for each in parameters if each["in"] == "query"}


def _concrete(path: str) -> str:
    for name, place in {"key": "a", "channel": "c", "id": "n1", "file": "tlru.js"}.items():
        path = path.replace(f"{{{name}}}", place)
    return path


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_a_query_field_is_described_if_and_only_if_it_is_taken(path: str, method: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            described = _queried(path, method)
            body = {"op": "ping"} if path != "/v1/batch" else []
            for name in {*IN_QUERY, *SAMPLES, "nonsense"}:
                target = f"{_concrete(path)}?{name}={SAMPLES.get(name, 'x')}"
                sent: Any = {"json": body} if method in ("post", "put") else {}
                told = await visit(node, method.upper(), target, **sent)
                unknown = (
                    told.status == 400 and "unknown fields in the query" in told.json["detail"]
                )
                if path != "/ws":  # it has nothing to say but that it is no place for HTTP
                    assert unknown == (name not in described), (name, told)

    run(scenario())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_a_header_is_described_if_and_only_if_it_is_read(path: str, method: str) -> None:
    """What is wrong in a header shows where it is read."""
    parameters = document()["paths"][path][method].get("parameters", ())
    described = {each["name"] for each in parameters if each["in"] == "header"}

    async def scenario() -> None:
        async with a_node() as node:
            body = {"/v1/batch": [{"op": "get", "key": "a"}], "/v1/command": _COMMAND}
            query = "" if "{key}" in path else _WANTED.get((path, method), "")
            for name, text in (("Tlru-Cache", "nowhere"), ("Idempotency-Key", "x" * 99)):
                sent: Any = {"json": body.get(path, {})} if method in ("post", "put") else {}
                target = _concrete(path) + query
                told = await visit(node, method.upper(), target, headers={name: text}, **sent)
                # A health check that says no, as of a node that comes up, is no refusal.
                why = told.json.get("detail", "") if told.status >= 400 else ""
                refused = name in why or "no cache" in why
                if (path, name) == ("/v1/batch", "Idempotency-Key"):
                    assert refused  # each operation has its own `once` instead
                else:
                    assert refused == (name in described), (name, told)

    run(scenario())


_COMMAND = {"command": "SET", "attributes": {"key": "a", "value": 1}}
_WANTED = {
    ("/v1/keys", "put"): "?key=a",
    ("/v1/keys", "delete"): "?key=a",
    ("/v1/keys/incr", "post"): "?key=a",
    ("/cache", "get"): "?key=a",
    ("/cache", "post"): "?key=a&value=b",
}


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_a_path_names_is_described(path: str, method: str) -> None:
    parameters = document()["paths"][path][method].get("parameters", ())
    named = {f"{{{each['name']}}}" for each in parameters if each["in"] == "path"}
    assert named == {part for part in ("{key}", "{channel}", "{id}", "{file}") if part in path}


def test_every_operation_may_fail_as_the_protocol_says() -> None:
    for path, method in OPERATIONS:
        answers = document()["paths"][path][method]["responses"]
        assert "application/problem+json" in answers["default"]["content"]
