"""What strangers cannot do: send too much, too slowly, or what is no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.node.http.visiting import (
    JSON,
    PATIENCE_S,
    exchange,
    get,
    parse,
    put,
    request,
    until,
    visit,
)
from tests.running import a_node, run
from tlru.node import Node
from tlru.node.http import connection
from tlru.node.http import request as requests


@contextlib.asynccontextmanager
async def connected(
    node: Node,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection to a node."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.close()


# -- bodies


@pytest.fixture(autouse=True)
def _no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a refused body is waited for, which these tests do not need."""
    monkeypatch.setattr(connection, "LINGER_S", 0.01)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() -> None:
    async def scenario() -> None:
        async with a_node(message_bytes=4096, value_bytes=1000) as node:
            sent = request("PUT", "/v1/keys/a", headers={"Content-Length": "4097"})
            refused = parse(await exchange(node, sent), "PUT")
            assert (refused.status, refused.code) == (413, "too_large")
            assert refused.headers["connection"] == "close"

    run(scenario())


def test_a_chunked_body_is_refused_once_it_is_too_large() -> None:
    async def scenario() -> None:
        async with a_node(message_bytes=4096, value_bytes=1000) as node:
            head = request("PUT", "/v1/keys/a", headers={"Transfer-Encoding": "chunked"})
            chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
            refused = parse(await exchange(node, head + chunk * 5 + b"0\r\n\r\n"), "PUT")
            assert (refused.status, refused.code) == (413, "too_large")
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_a_chunked_body_within_bounds_is_taken() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            head = request("PUT", "/v1/keys/a", headers={"Transfer-Encoding": "chunked"})
            done = parse(await exchange(node, head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), "PUT")
            assert done.status == 201
            assert (await get(node, "a")).body == b"abc"

    run(scenario())


def test_a_client_that_asks_for_leave_is_told_to_go_on() -> None:
    async def scenario() -> None:
        async with a_node(message_bytes=4096, value_bytes=1000) as node:
            async with connected(node) as (reader, writer):
                expecting = {"Expect": "100-continue", "Content-Length": "3"}
                writer.write(request("PUT", "/v1/keys/a", headers=expecting))
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"abc")
                assert parse(await reader.read(), "PUT").status == 201
            expecting["Content-Length"] = "5000"
            sent = request("PUT", "/v1/keys/a", headers=expecting)
            answer = await exchange(node, sent)
            assert b"100 Continue" not in answer
            assert parse(answer, "PUT").status == 413

    run(scenario())


def test_a_body_that_does_not_come_in_time_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_WITHIN_S", 0.01)

    async def scenario() -> None:
        async with a_node() as node:
            sent = request("PUT", "/v1/keys/a", headers={"Content-Length": "10"})
            slow = parse(await exchange(node, sent + b"abc"), "PUT")
            assert (slow.status, slow.code) == (408, "timeout")
            assert slow.json["retry"] == "no"  # it was certainly not done
            assert slow.headers["connection"] == "close"
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_a_body_that_breaks_off_is_kept_nowhere() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            async with connected(node) as (_, writer):
                sent = request("PUT", "/v1/keys/a", headers={"Content-Length": "10"})
                writer.write(sent + b"abc")
                await until(lambda: node.http.connections == 1)
            await until(lambda: node.http.connections == 0)
            assert (await get(node, "a")).status == 404

    run(scenario())


@pytest.mark.parametrize(
    "body", [b"zz\r\nab\r\n0\r\n\r\n", b"2\r\nabXX0\r\n\r\n", b"-1\r\n\r\n", b"2;\x00\r\nab\r\n"]
)
def test_a_body_that_is_badly_chunked_is_refused(body: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            head = request("PUT", "/v1/keys/a", headers={"Transfer-Encoding": "chunked"})
            refused = parse(await exchange(node, head + body), "PUT")
            assert refused.status == 400
            assert refused.code == "bad_request"
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_a_compressed_body_is_not_unpacked() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = {**JSON, "Content-Encoding": "gzip"}
            refused = await visit(node, "PUT", "/v1/keys/a", body=b"\x1f\x8b", headers=told)
            assert (refused.status, refused.code) == (415, "bad_request")

    run(scenario())


# -- heads


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000,
    ],
)
def test_a_line_that_is_too_long_is_431(head: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            refused = parse(await exchange(node, head), "GET")
            assert (refused.status, refused.code) == (431, "too_large")

    run(scenario())


def test_too_many_headers_are_refused() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for count in (101, 1_000):  # refused by us, and where it can by the parser before
                lines = b"".join(b"X-%d: 1\r\n" % n for n in range(count))
                head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n"
                refused = parse(await exchange(node, head), "GET")
                assert refused.status in (400, 431)

    run(scenario())


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GREET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a TLS hello
    ],
)
def test_what_is_no_http_is_answered_in_our_own_words(sent: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            refused = parse(await exchange(node, sent), "GET")
            assert refused.status == 400
            assert refused.code == "bad_request"
            assert "aiohttp" not in refused.json["detail"]
            assert refused.headers["server"] == "tlru"
            assert (await get(node, "a")).status == 404  # the node is none the worse
            assert node.rates.http["unread", "4xx"] + node.rates.http["unknown", "4xx"] == 1

    run(scenario())


def test_http_1_0_needs_no_host() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            answer = await exchange(node, b"GET /health/live HTTP/1.0\r\n\r\n")
            assert parse(answer, "GET").status == 200

    run(scenario())


# -- connections


def test_a_connection_serves_one_request_after_another() -> None:
    async def scenario() -> None:
        async with a_node() as node, aiohttp.ClientSession(node.http_url) as session:
            for n in range(20):
                async with session.put("/v1/keys/a", json=n) as done:
                    assert done.status in (200, 201)
                async with session.get("/v1/keys/a") as found:
                    assert await found.json() == n
            assert node.http.connections == 1
            assert node.http.connections_total == 1

    run(scenario())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            alive = {"Connection": "keep-alive"}
            puts = [
                request("PUT", f"/v1/keys/k{n}", body=b"x" * n, headers=alive) for n in range(20)
            ]
            gets = [request("GET", f"/v1/keys/k{n}", headers=alive) for n in range(20)]
            last = request("GET", "/health/live")
            answers = await exchange(node, b"".join([*puts, *gets, last]))
            assert answers.count(b"HTTP/1.1 201 Created") == 20
            assert answers.count(b"HTTP/1.1 200 OK") == 21
            places = [answers.index(b"\r\n\r\n" + b"x" * n + b"HTTP") for n in range(1, 20)]
            assert places == sorted(places)

    run(scenario())


def test_what_follows_a_request_that_is_refused_is_still_read() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            alive = {"Connection": "keep-alive"}
            bad = request("PUT", "/v1/keys/a?ttl=0", body=b"x" * 1000, headers=alive)
            answers = await exchange(node, bad + request("GET", "/health/live"))
            assert b"HTTP/1.1 400" in answers
            assert answers.endswith(b'{"status":"live"}')

    run(scenario())


def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.01)

    async def scenario() -> None:
        async with a_node() as node, connected(node) as (reader, writer):
            alive = {"Connection": "keep-alive"}
            writer.write(request("GET", "/health/live", headers=alive))
            assert (await reader.read()).endswith(b'{"status":"live"}')
            await until(lambda: node.http.connections == 0)

    run(scenario())


def test_a_second_head_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.01)

    async def scenario() -> None:
        async with a_node() as node, connected(node) as (reader, writer):
            alive = {"Connection": "keep-alive"}
            writer.write(request("GET", "/health/live", headers=alive) + b"GET / HTTP")
            assert (await reader.read()).endswith(b'{"status":"live"}')

    run(scenario())


def test_connections_beyond_the_bound_are_turned_away() -> None:
    async def scenario() -> None:
        async with a_node(connections=2) as node:
            alive = request("GET", "/health/live", headers={"Connection": "keep-alive"})
            async with connected(node) as (first, one), connected(node) as (second, two):
                for reader, writer in ((first, one), (second, two)):
                    writer.write(alive)
                    await reader.readuntil(b"live")
                assert node.http.connections == 2
                turned_away = parse(await exchange(node, request("GET", "/v1/status")), "GET")
                assert turned_away.status == 503
            await until(lambda: node.http.connections == 0)
            assert (await visit(node, "GET", "/health/live")).status == 200

    run(scenario())


# -- stopping


def test_a_stop_closes_idle_connections_and_leaves_none() -> None:
    async def scenario() -> None:
        async with a_node() as node, connected(node) as (reader, writer):
            writer.write(request("GET", "/health/live", headers={"Connection": "keep-alive"}))
            await reader.readuntil(b"live")
            assert node.http.connections == 1
            await node.stop()
            assert (await reader.read()).endswith(b'"}')
            await until(lambda: node.http.connections == 0)

    run(scenario())


def test_a_stop_tells_a_read_that_waits_to_go_elsewhere() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            service = node.services["default"]
            ahead = {"Tlru-Position": f"{service.log.epoch}-{service.machine.index + 100}"}
            reading = asyncio.ensure_future(
                visit(node, "GET", "/v1/keys/a?timeout=3600", headers=ahead)
            )
            await until(lambda: service.reads.waiting)
            await node.http.stop(0.01)
            refused = await reading
            assert (refused.status, refused.code) == (503, "draining")
            assert refused.json["retry"] == "other"

    run(scenario())


def test_a_stop_says_of_a_write_that_its_outcome_is_not_known() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            lock = [{"op": "lock", "name": "l", "ttl": 60}]
            await visit(node, "POST", "/v1/batch", json=lock)
            waiting = [{**lock[0], "wait": 3600}]
            asking = asyncio.ensure_future(visit(node, "POST", "/v1/batch", json=waiting))
            await until(lambda: node.http.asking)
            await node.http.stop(0.01)
            (told,) = (await asking).json
            assert (told["error"]["code"], told["error"]["retry"]) == ("timeout", "unknown")

    run(scenario())


def test_a_stop_lets_what_was_asked_be_answered() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            service = node.services["default"]
            # Sets that come together are one entry: a later position takes ten seconds to come.
            ahead = {"Tlru-Position": f"{service.log.epoch}-{service.machine.index + 3}"}
            reading = asyncio.ensure_future(
                visit(node, "GET", "/v1/keys/a?timeout=60", headers=ahead)
            )
            await until(lambda: service.reads.waiting)
            writing = [asyncio.ensure_future(put(node, f"{n}", n)) for n in range(20)]
            await until(lambda: node.rates.ops["set"] == 20)
            await node.http.stop(PATIENCE_S)
            assert {(await each).status for each in writing} == {201}
            assert (await reading).status == 404

    run(scenario())


def test_a_connection_that_speaks_after_the_stop_is_told() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await node.http.stop(0)
            refused = parse(await exchange(node, request("GET", "/status")), "GET")
            assert (refused.status, refused.code) == (503, "draining")

    run(scenario())


def test_a_head_is_bounded_as_a_whole_and_not_line_by_line_alone() -> None:
    """A hundred lines that are each short enough are most of a megabyte."""
    lines = [b"X-%d: %b\r\n" % (n, b"x" * 4_000) for n in range(9)]

    async def scenario() -> None:
        async with a_node() as node:
            head = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
            fitting = head + b"".join(lines[:7]) + b"Connection: close\r\n\r\n"
            assert parse(await exchange(node, fitting), "GET").status == 200
            for end in (b"\r\n", b""):  # whole, and still going on
                refused = parse(await exchange(node, head + b"".join(lines) + end), "GET")
                assert (refused.status, refused.code) == (431, "too_large")
                async with connected(node) as (reader, writer):  # that has been good for one
                    writer.write(head + b"\r\n")
                    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
                    await reader.readuntil(b"}")
                    writer.write(head + b"".join(lines) + end)
                    refused = parse(await reader.read(), "GET")
                    assert (refused.status, refused.code) == (431, "too_large")

    run(scenario())


def test_a_body_counts_for_no_head() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            body = b'"' + b"x" * 100_000 + b'"'
            put_it = request("PUT", "/v1/keys/a", body=body, headers=JSON | {"Connection": "x"})
            async with connected(node) as (reader, writer):
                for _ in range(2):
                    for at in range(0, len(put_it), 7_000):
                        writer.write(put_it[at : at + 7_000])
                        await asyncio.sleep(0)
                    assert (await reader.readuntil(b"\r\n\r\n")).split()[1] in (b"200", b"201")
                    await reader.readuntil(b"}")

    run(scenario())


def test_a_head_that_was_refused_is_let_go_of_at_once() -> None:
    """It was held by its own error's traceback until the collector came by."""

    async def scenario() -> None:
        async with a_node() as node:
            made: list[weakref.ref[object]] = []
            plain = node.http.connection

            def noted() -> asyncio.Protocol:
                made.append(weakref.ref(found := plain()))
                return found

            node.http.connection = noted  # type: ignore[method-assign]
            head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000
            with contextlib.suppress(ConnectionError):
                await exchange(node, head)
            await until(lambda: node.http.connections == 0)
            await until(lambda: made[0]() is None)

    gc.disable()
    try:
        run(scenario())
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [100, 40_000, 200_000])
def test_the_end_of_a_body_is_no_head(size: int) -> None:
    """However much of it comes in one piece, after the head: the next request is read as ever."""

    async def scenario() -> None:
        async with a_node() as node, connected(node) as (reader, writer):
            for number in range(3):
                told = f"Host: localhost\r\nContent-Length: {size}\r\nExpect: 100-continue"
                writer.write(f"PUT /v1/keys/k{number} HTTP/1.1\r\n{told}\r\n\r\n".encode())
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
                writer.write(b"x" * size)
                assert b" 201 " in await reader.readuntil(b"\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
            assert (await get(node, "k2")).status == 200

    run(scenario())
