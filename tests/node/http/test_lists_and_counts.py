"""Counting, listing and publishing over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.node.http.visiting import JSON, get, put, visit
from tests.running import a_node, run
from tlru.engine.events import Event


def test_incr_counts_from_0_by_what_is_said() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            first = await visit(node, "POST", "/v1/keys/n/incr")
            assert (first.status, first.json["value"]) == (200, 1)
            assert first.headers["etag"].endswith(f'-{first.json["version"]}"')
            assert (await visit(node, "POST", "/v1/keys/n/incr?by=-5")).json["value"] == -4
            by = await visit(node, "POST", "/v1/keys/n/incr", json={"by": 10, "ttl": None})
            assert by.json["value"] == 6
            assert (await get(node, "n")).json == 6

    run(scenario())


def test_incr_gives_a_new_key_a_life() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await visit(node, "POST", "/v1/keys/n/incr?ttl=50")
            assert "max-age" in (await get(node, "n")).headers["cache-control"]

    run(scenario())


def test_incr_beyond_53_bits_is_told_by_a_tag() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "n", {"$int": "9223372036854775806"})
            last = await visit(node, "POST", "/v1/keys/n/incr")
            assert last.json["value"] == {"$int": "9223372036854775807"}
            over = await visit(node, "POST", "/v1/keys/n/incr")
            assert (over.status, over.code) == (422, "out_of_range")

    run(scenario())


def test_incr_of_what_is_no_integer_is_422() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "n", "text")
            refused = await visit(node, "POST", "/v1/keys/n/incr")
            assert (refused.status, refused.code) == (422, "not_integer")

    run(scenario())


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/keys/n/incr?by=1.5", None),
        ("/v1/keys/n/incr?by=one", None),
        ("/v1/keys/n/incr?by=1", {"by": 1}),
        ("/v1/keys/n/incr", {"by": "1"}),
        ("/v1/keys/n/incr", {"key": "m"}),
        ("/v1/keys/n/incr", {"nonsense": 1}),
        ("/v1/keys/n/incr", [1]),
        ("/v1/keys/incr", None),
        ("/v1/keys/incr", {"by": 1}),
    ],
)
def test_what_is_wrong_with_an_incr_is_refused(target: str, body: Any) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            sent = {} if body is None else {"json": body}
            refused = await visit(node, "POST", target, **sent)
            assert refused.status == 400
            assert refused.code == "bad_request"

    run(scenario())


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/keys/n/incr"),
        ("POST", "/v1/channels/c"),
        ("POST", "/v1/batch"),
        ("POST", "/v1/command"),
        ("POST", "/cache?key=a&value=b"),
    ],
)
def test_a_condition_that_would_be_ignored_is_refused(method: str, target: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for header in ("If-Match", "If-None-Match"):
                refused = await visit(node, method, target, json=[], headers={header: "*"})
                assert refused.status == 400
                assert header in refused.json["detail"]

    run(scenario())


def test_keys_are_listed_in_order_page_by_page() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for key in ("b/2", "a", "b/1", "c", "b/3"):
                await put(node, key, key)
            everything = await visit(node, "GET", "/v1/keys")
            assert everything.json["keys"] == ["a", "b/1", "b/2", "b/3", "c"]
            first = await visit(node, "GET", "/v1/keys?prefix=b/&limit=2")
            assert (first.json["keys"], first.json["more"]) == (["b/1", "b/2"], True)
            second = await visit(node, "GET", "/v1/keys?prefix=b%2F&limit=2&after=b/2")
            assert second.json["keys"] == ["b/3"]
            assert "more" not in second.json
            assert "tlru-position" in second.headers

    run(scenario())


def test_a_page_may_bring_the_values() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "a", {"n": 1}, ttl=100)
            for word in ("true", "1", ""):
                page = (await visit(node, "GET", f"/v1/keys?values={word}")).json
                (item,) = page["items"]
                assert (item["key"], item["value"]) == ("a", {"n": 1})
                assert 0 < item["ttl"] <= 100

    run(scenario())


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "values=2", "prefix=a&nonsense=1", "ttl=5"]
)
def test_what_is_wrong_with_a_list_is_refused(query: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            assert (await visit(node, "GET", f"/v1/keys?{query}")).status == 400

    run(scenario())


def test_a_message_is_published_in_order_with_everything_else() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            seen: list[Event] = []
            node.services["default"].listen(seen.extend)
            before = await put(node, "a", 1)
            sent = await visit(node, "POST", "/v1/channels/news/%F0%9F%93%B0", json={"n": 1})
            assert sent.status == 200
            assert sent.json["version"] > before.json["version"]
            assert "etag" not in sent.headers
            message = seen[-1]
            assert (message.type, message.key) == ("message", "news/📰")
            assert message.version == sent.json["version"]
            later = await visit(node, "POST", "/v1/channels/c?ack=none", json=1)
            assert later.status == 202

    run(scenario())


def test_a_message_must_be_json() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = {"Content-Type": "text/plain"}
            refused = await visit(node, "POST", "/v1/channels/c", body=b"1", headers=told)
            assert (refused.status, refused.code) == (415, "bad_request")
            assert (await visit(node, "POST", "/v1/channels/", json=1)).status == 400
            empty = await visit(node, "POST", "/v1/channels/c", body=b"", headers=JSON)
            assert empty.status == 400

    run(scenario())
