"""The examples that are Python programs, each in processes of its own, against real nodes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

import tlru
from tests.examples.programs import output_of, program, until
from tests.ports import free_ports
from tests.running import a_node, run
from tlru.node import Node


def rows(file: Path) -> list[str]:
    """What a record holds, in order, as the worker that changes things says it."""
    with contextlib.closing(sqlite3.connect(file)) as book:
        found = book.execute("SELECT good, what FROM record ORDER BY rowid").fetchall()
    return [f"{good} {what.removeprefix('is ')}" for good, what in found]


def test_a_record_lacks_nothing_though_its_worker_is_killed(tmp_path: Path) -> None:
    """In the middle of what happens, and then away for a while: each change stands there once."""
    file = tmp_path / "stock.sqlite"

    async def scenario() -> None:
        async with a_node() as node:
            recording = ("audit/record.py", "--file", str(file), node.url)
            changing = ("audit/change.py", node.url, "--changes")
            async with program(*recording) as recorder:
                assert (await recorder.line()).startswith("begins")
                async with program(*changing, "3000") as changer:
                    await recorder.until(lambda line: line.startswith("recorded"))
                    assert await recorder.end() == -signal.SIGKILL
                    recorded = len(rows(file))
                    changes = await changer.rest()
            assert 0 < recorded < len(changes) == 3000, "it was killed in the middle"
            changes += await output_of(*changing, "50")
            async with program(*recording) as recorder:
                assert (await recorder.line()).startswith("goes on behind ")
                changes += await output_of(*changing, "50")
                await recorder.until(lambda _: len(rows(file)) >= len(changes))
                assert await recorder.end(signal.SIGINT) == 0
            assert rows(file) == changes

    run(scenario())


def test_a_record_says_where_it_has_a_gap(tmp_path: Path) -> None:
    """Its worker was away for longer than the node retains what happens."""
    file = tmp_path / "stock.sqlite"

    async def scenario() -> None:
        async with a_node(retained_bytes=64 << 10) as node, tlru.connect(node.url) as cache:
            recording = ("audit/record.py", "--file", str(file), node.url)
            await cache.set("stock:apples", 1)
            async with program(*recording) as recorder:
                await recorder.until(lambda line: line.startswith("recorded"))
            assert rows(file) == ["apples 1"]
            for number in range(100):
                await asyncio.gather(*(cache.set("stock:pears", number) for _ in range(50)))
            async with program(*recording) as recorder:
                await recorder.until(lambda line: line.startswith("recorded"))
            _, gap, *after = rows(file)
            assert gap.startswith(" GAP: ")
            assert after == ["apples 1", "pears 99"]

    run(scenario())


def test_a_chat_in_terminals() -> None:
    """Each sees what all say, in one order; who comes later, what is retained; who goes, goes."""

    async def scenario() -> None:
        async with (
            a_node() as node,
            program("chat/chat.py", node.url, "--name", "ann") as ann,
        ):
            ann.type("hello", "", "is anybody here?")
            assert await ann.line() == "ann: hello"
            assert await ann.line() == "ann: is anybody here?"
            async with program("chat/chat.py", node.url, "--name", "bob") as bob:
                assert await bob.line() == "ann: hello"
                assert await bob.line() == "ann: is anybody here?"
                bob.type("I am\x1b[2J")
                assert await ann.line() == "bob: I am[2J", "no escape sequence of a stranger"
                assert await bob.line() == "bob: I am[2J"
                bob.type_no_more()
                assert await bob.rest() == []
            assert await ann.end(signal.SIGINT) == 0

    run(scenario())


def test_a_chat_without_a_cluster_says_so_in_one_line() -> None:
    async def scenario() -> None:
        (port,) = free_ports(1)
        async with program("chat/chat.py", f"ws://127.0.0.1:{port}") as chat:
            assert (await chat.line()).startswith("chat: ")
            assert await chat.line() == ""
            assert await chat.ended() == 1

    run(scenario())


def test_a_feed_of_prices_goes_on_without_its_node() -> None:
    """It says what is wrong, writes again when there is a node again, and ends with Ctrl-C."""

    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as first:
            node = await first.enter_async_context(a_node())
            feed = await first.enter_async_context(
                program("prices/feed.py", node.url, "--every", "0.05")
            )
            async with tlru.connect(node.url) as cache:
                prices = await until(lambda: cache.get_many(["price:EUR", "price:JPY"]), len)
                assert len(prices) == 2, "all or none"
                await until(lambda: cache.get("price:EUR"), lambda it: it != prices["price:EUR"])
            await node.stop()
            assert (await feed.line()).startswith("feed: ")
            port = int(node.url.rsplit(":", 1)[1].removesuffix("/ws"))
            async with (
                Node(listen=f"127.0.0.1:{port}") as again,
                tlru.connect(again.url) as cache,
            ):
                await until(lambda: cache.get("price:EUR"), lambda price: price is not None)
                assert await feed.end(signal.SIGINT) == 0
            assert "Traceback" not in "".join(feed.said)

    run(scenario())


def test_a_leaderboard_counts_every_point() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            first = await output_of("leaderboard.py", node.url)
            second = await output_of("leaderboard.py", node.url)
        before = dict.fromkeys(("ann", "bob", "cat", "dan", "eve"), 0)
        for said in (first, second):
            for line in said[-5:]:
                player, _, had, _, won, now = line.replace(",", "").replace(":", "").split()
                assert int(had) == before[player]
                assert int(now) == int(had) + int(won) > int(had)
                before[player] = int(now)
            ahead = sorted(before, key=lambda name: (before[name], name), reverse=True)[:3]
            assert said[-6] == ", ".join(f"{name} {before[name]}" for name in ahead)

    run(scenario())


class Answer(NamedTuple):
    """What a web service has said."""

    status: int
    text: str
    source: str


class Service:
    """A web service that is an example."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.session = session

    async def get(self, path: str) -> Answer:
        """Ask it."""
        async with self.session.get(self.url + path) as response:
            return Answer(response.status, await response.text(), response.headers.get("From", ""))

    async def json(self, path: str) -> Any:
        """Ask it for what is JSON."""
        async with self.session.get(self.url + path) as response:
            return await response.json()

    async def put(self, path: str, text: str) -> int:
        """Have it keep something; the status."""
        async with self.session.put(self.url + path, data=text) as response:
            return response.status


@contextlib.asynccontextmanager
async def service(name: str, url: str) -> AsyncIterator[Service]:
    """An example that is a web service, once it answers."""
    (port,) = free_ports(1)
    async with program(name, url, "--port", str(port)), aiohttp.ClientSession() as session:
        running = Service(port, session)
        await until(lambda: running.get("/"), lambda answer: answer.status == 404)
        yield running


def test_near_copies_of_two_services_are_kept_as_they_should_be() -> None:
    async def scenario() -> None:
        async with (
            a_node() as node,
            service("near_service.py", node.url) as one,
            service("near_service.py", node.url) as other,
        ):
            path = "/articles/1"
            assert (await other.get(path)).status == 404
            assert await one.put(path, "Hello") == 204
            await until(lambda: other.get(path), lambda it: it[:2] == (200, "Hello"))
            await until(lambda: other.get(path), lambda it: it == (200, "Hello", "memory"))
            assert await one.put(path, "Hello again") == 204
            assert (await one.get(path)).text == "Hello again", "its own write, at once"
            await until(lambda: other.get(path), lambda it: it.text == "Hello again")
            await until(lambda: other.get(path), lambda it: it.source == "memory")
            await node.stop()
            await until(lambda: other.get(path), lambda it: it.status == 503)
            assert await one.put(path, "lost") == 503

    run(scenario())


def test_flags_are_known_whatever_becomes_of_the_cluster() -> None:
    """Defaults before there is one, then what is set, at once; and that it is old, once it is."""

    async def scenario() -> None:
        (port,) = free_ports(1)
        url = f"ws://127.0.0.1:{port}"
        defaults = {"dark-mode": 100, "new-checkout": 0}
        async with service("flags.py", url) as flags:
            assert await flags.json("/flags") == {"flags": defaults, "trusted": "defaults"}
            async with Node(listen=f"127.0.0.1:{port}"), tlru.connect(url) as cache:
                await until(lambda: flags.json("/flags"), lambda it: it["trusted"] == "current")
                await cache.set("flag:new-checkout", 100)
                await cache.set("flag:dark-mode", "no number")
                new = {"flag": "new-checkout", "on": True, "trusted": "current"}
                await until(lambda: flags.json("/flags/new-checkout?user=7"), lambda it: it == new)
                await cache.set("flag:new-checkout", 25)
                quarter = {"dark-mode": 100, "new-checkout": 25}
                now = {"flags": quarter, "trusted": "current"}
                await until(lambda: flags.json("/flags"), lambda it: it == now)
                asked = [flags.json(f"/flags/new-checkout?user={user}") for user in range(200)]
                on = sum(said["on"] for said in await asyncio.gather(*asked))
                assert 30 < on < 70
            old = {"flags": quarter, "trusted": "as last known"}
            await until(lambda: flags.json("/flags"), lambda it: it == old)

    run(scenario())
