"""A client of a real cluster, whose nodes go, come, lag and fall silent."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import tlru
from tests.client.nodes import cluster_of, in_use
from tests.client.scripted import QUICK, Link, client, scripted
from tests.integration.processes import processes
from tests.ports import free_ports
from tests.proxy import Proxy, proxy
from tests.running import a_node, run, until
from tlru.client.probing import round_trip
from tlru.client.settings import Timing
from tlru.errors import TlruError, UnknownOutcome

EAGER = dataclasses.replace(QUICK, measure_first=0.02, measure_every=0.02)


class Counting:
    """Callers that count and read without a pause, and know what they were told."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.counted = 0
        self.read = 0
        self.errors: list[TlruError] = []
        self._going = True
        self._tasks = [asyncio.create_task(self._count()), asyncio.create_task(self._look())]

    async def _count(self) -> None:
        while self._going:
            try:
                self.counted = int(await self.cache.incr("n"))
            except TlruError as exc:
                self.errors.append(exc)

    async def _look(self) -> None:
        while self._going:
            try:
                found = await self.cache.get("n", 0)
            except TlruError as exc:
                self.errors.append(exc)
                continue
            assert found >= self.read, "a read went backwards"
            self.read = found

    async def more(self, count: int = 10) -> None:
        """Wait until it has counted, and read, so much further."""
        wanted = self.counted + count
        await until(lambda: self.read >= wanted or any(task.done() for task in self._tasks))

    async def end(self) -> None:
        """Count no more: what was counted is there, once, and nothing failed on the way."""
        self._going = False
        await asyncio.gather(*self._tasks)
        assert self.errors == []
        assert await self.cache.get("n", read="linear") == self.counted


@asynccontextmanager
async def counting(cache: Any) -> AsyncIterator[Counting]:
    """Callers that count while something happens."""
    callers = Counting(cache)
    await callers.more()
    yield callers
    await callers.more()
    await callers.end()


def test_a_server_that_is_stopped_in_order_costs_nobody_anything() -> None:
    """It leads, and it is the only one that the program had named."""

    async def main() -> None:
        async with (
            cluster_of("n1", "n2", "n3") as nodes,
            tlru.connect(nodes["n1"].url, timeout=20) as cache,
            counting(cache) as callers,
        ):
            assert in_use(cache) == nodes["n1"].url
            await nodes["n1"].stop()
            await callers.more()
            assert in_use(cache) in (nodes["n2"].url, nodes["n3"].url)

    run(main())


def test_a_server_that_is_killed_is_left_and_the_file_knows_the_others(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"

    async def main() -> None:
        async with processes(tmp_path, "n1", "n2", "n3") as cluster:
            first = cluster.nodes["n1"]
            path.write_text(json.dumps([first.url]))
            async with tlru.connect(servers_file=path, timeout=20) as cache:
                async with counting(cache) as callers:
                    await until(lambda: len(json.loads(path.read_text())) == 3)
                    await first.end(signal.SIGKILL)
                    await callers.more()
                counted = callers.counted
            # The only address that anybody wrote leads nowhere now.
            with tlru_sync(path) as blocking:
                assert await asyncio.to_thread(blocking.get, "n") == counted

    run(main())


def tlru_sync(path: Path) -> Any:
    """A blocking client that knows of nothing but the file."""
    return tlru.sync.connect(servers_file=path, timeout=20)


def test_a_plain_write_in_flight_is_of_unknown_outcome_and_a_named_one_is_done_once() -> None:
    """The server takes the requests and is gone before it answers: the way back was cut."""

    async def main() -> None:
        async with (
            cluster_of("n1", "n2", "n3") as nodes,
            proxy(f"127.0.0.1:{nodes['n1'].port}") as way,
            client(f"ws://{way.address}/ws", timeout=20) as cache,
            tlru.connect(nodes["n2"].url, timeout=20) as other,
        ):
            await cache.set("k", "before")
            way.cut(there=False)
            writes = [cache.set("k", "after"), cache.incr("n"), cache.get("k")]
            asked = [asyncio.ensure_future(each) for each in writes]
            while await other.get("n") is None:
                pass
            way.refuses = True
            way.sever()
            plain, named, read = await asyncio.gather(*asked, return_exceptions=True)
            assert isinstance(plain, UnknownOutcome)
            assert named == 1
            assert read in ("before", "after")
            assert await other.get("n", read="linear") == 1

    run(main())


def test_a_newcomer_is_told_of_and_the_file_follows(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"

    async def main() -> None:
        async with cluster_of("n1") as nodes:
            first = nodes["n1"]
            async with tlru.connect(first.url, servers_file=path, timeout=20) as cache:
                await cache.set("k", 1)
                await until(path.exists)
                (port,) = free_ports(1)
                joining = {"join": (first.config.mesh,), "mesh": f"127.0.0.1:{port}"}
                async with a_node(id="n2", region="eu", zone="z", priority=7, **joining) as second:
                    await until(lambda: second.url in path.read_text())
                    entries = json.loads(path.read_text())["servers"]
                    (entry,) = [each for each in entries if each["id"] == "n2"]
                    assert (entry["region"], entry["zone"], entry["priority"]) == ("eu", "z", 7)

    run(main())


@asynccontextmanager
async def with_a_laggard() -> AsyncIterator[tuple[dict[str, Any], Proxy]]:
    """A cluster whose n3 hears all there is to hear through a proxy."""
    (port,) = free_ports(1)
    async with proxy(f"127.0.0.1:{port}") as way:
        meshes = [f"127.0.0.1:{free}" for free in free_ports(2)]
        knows = {"join": (*meshes, way.address), "expect": 3}
        async with cluster_of(
            *("n1", "n2", "n3"),
            n1={**knows, "mesh": meshes[0]},
            n2={**knows, "mesh": meshes[1]},
            # It knows nobody, so that it is the others who dial.
            n3={
                "mesh": f"127.0.0.1:{port}",
                "join": (way.address,),
                "advertise_mesh": (way.address,),
                "expect": 3,
            },
        ) as nodes:
            yield nodes, way


def test_reads_do_not_go_backwards_on_a_server_that_lags() -> None:
    async def main() -> None:
        async with (
            with_a_laggard() as (nodes, way),
            tlru.connect(nodes["n1"].url, timeout=20) as cache,
            tlru.connect(nodes["n3"].url, timeout=20) as fresh,
        ):
            await cache.set("k", 0)
            await until(lambda: nodes["n3"].services["default"].machine.items.count)
            await fresh.get("k")
            stale = 0
            for value in range(1, 4):
                await move(cache, nodes["n1"].url)
                way.delay_s = 0.2
                await cache.set("k", value)
                await move(cache, nodes["n3"].url)
                # Who has seen nothing newer is answered by n3 at once, and with what it has.
                stale += await fresh.get("k", -1) < value
                assert await cache.get("k") == value
                assert in_use(cache) == nodes["n3"].url
                way.delay_s = 0.0
            assert stale, "n3 never lagged, so nothing was shown"
            # And by many who read on while they are moved about.
            way.delay_s = 0.02
            async with counting(cache) as callers:
                for id in ("n1", "n3", "n2", "n3"):
                    await move(cache, nodes[id].url)
                    await callers.more(5)

    run(main())


async def move(cache: Any, url: str) -> None:
    """Have a client go to another server, as it does for a nearer one."""
    if in_use(cache) != url:
        cache._client.exchange()._keeper._move_to(url)
    await until(lambda: in_use(cache) == url)


def test_a_client_goes_to_a_server_that_is_clearly_nearer_and_loses_no_request() -> None:
    """And not to one that is as near. On one machine the way to all is short: what is measured of
    one server is made longer here; the rest is as it is."""

    async def main() -> None:
        async with cluster_of("n1", "n2") as nodes:
            near, far = nodes["n1"].url, nodes["n2"].url
            async with client(far, near, timing=EAGER, timeout=20) as cache:
                await cache.set("k", 1)
                servers = cache._client.exchange()._keeper.servers
                await until(lambda: all(len(servers._known[url].trips) == 3 for url in (near, far)))
                assert in_use(cache) == far
                assert len(nodes["n1"].connections) == 0, "to measure is not to connect"
                measured = servers.measured

                def farther(url: str, seconds: float | None, now: float) -> None:
                    assert seconds is not None
                    measured(url, seconds + 0.05 * (url == far), now)

                servers._known[far].trips.forget()
                servers.measured = farther  # type: ignore[method-assign]
                async with counting(cache):
                    await until(lambda: in_use(cache) == near)

    run(main())


@pytest.mark.parametrize("how", ["it takes nothing anywhere", "one way is cut"])
def test_a_server_that_falls_silent_is_left(how: str) -> None:
    timing = dataclasses.replace(
        QUICK, ping_after=0.1, pong_within=0.2, open=60, open_elsewhere=0.2
    )

    async def main() -> None:
        async with (
            a_node(id="n1") as node,
            a_node(id="n2") as other,
            proxy(f"127.0.0.1:{node.port}") as way,
            client(f"ws://{way.address}/ws", other.url, timing=timing, timeout=20) as cache,
        ):
            first = f"ws://{way.address}/ws"
            if how == "one way is cut":
                await cache.set("k", 1)
                assert in_use(cache) == first
                way.cut(there=False)
                # Nobody asks for anything: it is found out all the same.
                await until(lambda: in_use(cache) not in (None, first))
            else:
                way.hold()
            await cache.set("k", 1)
            assert in_use(cache) != first
            assert way.accepted, "it was tried"

    run(main())


def test_the_usual_patience_with_silence_is_that_of_the_page() -> None:
    timing = Timing()
    assert (timing.ping_after, timing.pong_within) == (15, 10)
    assert (timing.backoff_first, timing.backoff_most) == (0.1, 20)


def test_who_cannot_have_the_nearer_server_stays_where_he_is() -> None:
    """The one in use is not left before the other has greeted."""

    async def well(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.found(request, number)

    async def unwilling(link: Link, number: int) -> None:
        await link.greet(status="syncing")
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(well) as first,
            scripted(unwilling) as second,
            client(first.url, second.url) as cache,
        ):
            assert await cache.get("k") == 0
            keeper = cache._client.exchange()._keeper
            keeper._move_to(second.url)
            await until(lambda: second.url in keeper.servers.problems)
            assert [await cache.get("k") for _ in range(3)] == [0, 0, 0]
            assert in_use(cache) == first.url
            first.links[0].cut()
            assert await cache.get("k") == 1, "and it is kept as ever"

    run(main())


@pytest.mark.parametrize("url", ["ws://" + "ä" * 70, "ws://..:1", "ws://a..b:1"])
def test_an_address_that_cannot_be_asked_for_stops_nobody(url: str) -> None:
    """It came in a list, and everything may come in a list."""

    async def main() -> None:
        async with a_node() as node, client(url, node.url, timeout=20) as cache:
            await cache.set("k", 1)
            assert await round_trip(url) is None

    run(main())
