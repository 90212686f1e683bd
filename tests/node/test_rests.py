"""Large messages of the least rank wait for each other, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.node.access.holders import bearer
from tests.node.test_knocking import _nobody_is_refused as _nobody_is_refused
from tests.node.test_knocking import knocked, of_three_classes, welcomed
from tests.node.test_turns import Loop
from tests.running import Talker, a_node, run, talking, until
from tlru.node.rests import FACTOR, LARGE_BYTES, REST_S_MAX, Rests
from tlru.node.server import Node
from tlru.node.turns import PART_S


def test_a_large_message_that_took_too_long_is_followed_by_a_rest() -> None:
    turns, _ = knocked(Loop())
    turns.took(2, PART_S[2] * 2, large=True)
    assert turns.rests.open(), "nobody is there whom it would trouble"
    turns.took(1, 0.0)
    left_s = turns.rests.left_s()
    assert 0 < left_s <= PART_S[2] * 2 * FACTOR
    turns.took(2, 1_000.0)
    turns.took(2, PART_S[2] * 1.5, large=True)
    assert turns.rests.left_s() > PART_S[2] * 1.4 * FACTOR, "neither small ones nor shorter ones"
    assert turns.rests.left_s() <= left_s, "count"
    turns.took(2, 1_000.0, large=True)
    assert PART_S[2] * 2 * FACTOR < turns.rests.left_s() <= REST_S_MAX
    turns, _ = knocked(Loop())
    turns.took(1, 0.0)
    turns.took(1, 1_000.0, large=True)
    turns.took(2, 1_000.0)
    turns.took(2, PART_S[2], large=True)
    assert turns.rests.open()


def test_those_who_rest_go_on_in_the_order_in_which_they_came() -> None:
    async def test() -> None:
        noticed = True
        rests = Rests(lambda: noticed)
        rests.took(1_000.0)
        went: list[int] = []
        done = asyncio.get_running_loop().create_future()

        async def one(number: int) -> None:
            await rests.turn()
            assert rests.left_s() == 0
            went.append(number)

        asking = [asyncio.create_task(one(number)) for number in range(3)]
        await asyncio.sleep(0)
        rests.wait(lambda: done.set_result(None))
        asking[1].cancel()
        assert not rests.open()
        noticed = False
        await done
        assert went == [0, 2]
        await until(rests.open)
        await asyncio.gather(*asking, return_exceptions=True)

    run(test())


def test_nobody_rests_where_the_node_stops() -> None:
    async def test() -> None:
        rests = Rests(lambda: True)
        rests.took(1_000.0)
        asking = [asyncio.create_task(rests.turn()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in asking)
        rests.end()
        await asyncio.gather(*asking)
        await rests.turn()

    run(test())


LARGE: dict[str, Any] = {"op": "set", "key": "large", "value": "x" * LARGE_BYTES}


@contextlib.contextmanager
def rests_that_last() -> Iterator[None]:
    """Nobody lives to see the end of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tlru.node.rests.FACTOR", 1e9)
        patch.setattr("tlru.node.rests.REST_S_MAX", 3_600.0)
        patch.setattr("tlru.node.rests.LOOK_S", 3_600.0)
        yield


async def _put(node: Node, token: str, key: str) -> int:
    headers = {"Content-Type": "application/json", **bearer(token)}
    body = json.dumps("x" * LARGE_BYTES)
    async with (
        aiohttp.ClientSession(node.http_url, headers=headers) as http,
        http.put(f"/v1/keys/{key}", data=body) as answer,
    ):
        return answer.status


@contextlib.asynccontextmanager
async def one_that_rests(folder: Path) -> AsyncIterator[tuple[Node, Talker, str]]:
    """A node, a client of the least class whose large message waits there, and its token."""
    file, tokens = of_three_classes(folder)
    async with a_node(tokens_file=file) as node, talking(node) as quiet, talking(node) as one:
        await welcomed(node, quiet, tokens["default"])
        await welcomed(node, one, tokens["bulk"])
        with rests_that_last():
            node.strain.turns.took(2, PART_S[2] * 2, large=True)
            assert (await quiet.ask("ping"))["ok"]
            await one.send({"id": 1_000, **LARGE})
            await until(lambda: len(node.strain.turns.rests._waiting) == 1)
            yield node, one, tokens["bulk"]


def test_large_messages_of_the_least_rank_wait_and_small_ones_go_on(tmp_path: Path) -> None:
    file, tokens = of_three_classes(tmp_path)

    async def test() -> None:
        async with (
            a_node(tokens_file=file) as node,
            talking(node) as quiet,
            talking(node) as one,
            talking(node) as other,
        ):
            turns = node.strain.turns
            await welcomed(node, quiet, tokens["default"])
            for each in (one, other):
                await welcomed(node, each, tokens["bulk"])
            with rests_that_last():
                turns.took(2, PART_S[2] * 2, large=True)
                assert (await quiet.ask("ping"))["ok"]
                assert node.strain.told()["rest_s"] > 0
                await one.send({"id": 1_000, **LARGE})
                put = asyncio.create_task(_put(node, tokens["bulk"], "put"))
                for number in range(20):
                    assert (await quiet.ask("set", key="quiet", value=number))["ok"]
                    assert (await other.ask("set", key="small", value=number))["ok"]
                await until(lambda: len(turns.rests._waiting) == 2)
                assert not (await quiet.ask("get", key="large"))["found"]
                turns.rests._until = 0.0
                turns.rests.end()
            assert (await one.receive())["id"] == 1_000
            assert await put == 201
            assert (await quiet.ask("get", key="put"))["found"]

    run(test())


def test_a_node_that_stops_answers_those_who_rest(tmp_path: Path) -> None:
    async def test() -> None:
        async with one_that_rests(tmp_path) as (node, one, token):
            put = asyncio.create_task(_put(node, token, "put"))
            await until(lambda: len(node.strain.turns.rests._waiting) == 2)
            await node.stop()
            told = [await one.receive() for _ in range(2)]
            assert 1_000 in {each.get("id") for each in told}, told
            assert await put in (200, 201, 503)

    run(test())


def test_the_rest_is_over_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, tokens = of_three_classes(tmp_path)
    monkeypatch.setattr("tlru.node.rests.REST_S_MAX", 0.05)

    async def test() -> None:
        async with a_node(tokens_file=file) as node, talking(node) as quiet, talking(node) as one:
            await welcomed(node, quiet, tokens["critical"])
            await welcomed(node, one, tokens["bulk"])
            for number in range(3):
                assert (await quiet.ask("ping"))["ok"]
                node.strain.turns.took(2, 1.0, large=True)
                assert (await one.ask(**{**LARGE, "key": str(number)}))["ok"]
                assert (await quiet.ask("ping"))["ok"]
                node.strain.turns.took(2, 1.0, large=True)
                assert await _put(node, tokens["bulk"], f"http{number}") == 201
            assert (await quiet.ask("get", key="2"))["found"]
            assert (await quiet.ask("get", key="http2"))["found"]

    run(test())


def test_who_is_made_to_wait_is_not_called_silent(tmp_path: Path) -> None:
    async def test() -> None:
        async with one_that_rests(tmp_path) as (node, one, _):
            later = asyncio.get_running_loop().time() + 1_000
            (resting,) = [c for c in node.connections if c.session and c.session.made_to_wait]
            resting.tick(later, 20.0)
            assert resting._heard == later
            node.strain.turns.rests.end()
            assert (await one.receive())["id"] == 1_000

    run(test())


def test_large_messages_that_waited_rest_between_them_also_where_others_queue(
    tmp_path: Path,
) -> None:
    """Each is begun when it is called, not after those who wait for a turn."""

    async def test() -> None:
        async with one_that_rests(tmp_path) as (node, one, _):
            turns = node.strain.turns
            before = node.rates.ops["set"]
            turns.queue(2, lambda: None)
            assert not turns.free(2)
            turns.rests._waiting.popleft()()
            assert node.rates.ops["set"] == before + 1
            assert (await one.receive())["id"] == 1_000

    run(test())


def test_what_a_request_of_http_takes_is_of_the_rank_of_who_asks_from_the_first_on(
    tmp_path: Path,
) -> None:
    """It is not known when the request comes, and a connection for each says no more than one."""
    file, tokens = of_three_classes(tmp_path)

    async def test() -> None:
        async with a_node(tokens_file=file) as node:
            turns = node.strain.turns
            assert await _put(node, tokens["bulk"], "k") == 201
            assert turns._active[2] > float("-inf")
            assert turns._active[:2] == [float("-inf")] * 2
            assert await _put(node, tokens["critical"], "k") == 200
            assert turns._active[0] > turns._active[2]
            assert turns._active[1] == float("-inf")

    run(test())
