"""Who waits at a socket is heard, once for each arrival, by whoever is less important."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.node.access.holders import bearer, token_file
from tests.node.test_turns import Loop
from tests.running import Talker, a_node, run, talking, until
from tlru.node.knocking import Knocking
from tlru.node.server import Node
from tlru.node.turns import LARGE_BYTES, PART_S, REST_FACTOR, REST_S_MAX, SLICE_S, Turns

pytestmark = pytest.mark.skipif(not hasattr(__import__("select"), "epoll"), reason="Linux hears")


class Ends:
    """Both ends of a connection: the node's reads only when it is told to."""

    async def __aenter__(self) -> Ends:
        self._came: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        ends = self

        class Theirs(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                transport.pause_reading()
                ends._came.set_result(transport)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(Theirs, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        _, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.node_side = await self._came
        return self

    async def say(self) -> None:
        """Send a byte, which has arrived when this returns."""
        self.writer.write(b"x")
        await self.writer.drain()

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        self.node_side.abort()
        self._server.close()


def test_an_arrival_is_heard_by_the_less_important_once() -> None:
    async def test() -> None:
        knocking = Knocking()
        async with Ends() as ends:
            knocking.listen(ends.node_side, 1)
            assert [knocking.anybody(rank) for rank in range(3)] == [False, False, True]
            assert not knocking.heard(2)
            await ends.say()
            await until(lambda: knocking.heard(2))
            assert not knocking.heard(2), "the same bytes again"
            assert not knocking.heard(1)
            assert not knocking.heard(0)
            await ends.say()
            await until(lambda: knocking.heard(2))
            knocking.close()

    run(test())


def test_what_was_read_meanwhile_is_not_heard() -> None:
    async def test() -> None:
        knocking = Knocking()
        async with Ends() as ends:
            knocking.listen(ends.node_side, 0)
            await ends.say()
            read = ends.node_side.get_extra_info("socket")
            await until(lambda: _taken(read.fileno()) == b"x")
            assert not knocking.heard(2)
            assert not knocking.heard(1)
            knocking.close()

    run(test())


def _taken(fd: int) -> bytes:
    import os

    try:
        return os.read(fd, 10)
    except BlockingIOError:
        return b""


def test_a_connection_counts_for_the_rank_that_it_has_now_and_for_none_when_it_is_gone() -> None:
    async def test() -> None:
        knocking = Knocking()
        async with Ends() as ends:
            for _ in range(2):
                knocking.listen(ends.node_side, 0)
                assert [knocking.anybody(rank) for rank in range(3)] == [False, True, True]
                knocking.listen(ends.node_side, 2)
                assert [knocking.anybody(rank) for rank in range(3)] == [False, False, False]
            await ends.say()
            assert not knocking.heard(2)
            knocking.listen(ends.node_side, 1)
            await until(lambda: knocking.heard(2))
            knocking.forget(ends.node_side)
            knocking.forget(ends.node_side)
            assert not knocking.anybody(2)
            await ends.say()
            assert not knocking.heard(2)

    run(test())


class Heard(Knocking):
    """Somebody more important is there, and knocks when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.knocks = False

    def anybody(self, rank: int) -> bool:
        return rank > 0

    def heard(self, rank: int) -> bool:
        heard, self.knocks = self.knocks, False
        return heard


def knocked(loop: Loop) -> tuple[Turns, Heard]:
    turns = Turns(lambda over: loop.later.append(over))
    turns.knocking = heard = Heard()
    return turns, heard


def test_a_rank_gives_way_until_the_loop_has_looked_at_its_sockets() -> None:
    loop = Loop()
    turns, heard = knocked(loop)
    turns.took(2, SLICE_S)
    assert turns.open(2)
    heard.knocks = True
    turns.took(2, SLICE_S)
    assert not turns.open(2)
    loop.end_turn()
    assert not turns.open(2), "what was heard has not been read yet"
    loop.end_turn()
    assert turns.open(2)


def test_whoever_nobody_is_more_important_than_takes_no_slices() -> None:
    turns = Turns(Loop().later.append)
    assert turns.slice_s(2) is None
    turns.took(0, 0.0)
    assert turns.slice_s(0) is None
    assert turns.slice_s(2) == SLICE_S, "one of them was active just now"


def test_a_message_that_took_too_long_is_followed_by_a_rest_from_large_ones() -> None:
    turns, _ = knocked(Loop())
    turns.took(2, PART_S[2] * 2)
    assert turns.rest_s(2, LARGE_BYTES) == 0, "nobody is there whom it would trouble"
    turns.took(1, 0.0)
    rest_s = turns.rest_s(2, LARGE_BYTES)
    assert 0 < rest_s <= PART_S[2] * 2 * REST_FACTOR
    assert turns.rest_s(2, LARGE_BYTES - 1) == 0
    assert turns.rest_s(1, LARGE_BYTES) == 0
    turns.took(2, 1_000.0)
    assert PART_S[2] * 2 * REST_FACTOR < turns.rest_s(2, LARGE_BYTES) <= REST_S_MAX
    turns, _ = knocked(Loop())
    turns.took(1, 0.0)
    turns.took(2, PART_S[2])
    assert turns.rest_s(2, LARGE_BYTES) == 0


def of_three_classes(folder: Path) -> tuple[Path, dict[str, str]]:
    """Holders of tokens, who may read and write."""
    classes = ("critical", "default", "bulk")
    return token_file(
        folder, **{name: {"client_class": name, "read": ("",), "write": ("",)} for name in classes}
    )


async def welcomed(node: Node, talker: Talker, token: str) -> None:
    """Say who it is, and have it counted for its class."""
    await talker.ask("hello", token=token)
    for connection in node.connections:
        connection._count_for_class()


LARGE: dict[str, Any] = {"op": "set", "key": "large", "value": "x" * LARGE_BYTES}


def test_large_messages_of_the_least_rank_wait_and_small_ones_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any message takes too long here, and only the first large one is taken."""
    file, tokens = of_three_classes(tmp_path)
    monkeypatch.setattr("tlru.node.turns.REST_FACTOR", 1e9)
    monkeypatch.setattr("tlru.node.turns.REST_S_MAX", 3_600.0)

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
            turns.took(2, PART_S[2] * 2)
            assert (await quiet.ask("ping"))["ok"]
            assert node.strain.told()["rest_s"] > 0
            await one.send({"id": 1_000, **LARGE})
            async with aiohttp.ClientSession(headers=bearer(tokens["bulk"])) as http:
                url = f"{node.http_url}/v1/keys/large"
                put = asyncio.create_task(_put(http, url, json.dumps("x" * LARGE_BYTES)))
                for number in range(20):
                    assert (await quiet.ask("set", key="quiet", value=number))["ok"]
                    assert (await other.ask("set", key="small", value=number))["ok"]
                reply = await quiet.ask("get", key="large")
                assert not reply["found"]
                assert not put.done()
                turns._rests_until[2] = 0.0
                await _go_on(node)
                assert (await one.receive())["id"] == 1_000
                put.cancel()
                await asyncio.gather(put, return_exceptions=True)

    run(test())


async def _put(http: aiohttp.ClientSession, url: str, body: str) -> int:
    headers = {"Content-Type": "application/json"}
    async with http.put(url, data=body, headers=headers) as answer:
        return answer.status


async def _go_on(node: Node) -> None:
    # Its rest was measured in hours, by a timer of the session's.
    for connection in node.connections:
        session = connection.session
        if session is not None and session._rest is not None:
            session._rest.cancel()
            session._go_on()


def test_the_rest_is_over_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, tokens = of_three_classes(tmp_path)
    monkeypatch.setattr("tlru.node.turns.REST_S_MAX", 0.05)

    async def test() -> None:
        async with a_node(tokens_file=file) as node, talking(node) as quiet, talking(node) as one:
            await welcomed(node, quiet, tokens["critical"])
            await welcomed(node, one, tokens["bulk"])
            headers = bearer(tokens["bulk"])
            for number in range(3):
                assert (await quiet.ask("ping"))["ok"]
                node.strain.turns.took(2, 1.0)
                assert (await one.ask(**{**LARGE, "key": str(number)}))["ok"]
                assert (await quiet.ask("ping"))["ok"]
                node.strain.turns.took(2, 1.0)
                async with aiohttp.ClientSession(headers=headers) as http:
                    url = f"{node.http_url}/v1/keys/http{number}"
                    assert await _put(http, url, json.dumps("x" * LARGE_BYTES)) in (200, 201, 204)
            assert (await quiet.ask("get", key="2"))["found"]
            assert (await quiet.ask("get", key="http2"))["found"]

    run(test())


def test_in_a_flood_each_knock_is_answered_before_the_flood_is_done(tmp_path: Path) -> None:
    """Judged by order, not by time: long before all that was sent at once is done, the quiet one,
    who spoke after it, has its answer."""
    file, tokens = of_three_classes(tmp_path)
    asked, connections = 900, 6

    async def test() -> None:
        async with a_node(tokens_file=file) as node, talking(node) as quiet:
            await welcomed(node, quiet, tokens["critical"])
            floods = [talking(node) for _ in range(connections)]
            talkers = [await flood.__aenter__() for flood in floods]
            try:
                for talker in talkers:
                    await welcomed(node, talker, tokens["bulk"])
                for talker in talkers:
                    await talker.send(
                        *({"id": n, "op": "set", "key": "k", "value": n} for n in range(asked))
                    )
                done = _sets(node)
                assert (await quiet.ask("ping"))["ok"]
                assert _sets(node) - done < asked * connections
                for talker in talkers:
                    ids = [(await talker.receive())["id"] for _ in range(asked)]
                    assert sorted(ids) == list(range(asked))
            finally:
                for flood in floods:
                    await flood.__aexit__(None, None, None)
            assert node.strain.turns.knocking.anybody(2)
        assert not node.strain.turns.knocking.anybody(2)

    run(test())


def _sets(node: Node) -> int:
    return int(node.rates.ops["set"])
