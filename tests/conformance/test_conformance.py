"""A node answers as its own description says: few examples of each operation.

`python -m tests.conformance` makes many. What is not held against the node, and how narrowly, has
tests of its own here: an excuse that fits too much would hide what it should not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis

from tests.conformance.excuses import REFUSED, excuse
from tests.conformance.running import Wish, check
from tests.node.access.holders import token_file
from tests.running import a_node, run
from tlru.node.http.openapi import describe
from tlru.node.http.routes import ROUTES
from tlru.wire.limits import Limits


def test_nothing_is_found_against_a_node_of_everybodys() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            report = await check(node, Wish(examples=2, seed=1, phases=("fuzzing",)))
            assert not report.findings, "\n".join(report.lines())
            served = {f"{m} {r.path}" for r in ROUTES.routes for m in r.methods}
            assert set(report.rows) >= served - {"GET /openapi.json"}

    run(scenario())


def test_a_wrong_description_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks can fail: a node that says of itself what is not so is caught."""

    def wrong(limits: Limits, *, guarded: bool) -> dict[str, Any]:
        document = describe(limits, guarded=guarded)
        status = document["components"]["schemas"]["Health"]
        status["properties"]["status"] = {"type": "integer"}
        return document

    monkeypatch.setattr("tlru.node.http.descriptions.openapi.describe", wrong)

    async def scenario() -> None:
        async with a_node() as node:
            wish = Wish(examples=1, seed=1, phases=("fuzzing",), only="/health/live")
            report = await check(node, wish)
            found = {(each.operation, each.check) for each in report.findings}
            assert ("GET /health/live", "response_schema_conformance") in found

    run(scenario())


def test_a_route_that_is_described_as_closed_and_is_open_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The check of who is let in can fail, too."""

    def wrong(limits: Limits, *, guarded: bool) -> dict[str, Any]:
        document = describe(limits, guarded=guarded)
        document["paths"]["/health/live"]["get"]["security"] = [{"token": []}]
        return document

    monkeypatch.setattr("tlru.node.http.descriptions.openapi.describe", wrong)

    async def scenario() -> None:
        file, tokens = token_file(tmp_path, reader={"read": [""]})
        async with a_node(tokens_file=file) as node:
            wish = Wish(examples=1, seed=1, only="/health/live", token=tokens["reader"])
            found = {each.check for each in (await check(node, wish)).findings}
            assert "ignored_auth" in found

    run(scenario())


def test_nothing_is_found_against_a_node_that_asks_for_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, tokens = token_file(tmp_path, reader={"read": [""]})
        async with a_node(tokens_file=file) as node:
            wish = Wish(examples=1, seed=1, phases=("fuzzing",), token=tokens["reader"])
            report = await check(node, wish)
            assert not report.findings, "\n".join(report.lines())

    run(scenario())


SCHEMA = schemathesis.openapi.from_dict(describe(Limits()))

# An operation, what is sent, and the answer that is excused then.
EXCUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    (
        "/v1/keys/incr POST",
        REFUSED,
        {"query": {"key": "a", "by": 1}, "body": {"by": 1}},
        400,
        '"by" is given twice',
    ),
    ("/v1/keys GET", REFUSED, {"query": {"key": "a", "limit": 1}}, 400, "unknown fields in"),
    (
        "/v1/keys/{key} PUT",
        REFUSED,
        {"path_parameters": {"key": "a"}, "query": {"ttl": 1, "keep_ttl": True}},
        400,
        "which life should it have",
    ),
    (
        "/v1/keys/{key} PUT",
        REFUSED,
        {"path_parameters": {"key": "a"}, "headers": {"If-Match": "*", "If-None-Match": "*"}},
        400,
        "they demand different things",
    ),
    ("/cache POST", REFUSED, {"body": {"value": 1}}, 400, "`key` is missing"),
    ("/v1/keys GET", REFUSED, {"query": {"prefix": "\u00fc"}}, 413, "has 2 bytes; at most 1"),
    ("/v1/events GET", REFUSED, {"query": {}}, 400, "one of five says what to watch"),
    ("/v1/settings PATCH", REFUSED, {"body": {"limits": "x"}}, 400, "`limits`: it is wrong"),
    ("/v1/nodes/{id} PATCH", REFUSED, {"body": {"priority": 1.0}}, 400, "an integer is wanted"),
    ("/cache POST", REFUSED, {"body": {"value": [{"a": 1 << 70}]}}, 400, "does not fit 64 bits"),
    ("/v1/settings PATCH", "ServerError", {"query": {"timeout": 0.01}}, 504, "it took longer"),
]


@pytest.mark.parametrize(("operation", "failure", "sent", "status", "detail"), EXCUSED)
def test_an_excuse_is_for_its_own_request_and_its_own_answer(
    operation: str, failure: str, sent: dict[str, Any], status: int, detail: str
) -> None:
    path, method = operation.split()
    wanted = SCHEMA[path][method].Case(**sent, media_type="application/json")
    assert excuse(failure, wanted, _answer(status, detail)) is not None
    # A request that said nothing of the kind, another status, and another reason are not excused.
    innocent = SCHEMA[path][method].Case(
        query={"key": "a"}, body={"value": 1}, media_type="application/json"
    )
    assert excuse(failure, innocent, _answer(status, detail)) is None
    assert excuse(failure, wanted, _answer(500, detail)) is None
    if failure == REFUSED:
        assert excuse(failure, wanted, _answer(status, "something else")) is None


def _answer(status: int, detail: str) -> schemathesis.Response:
    request = requests.Request("GET", "http://localhost/").prepare()
    body = json.dumps({"detail": detail}).encode()
    headers = {"content-type": ["application/problem+json"]}
    return schemathesis.Response(status, headers, body, request, 0.0, verify=False)
