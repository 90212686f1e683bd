"""Reads of which any answer will do, from a node that is cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.ports import free_ports
from tests.running import run, talking, until
from tlru.config import Config
from tlru.node import Node

TOKEN = "a token that both of them know"
LEAST_S = 0.3  # of the election timeout: an answer is never said to be fresher than that


@asynccontextmanager
async def two_nodes(**options: Any) -> AsyncIterator[tuple[Node, Callable[[], Awaitable[None]]]]:
    """One of two nodes that share a cache, and what lets the other go."""
    meshes = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    stays, goes = (
        Node(
            Config(
                id=f"n{number}",
                listen="127.0.0.1:0",
                mesh=meshes[number],
                join=meshes,
                expect=2,
                token=TOKEN,
                election_timeout=LEAST_S,
                heartbeat=0.05,
                **options,
            )
        )
        for number in range(2)
    )
    async with stays, goes:
        await until(lambda: {stays.status, goes.status} == {"active"})

        async def let_go() -> None:
            await goes.stop()
            await until(lambda: stays.status == "isolated")

        yield stays, let_go


@asynccontextmanager
async def left_alone(*, stale_reads: bool) -> AsyncIterator[Node]:
    """One of two nodes, which has a key, after the other has gone."""
    async with two_nodes(stale_reads=stale_reads) as (stays, let_go):
        async with talking(stays) as talker:
            assert (await talker.ask("set", key="k", value=1))["ok"]
        await let_go()
        yield stays


def test_a_node_that_is_cut_off_says_how_old_its_answer_may_be() -> None:
    async def test() -> None:
        async with left_alone(stale_reads=True) as node, talking(node) as talker:
            first = await talker.ask("get", key="k", read="any")
            assert (first["value"], first["found"]) == (1, True)
            assert first["stale"] >= LEAST_S
            again = await talker.ask("get_many", keys=["k", "none"], read="any")
            assert [found["found"] for found in again["values"]] == [True, False]
            assert again["stale"] >= first["stale"]
            page = await talker.ask("scan", read="any")
            assert (page["keys"], page["stale"] >= first["stale"]) == (["k"], True)
            url = f"{node.http_url}/v1/keys/k?read=any"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                assert (response.status, await response.json()) == (200, 1)
                assert float(response.headers["Tlru-Stale"]) >= first["stale"]

    run(test())


def test_it_answers_nothing_else() -> None:
    """Neither what is to be as others see it, nor a write, which a touching read is too."""

    async def test() -> None:
        async with left_alone(stale_reads=True) as node, talking(node) as talker:
            for op, fields in (
                ("get", {"key": "k"}),
                ("get", {"key": "k", "read": "local"}),
                ("get", {"key": "k", "read": "linear"}),
                ("get", {"key": "k", "read": "any", "touch": 5}),
                ("set", {"key": "k", "value": 2}),
            ):
                reply = await talker.ask(op, **fields)
                assert reply["error"]["code"] == "isolated", (op, fields)

    run(test())


def test_it_answers_nothing_at_all_where_its_operator_does_not_let_it() -> None:
    async def test() -> None:
        async with left_alone(stale_reads=False) as node, talking(node) as talker:
            reply = await talker.ask("get", key="k", read="any")
            assert reply["error"]["code"] == "isolated"

    run(test())
