"""What a value is over HTTP: JSON with tags, or the bytes and the content type that were put."""

from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.node.http.visiting import get, put, visit
from tests.running import a_node, run, talking
from tlru.wire import values

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])).filter(lambda n: n[:1] != "$"),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(json_values)
def test_any_json_that_is_put_is_got_again(value: Any) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            assert (await put(node, "a", value)).status == 201
            assert (await get(node, "a")).json == value

    run(scenario())


@settings(deadline=None)
@given(json_values)
def test_what_http_put_a_websocket_reads_and_the_other_way_round(value: Any) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, "tlru.v1.msgpack") as client:
            done = await put(node, "http", value)
            read = await client.ask("get", key="http")
            assert read["value"] == value
            assert read["version"] == done.json["version"]
            written = await client.ask("set", key="websocket", value=value)
            found = await get(node, "websocket")
            assert found.json == value
            assert found.headers["etag"].endswith(f'-{written["version"]}"')

    run(scenario())


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["image/png", "text/html; charset=utf-8", "x/y"]))
def test_bytes_are_given_back_with_their_content_type(data: bytes, mime: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, "tlru.v1.msgpack") as client:
            told = {"Content-Type": mime}
            done = await visit(node, "PUT", "/v1/keys/a", body=data, headers=told)
            assert done.status == 201
            found = await get(node, "a")
            assert found.body == data
            if data:
                assert found.headers["content-type"] == mime
            read = await client.ask("get", key="a")
            assert (read["value"], read["mime"]) == (data, mime)

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"$b64": "AAH/"}, b"\x00\x01\xff"),
        ({"$int": "9223372036854775807"}, 2**63 - 1),
        ({"$map": [[1, "one"]]}, {1: "one"}),
        ({"$$x": 1}, {"$x": 1}),
        ({"$x": 1, "y": 2}, {"$x": 1, "y": 2}),
    ],
)
def test_tags_say_what_json_cannot(sent: Any, kept: Any) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, "tlru.v1.msgpack") as client:
            await put(node, "a", sent)
            number = 99
            await client.send({"id": number, "op": "get", "key": "a"})
            read = msgpack.unpackb((await client.receive())["value"], strict_map_key=False)
            assert read == kept
            assert (await get(node, "a")).json == sent

    run(scenario())


def test_what_json_lacks_comes_as_a_tag() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, "tlru.v1.msgpack") as client:
            await client.ask("set", key="nan", value=math.nan)
            await client.ask("set", key="bytes", value=b"\x00\xff")
            assert (await get(node, "nan")).json == {"$num": "NaN"}
            assert (await get(node, "bytes")).json == {"$b64": "AP8="}

    run(scenario())


def test_a_content_type_on_what_is_no_bytes_does_not_change_its_json() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, "tlru.v1.msgpack") as client:
            await client.ask("set", key="a", value={"n": 1}, mime="text/html")
            found = await get(node, "a")
            assert found.headers["content-type"] == "application/json"
            assert found.json == {"n": 1}

    run(scenario())


@pytest.mark.parametrize(
    "raw", [b"", b"\xc4", b"\xc4\x05ab", b"\xc4\x01ab", b"\xc6\xff\xff\xff\xff", b"\xc1"]
)
def test_what_is_no_msgpack_is_shown_raw(raw: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, "tlru.v1.msgpack") as client:
            await client.send({"id": 1, "op": "set", "key": "a", "value": raw, "mime": "x/y"})
            assert (await client.receive())["ok"] is True
            found = await get(node, "a")
            assert found.status == 200
            assert found.headers["content-type"] == "application/json"
            assert found.json == values.unpack(raw)
            assert "$raw" in found.json
            listed = await visit(node, "GET", "/v1/keys?values=1")
            assert listed.json["items"][0]["value"] == found.json

    run(scenario())


def test_without_a_content_type_a_body_is_octets() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await visit(node, "PUT", "/v1/keys/a", body=b'{"n": 1}')
            found = await get(node, "a")
            assert found.headers["content-type"] == "application/octet-stream"
            assert found.body == b'{"n": 1}'

    run(scenario())


def test_json_by_any_of_its_names_is_read_as_json() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for mime in (
                "application/json; charset=utf-8",
                "Application/JSON",
                "application/ld+json",
            ):
                told = {"Content-Type": mime}
                await visit(node, "PUT", "/v1/keys/a", body=b"[1, 2]", headers=told)
                found = await get(node, "a")
                assert (found.body, found.headers["content-type"]) == (b"[1,2]", "application/json")

    run(scenario())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": 1, "a": 2}',
        b"NaN",
        b"[1] [2]",
        b"\xff",
        b'"\\ud800"',
        b"1" * 30,
        b'{"$nonsense": 1}',
        b'{"$b64": "?"}',
        b"[" * 200 + b"]" * 200,
        b"[" * 40 + b"]" * 40,
    ],
)
def test_json_that_is_not_strict_is_refused(body: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = {"Content-Type": "application/json"}
            refused = await visit(node, "PUT", "/v1/keys/a", body=body, headers=told)
            assert refused.status == 400
            assert refused.code == "bad_request"

    run(scenario())


@pytest.mark.parametrize("mime", ["text/pläin", "x" * 256, "a\tb"])
def test_a_content_type_is_short_printable_ascii(mime: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = {"Content-Type": mime}
            refused = await visit(node, "PUT", "/v1/keys/a", body=b"x", headers=told)
            assert refused.status == 400

    run(scenario())


def test_a_value_over_the_limit_is_too_large_in_either_form() -> None:
    async def scenario() -> None:
        async with a_node(value_bytes=100) as node:
            for media_type in ("text/plain", "application/json"):
                told = {"Content-Type": media_type}
                body = json.dumps("x" * 99).encode()
                refused = await visit(node, "PUT", "/v1/keys/a", body=body, headers=told)
                assert refused.status == 413
                assert refused.code == "too_large"
            assert (await visit(node, "PUT", "/v1/keys/a", body=b"x" * 98)).status == 201

    run(scenario())


def test_a_strangers_page_cannot_run_as_ours() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = {"Content-Type": "text/html"}
            page = b"<script>alert(1)</script>"
            await visit(node, "PUT", "/v1/keys/a", body=page, headers=told)
            found = await get(node, "a")
            assert found.body == page
            assert found.headers["x-content-type-options"] == "nosniff"
            assert found.headers["content-security-policy"] == "default-src 'none'; sandbox"
            assert found.headers["cross-origin-resource-policy"] == "same-site"

    run(scenario())
