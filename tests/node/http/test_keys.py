"""Reading, writing and removing a key over HTTP."""

from __future__ import annotations

import asyncio
import re

import pytest
import xxhash

from tests.node.http.visiting import get, path_of, put, request, until, visit
from tests.running import a_node, run, talking
from tlru.wire.limits import NUMBER_MAX


def test_what_was_put_is_got_with_its_etag_and_position() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await put(node, "a", {"n": [1, 2.5, None, "ü"]})
            assert done.status == 201
            assert done.json["applied"] is True
            epoch = node.services["default"].log.epoch
            version = done.json["version"]
            assert done.headers["etag"] == f'"{epoch}-{version}"'
            found = await get(node, "a")
            assert found.status == 200
            assert found.json == {"n": [1, 2.5, None, "ü"]}
            assert found.headers["content-type"] == "application/json"
            assert found.headers["etag"] == done.headers["etag"]
            assert found.headers["tlru-position"].startswith(f"{epoch}-")
            assert int(found.headers["tlru-position"].rpartition("-")[2]) >= version

    run(scenario())


def test_replacing_a_value_is_200_and_changes_its_etag() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            first = await put(node, "a", 1)
            second = await put(node, "a", 2)
            assert (first.status, second.status) == (201, 200)
            assert first.headers["etag"] != second.headers["etag"]
            assert (await get(node, "a")).json == 2

    run(scenario())


def test_a_miss_is_a_problem_that_says_where_the_node_stood() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            missing = await get(node, "nothing")
            assert missing.status == 404
            assert missing.code == "not_found"
            assert "tlru-position" in missing.headers
            assert missing.headers["cache-control"] == "no-store"

    run(scenario())


def test_head_is_get_without_the_body() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "a", "text")
            got, head = await get(node, "a"), await visit(node, "HEAD", "/v1/keys/a")
            assert head.status == 200
            assert head.body == b""
            for name in ("etag", "content-type", "content-length", "cache-control"):
                assert head.headers[name] == got.headers[name]
            assert (await visit(node, "HEAD", "/v1/keys/nothing")).status == 404

    run(scenario())


def test_a_deleted_key_is_gone_and_deleting_it_again_is_no_error() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "a", 1)
            first = await visit(node, "DELETE", "/v1/keys/a")
            second = await visit(node, "DELETE", "/v1/keys/a")
            assert (first.status, first.json["deleted"]) == (200, 1)
            assert (second.status, second.json["deleted"]) == (200, 0)
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_max_age_is_the_whole_seconds_of_life_left() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "short", 1, ttl=100.9)
            await put(node, "long", 1)
            age = (await get(node, "short")).headers["cache-control"]
            found = re.fullmatch(r"max-age=(\d+)", age)
            assert found is not None
            assert 80 <= int(found[1]) <= 100
            assert (await get(node, "long")).headers["cache-control"] == "no-cache"

    run(scenario())


def test_keep_ttl_keeps_the_life_of_what_was_there() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "a", 1, ttl=1000)
            await put(node, "a", 2, keep_ttl="true")
            assert "max-age" in (await get(node, "a")).headers["cache-control"]
            await put(node, "a", 3, keep_ttl="0")
            assert (await get(node, "a")).headers["cache-control"] == "no-cache"

    run(scenario())


def test_a_write_that_is_not_waited_for_is_202() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for ack in ("none", "leader"):
                done = await put(node, "a", 1, ack=ack)
                assert done.status == 202
                assert "etag" not in done.headers
                assert "tlru-position" in done.headers
            assert (await put(node, "a", 1, ack="all")).status == 200

    run(scenario())


# -- revisions, positions, idempotency, caches


def test_rev_admits_only_what_is_newer_and_says_what_is_there() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            assert (await put(node, "a", "new", rev=5)).json["applied"] is True
            older = await put(node, "a", "old", rev=4)
            assert older.status == 200
            assert older.json["applied"] is False
            assert (older.json["rev"], older.json["value"]) == (5, "new")
            # What does not look like an integer is text, and text is above every integer.
            assert (await put(node, "a", "text", rev="007")).json["applied"] is True
            gone = await visit(node, "DELETE", "/v1/keys/a?rev=008")
            assert gone.json["deleted"] == 1
            late = await put(node, "a", "late", rev="0070")
            assert (late.status, late.json["applied"]) == (200, False)

    run(scenario())


def test_a_read_waits_for_the_position_that_the_request_carries() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            service = node.services["default"]
            pos = service.machine.index + 20
            ahead = {"Tlru-Position": f"{service.log.epoch}-{pos}"}
            target = "/v1/keys/a?timeout=20"
            reading = asyncio.ensure_future(visit(node, "GET", target, headers=ahead))
            await until(lambda: service.reads.waiting)
            for n in range(20):
                await put(node, "a", n)
            found = await reading
            assert found.status == 200
            assert int(found.headers["tlru-position"].rpartition("-")[2]) >= pos

    run(scenario())


def test_a_position_that_does_not_come_in_time_is_503() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            ahead = {"Tlru-Position": f"{node.services['default'].log.epoch}-1000"}
            late = await visit(node, "GET", "/v1/keys/a?timeout=0.01", headers=ahead)
            assert late.status == 503
            assert late.code == "syncing"
            assert late.json["retry"] == "other"

    run(scenario())


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("9-ffffffff-1", 409, "wrong_epoch"),
        ("5", 400, "bad_request"),
        ("", 400, "bad_request"),
        ("1-abc-", 400, "bad_request"),
        ("1-abc-99999999999999999", 400, "bad_request"),
        ("\x7f-1", 400, "bad_request"),
    ],
)
def test_a_position_that_is_not_one_of_this_life_is_refused(
    text: str, status: int, code: str
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for target in ("/v1/keys/a", "/v1/keys?prefix=a", "/cache?key=a"):
                refused = await visit(node, "GET", target, headers={"Tlru-Position": text})
                assert refused.status == status
                assert refused.code == code

    run(scenario())


def test_a_write_with_an_idempotency_key_is_done_once() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            named = {"Idempotency-Key": "4711"}
            first = await visit(node, "POST", "/v1/keys/n/incr?by=5", headers=named)
            again = await visit(node, "POST", "/v1/keys/n/incr?by=5", headers=named)
            other = await visit(node, "POST", "/v1/keys/n/incr?by=5")
            assert [each.json["value"] for each in (first, again, other)] == [5, 5, 10]
            assert again.json["version"] == first.json["version"]

    run(scenario())


def test_an_idempotency_key_stands_for_one_operation_on_one_key() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            named = {"Idempotency-Key": "4711"}
            for key in ("a", "b"):
                done = await visit(node, "PUT", path_of(key), json=key, headers=named)
                assert done.status == 201
            for key in ("a", "b"):
                assert (await get(node, key)).json == key
            counted = await visit(node, "POST", "/v1/keys/c/incr", headers=named)
            assert counted.json["value"] == 1
            gone = await visit(node, "DELETE", path_of("a"), headers=named)
            assert gone.json["deleted"] == 1

    run(scenario())


def test_an_idempotency_key_that_echoes_another_operation_is_refused() -> None:
    """Over the WebSocket a client names its writes itself, and may have named another so."""

    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            service = node.services["default"]
            named = {"Idempotency-Key": "4711"}
            number = xxhash.xxh3_64_intdigest(b"set\0a") & NUMBER_MAX
            once = {"session": "4711", "n": number, "at": service.log.now()}
            assert (await client.ask("incr", key="n", once=once))["value"] == 1
            only = {**named, "If-None-Match": "*"}
            refused = await visit(node, "PUT", "/v1/keys/a", json=1, headers=only)
            assert (refused.status, refused.code) == (400, "bad_request")

    run(scenario())


@pytest.mark.parametrize("name", ["", "x" * 65, "ü"])
def test_an_idempotency_key_is_1_to_64_characters(name: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            named = {"Idempotency-Key": name}
            refused = await visit(node, "PUT", "/v1/keys/a", json=1, headers=named)
            assert refused.status == 400
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_the_cache_is_chosen_by_a_header() -> None:
    async def scenario() -> None:
        async with a_node(caches=("default", "other")) as node:
            other = {"Tlru-Cache": "other"}
            await visit(node, "PUT", "/v1/keys/a", json="there", headers=other)
            assert (await get(node, "a")).status == 404
            found = await get(node, "a", Tlru_Cache="other")
            assert found.json == "there"
            assert "Tlru-Cache" in found.headers["vary"]
            missing = await get(node, "a", Tlru_Cache="nowhere")
            assert missing.status == 404
            assert missing.code == "not_found"

    run(scenario())


def test_reserved_keys_are_the_clusters_own() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for method in ("PUT", "DELETE"):
                refused = await visit(node, method, "/v1/keys/_tlru/probe", json=1)
                assert refused.status == 403
                assert refused.code == "forbidden"

    run(scenario())


def test_numbers_in_a_query_are_written_as_in_json() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for text in ("1e3", "1000", "1.0E3", "100000e-2"):
                put_ = await visit(node, "PUT", f"/v1/keys/a?ttl={text}", json=1)
                assert put_.status in (200, 201), text
                assert (await get(node, "a")).headers["cache-control"] in (
                    "max-age=999",
                    "max-age=1000",
                )

    run(scenario())


@pytest.mark.parametrize(
    "target",
    [
        "/v1/keys/a?ttl=0",
        "/v1/keys/a?ttl=abc",
        "/v1/keys/a?ttl=1e",
        "/v1/keys/a?ttl=1e999",
        "/v1/keys/a?ttl=",
        "/v1/keys/a?ttl=nan",
        "/v1/keys/a?ttl=1_0",
        "/v1/keys/a?ttl=\u0661",  # an Arabic digit one
        "/v1/keys/a?keep_ttl=maybe",
        "/v1/keys/a?ack=some",
        "/v1/keys/a?timeout=-1",
        "/v1/keys/a?rev=99999999999999999999999",
        "/v1/keys/a?nonsense=1",
        "/v1/keys/a?ttl=1&ttl=2",
        "/v1/keys/a?key=b",
        "/v1/keys/a?ttl=5&keep_ttl=1",
        "/v1/keys",
        "/v1/keys/",
        "/v1/keys?key=",
        "/v1/keys/a?" + "&".join(f"x{n}=1" for n in range(40)),
    ],
)
def test_what_is_wrong_with_a_put_is_refused_with_its_name(target: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            refused = await visit(node, "PUT", target, json=1)
            assert refused.status == 400
            assert refused.code == "bad_request"
            assert refused.json["retry"] == "no"
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_a_header_that_stands_twice_is_refused() -> None:
    async def scenario() -> None:
        async with a_node(caches=("default", "other")) as node:
            twice = {"Tlru-Cache": "other\r\nTlru-Cache: default"}
            refused = await visit(node, "GET", "/v1/keys/a", headers=twice)
            assert refused.status == 400

    run(scenario())


def test_a_linear_read_is_answered_by_the_leaders_word() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "a", 1)
            assert (await visit(node, "GET", "/v1/keys/a?read=linear")).json == 1

    run(scenario())


def test_a_request_that_stops_waiting_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            service = node.services["default"]
            ahead = {"Tlru-Position": f"{service.log.epoch}-{service.machine.index + 10}"}
            sent = request("GET", "/v1/keys/a?timeout=3600", headers=ahead)
            _, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(sent)
            await until(lambda: service.reads.waiting)
            assert node.http.connections == 1
            writer.transport.abort()
            await until(lambda: not node.http.connections)
            for n in range(10):  # what waited may be answered now, though nobody hears it
                await put(node, "b", n)
            assert service.reads.waiting == 0

    run(scenario())
