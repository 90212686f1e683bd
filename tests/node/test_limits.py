"""Limits by class, on real nodes: what is over them is refused, says when to come back, and is let
in then."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

import tlru
from tests.node.access.holders import token_file
from tests.running import CODECS, a_node, run, talking, until
from tlru.node import Node, limits
from tlru.node.overload import Strain


@contextlib.asynccontextmanager
async def limited(text: str | None, **options: Any) -> AsyncIterator[Node]:
    """A node with these limits in force."""
    async with a_node(**options) as node, aiohttp.ClientSession(node.http_url) as http:
        await set_limits(node, http, text)
        yield node


async def set_limits(node: Node, http: aiohttp.ClientSession, text: str | None) -> None:
    """Set them as an operator does, and wait until the node goes by them."""
    async with http.patch("/v1/settings", json={"limits": text}) as answer:
        assert answer.status == 200, await answer.text()
    await until(lambda: node.services["default"].guard.watches is (text is not None))


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_over_the_limit_is_refused_and_says_which_and_when_to_come_back(codec: str) -> None:
    async def scenario() -> None:
        async with (
            limited("default: operations=4 operations_burst=2") as node,
            talking(node, codec) as one,
        ):
            replies = [await one.ask("get", key="k") for _ in range(3)]
            assert [reply["ok"] for reply in replies] == [True, True, False]
            error = replies[2]["error"]
            assert (error["code"], error["retry"]) == ("rate_limited", "same")
            assert (error["status"], error["limit"]) == (429, "operations")
            assert 0 < error["after"] <= 0.25
            assert (await one.ask("ping"))["ok"]  # costs nothing
            await asyncio.sleep(error["after"])
            assert (await one.ask("get", key="k"))["ok"]

    run(scenario())


def test_bytes_that_clients_send_are_counted() -> None:
    async def scenario() -> None:
        async with limited("default: bytes=10") as node, talking(node) as one:
            assert (await one.ask("set", key="k", value="x" * 2_000))["ok"]
            refused = await one.ask("get", key="k")
            assert refused["error"]["limit"] == "bytes"
            assert refused["error"]["after"] > 0.9

    run(scenario())


def test_http_answers_429_with_retry_after_and_the_limit() -> None:
    async def scenario() -> None:
        async with (
            limited("default: operations=1") as node,
            aiohttp.ClientSession(node.http_url) as http,
        ):
            async with http.get("/v1/keys/k") as answer:
                assert answer.status == 404
            async with http.get("/v1/keys/k") as answer:
                assert answer.status == 429
                assert answer.headers["Retry-After"] == "1"
                problem = json.loads(await answer.text())
            assert (problem["code"], problem["limit"]) == ("rate_limited", "operations")
            async with http.get("/v1/events?pattern=*") as answer:
                assert answer.status == 429
            # Who watches over the node, or has to change the limits, is let in.
            async with http.get("/health/live") as answer:
                assert answer.status == 200
            await set_limits(node, http, None)
            async with http.get("/v1/keys/k") as answer:
                assert answer.status == 404

    run(scenario())


def test_a_batch_has_each_of_its_operations_judged() -> None:
    async def scenario() -> None:
        async with (
            limited("default: operations=1 operations_burst=2") as node,
            aiohttp.ClientSession(node.http_url) as http,
        ):
            wishes = [{"op": "get", "key": "k"}] * 3
            async with http.post("/v1/batch", json=wishes) as answer:
                results = await answer.json()
            assert [each["ok"] for each in results] == [True, True, False]
            assert results[2]["error"]["code"] == "rate_limited"

    run(scenario())


def test_limits_change_for_connections_that_are_open() -> None:
    async def scenario() -> None:
        async with (
            limited("default: bytes=1") as node,  # for one request, half a minute of it
            aiohttp.ClientSession(node.http_url) as http,
            talking(node) as one,
        ):
            assert [(await one.ask("get", key="k"))["ok"] for _ in range(2)] == [True, False]
            await set_limits(node, http, None)
            assert all([(await one.ask("get", key="k"))["ok"] for _ in range(20)])

    run(scenario())


def test_who_runs_the_cluster_is_not_kept_from_changing_the_limits() -> None:
    async def scenario() -> None:
        async with (
            limited("default: bytes=1 operations=1") as node,
            aiohttp.ClientSession(node.http_url) as http,
        ):
            async with http.put("/v1/keys/k", data=b"x" * 1_000) as answer:
                assert answer.status == 201
            async with http.put("/v1/keys/k", data=b"x") as answer:
                assert answer.status == 429
                assert json.loads(await answer.text())["limit"] == "bytes"
            await set_limits(node, http, None)

    run(scenario())


def test_a_body_that_comes_in_chunks_is_counted_too() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100

    async def scenario() -> None:
        async with (
            limited("default: bytes=10") as node,
            aiohttp.ClientSession(node.http_url) as http,
        ):
            async with http.put("/v1/keys/k", data=chunks()) as answer:
                assert answer.status == 201
            async with http.put("/v1/keys/k", data=b"x") as answer:
                assert json.loads(await answer.text())["limit"] == "bytes"

    run(scenario())


def test_limits_that_make_no_sense_are_refused_with_the_reason() -> None:
    async def scenario() -> None:
        async with (
            a_node() as node,
            aiohttp.ClientSession(node.http_url) as http,
            http.patch("/v1/settings", json={"limits": "bulk: speed=1"}) as answer,
        ):
            assert answer.status == 400
            assert "'speed=1' is none of" in json.loads(await answer.text())["detail"]

    run(scenario())


def test_a_class_has_no_more_connections_than_it_may() -> None:
    async def scenario() -> None:
        async with limited("default: open=1") as node:
            async with talking(node) as one:
                with pytest.raises(InvalidStatus) as refused:
                    async with talking(node):
                        pass
                assert refused.value.response.status_code == 429
                assert refused.value.response.headers["Retry-After"] == "5"
                assert (await one.ask("get", key="k"))["ok"]
            await until(lambda: not node.services["default"].guard.open["default"])
            async with talking(node) as two:
                assert (await two.ask("get", key="k"))["ok"]

    run(scenario())


def test_an_address_has_no_more_connections_than_it_may() -> None:
    async def scenario() -> None:
        async with a_node(connections_per_address=2) as node:
            async with talking(node), talking(node):
                with pytest.raises(InvalidStatus) as refused:
                    async with talking(node):
                        pass
                assert refused.value.response.status_code == 503
            await until(lambda: node.addresses.of("127.0.0.1") == 0)
            async with talking(node) as one:
                assert (await one.ask("ping"))["ok"]

    run(scenario())


def test_who_never_waits_is_closed() -> None:
    async def scenario(patch: pytest.MonkeyPatch) -> None:
        patch.setattr("tlru.node.session.REFUSED_MAX", 20)
        async with limited("default: operations=1") as node, talking(node) as one:
            for _ in range(40):
                await one.send({"op": "get", "key": "k"})
            assert await one.closed() == 4429
            assert re.match(r"after=[01]\.\d{3} ", one.socket.close_reason or "")

    with pytest.MonkeyPatch.context() as patch:
        run(scenario(patch))


def test_the_client_obeys_after() -> None:
    """Every call succeeds, later: none is told of a refusal, and the node's rate is kept."""

    async def scenario() -> None:
        async with limited("default: operations=20 operations_burst=1") as node:
            async with tlru.connect(node.url, timeout=5) as cache:
                began = time.monotonic()
                for number in range(8):
                    await cache.set(f"k{number}", number)
                took = time.monotonic() - began
            assert took >= 7 / 20
            refused = node.services["default"].guard.refused["default", "operations"]
            assert 1 <= refused <= 14

    run(scenario())


def test_shared_limits_are_divided_among_the_active_nodes() -> None:
    guard = limits.Guard()
    guard.follow("default: operations=90 operations_burst=9 open=6 shared", nodes=3)
    assert [guard.operation("default", 0.0) is None for _ in range(4)] == [True] * 3 + [False]
    guard.open["default"] = 2
    refused = guard.connection("default", 0.0)
    assert refused is not None
    assert refused.facts["limit"] == "open"


def test_under_overload_the_lesser_class_is_refused_and_the_other_is_served(tmp_path: Path) -> None:
    """The node is told that it suffers; what it then says to real clients is looked at."""
    classes = {name: {"client_class": name, "read": ("",)} for name in ("critical", "bulk")}
    file, tokens = token_file(tmp_path, **classes)

    async def scenario() -> None:
        async with (
            a_node(tokens_file=file) as node,
            talking(node) as critical,
            talking(node) as bulk,
        ):
            await critical.ask("hello", token=tokens["critical"])
            await bulk.ask("hello", token=tokens["bulk"])
            node.strain.stop()
            for _ in range(10):
                node.services["default"].guard.asked = [1, 1, 1]
                node.strain.take_up(Strain(lag_s=0.1))
            node.services["default"].guard.follow(None, 1)
            told = [await bulk.ask("get", key="k") for _ in range(30)]
            refused = [each["error"] for each in told if not each["ok"]]
            assert len(refused) >= 28
            assert {(each["code"], each["retry"]) for each in refused} == {("overloaded", "other")}
            assert all(each["after"] > 0 for each in refused)
            assert all([(await critical.ask("get", key="k"))["ok"] for _ in range(30)])
            for _ in range(60):
                node.strain.take_up(Strain())
            assert all([(await bulk.ask("get", key="k"))["ok"] for _ in range(30)])

    run(scenario())
