"""Over HTTP a class takes no more than over WebSockets: its connections count, and its turns."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.node.access.holders import bearer, token_file
from tests.node.http.streams import listening
from tests.node.http.visiting import parse, request, visit
from tests.node.test_limits import limited
from tests.running import a_node, run, talking, until
from tlru.node import Node
from tlru.node.turns import PART_S, Timed, Turns

ALL: dict[str, Any] = {"read": ("",), "write": ("",), "subscribe": ("",)}


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """The status of a request on a connection that is kept."""
    writer.write(request("PUT", "/v1/keys/k", json=1, headers={"Connection": "keep-alive"}))
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"}")
    return int(head.split()[1])


def opened(node: Node) -> int:
    """How many connections count for the class of everybody."""
    return node.services["default"].guard.open["default"]


def test_a_connection_counts_for_its_class_whatever_is_spoken_on_it() -> None:
    async def scenario() -> None:
        async with limited("default: open=2") as node:
            async with talking(node):
                reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
                assert await asked(reader, writer) in (200, 201)
                assert await asked(reader, writer) == 200, "it counts once"
                assert opened(node) == 2
                refused = await visit(node, "GET", "/v1/keys/k")
                assert (refused.status, refused.json["limit"]) == (429, "open")
                assert (await visit(node, "GET", "/v1/events?key=k")).status == 429
                with pytest.raises(InvalidStatus):
                    async with talking(node):
                        pass
                assert (await visit(node, "GET", "/health/live")).status == 200  # counts for nobody
                writer.close()
                await until(lambda: opened(node) == 1)
                async with listening(node, "key=k") as stream:
                    assert stream.status == 200
                    assert opened(node) == 2
                    assert (await visit(node, "GET", "/v1/keys/k")).status == 429
                await until(lambda: opened(node) == 1)
            await until(lambda: opened(node) == 0)

    run(scenario())


def test_a_connection_that_has_no_place_is_not_kept() -> None:
    async def scenario() -> None:
        async with limited("default: connections=1 connections_burst=1") as node:
            node.services["default"].guard.connection("default", time.monotonic() + 3_600)
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(request("GET", "/v1/keys/k", headers={"Connection": "keep-alive"}))
            refused = parse(await reader.read(), "GET")  # until it is closed
            assert (refused.status, refused.json["limit"]) == (429, "connections")
            writer.close()

    run(scenario())


def test_a_connection_counts_for_whoever_asks_on_it_now(tmp_path: Path) -> None:
    """As of a proxy, which sends requests of many clients on one connection."""
    file, tokens = token_file(
        tmp_path, one={"client_class": "one", **ALL}, two={"client_class": "two", **ALL}
    )

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node:
            guard = node.services["default"].guard
            node.strain.stop()
            guard.follow("one: connections=1 connections_burst=1; two: open=1", 1)
            guard.came("two")
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            for name in ("one", "two", "one", "two", "one"):
                told = {"Connection": "keep-alive", **bearer(tokens[name])}
                writer.write(request("GET", "/v1/keys/k", headers=told))
                assert b'"not_found"' in await reader.readuntil(b"}")
                assert guard.open["one"] + guard.open["two"] == 2
            writer.close()
            await until(lambda: guard.open == {"two": 1})

    run(scenario())


def test_a_request_waits_for_a_turn_of_its_rank(tmp_path: Path) -> None:
    """The lesser class has had its part of this turn, and the next: the others are served."""
    classes = {name: {"client_class": name, **ALL} for name in ("bulk", "critical")}
    file, tokens = token_file(tmp_path, **classes)

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node:
            turns = node.strain.turns
            node.strain.stop()  # else the waits are taken up, and some may be refused
            kept = {}
            for name in classes:
                kept[name] = await asyncio.open_connection("127.0.0.1", node.port)
                told = {"Connection": "keep-alive", **bearer(tokens[name])}
                kept[name][1].write(request("GET", "/v1/keys/k", headers=told))
                await kept[name][0].readuntil(b"}")  # who it is is known from now on
            for busy in (True, False):
                for name in classes:
                    told = {"Connection": "keep-alive", **bearer(tokens[name])}
                    kept[name][1].write(request("GET", "/v1/keys/k", headers=told))
                answer = asyncio.ensure_future(kept["bulk"][0].readuntil(b"}"))
                done = asyncio.ensure_future(kept["critical"][0].readuntil(b"}"))
                if busy:
                    with pytest.MonkeyPatch.context() as patch:
                        patch.setattr(turns, "open", lambda rank: rank == 0)
                        patch.setattr("tlru.node.turns.LET_ON", (0, 0, 0))
                        assert b" 404 " in await done
                        assert not answer.done()
                assert b" 404 " in await answer
            assert turns.waited_s[2] > 0
            for _, writer in kept.values():
                writer.close()

    run(scenario())


def test_who_has_waited_longest_for_a_turn_goes_first() -> None:
    async def scenario() -> list[int]:
        turns = Turns()
        went: list[int] = []

        async def one(number: int) -> None:
            await turns.turn(2)
            went.append(number)
            turns.took(2, PART_S[2])

        turns.took(2, PART_S[2])
        await asyncio.gather(*(one(number) for number in range(40)))
        return went

    assert run(scenario()) == list(range(40))


def test_what_is_waited_for_takes_nothing_of_a_turn() -> None:
    async def work() -> str:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0.05)
        with pytest.raises(KeyError):
            await asyncio.gather(failing())
        return "done"

    async def failing() -> None:
        raise KeyError

    async def scenario() -> float:
        turns = Turns(lambda over: None)
        assert await Timed(work(), turns, lambda: (1, False)) == "done"
        task = asyncio.ensure_future(_wait(Timed(asyncio.sleep(60), turns, lambda: (1, False))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return PART_S[1] - turns._left[1]

    assert 0.002 <= run(scenario()) < 0.04


async def _wait(timed: Timed[None]) -> None:
    await timed
