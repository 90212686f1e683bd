"""Near copies and mirrors at real nodes: fast, bounded, and never behind what their owner knows."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Mapping
from typing import Any

import pytest

import tlru
from tests.client.nodes import at_a_node, cluster_of
from tests.client.scripted import Link, client, in_service, run, scripted, until
from tests.ports import free_ports
from tests.proxy import proxy
from tests.running import a_node
from tests.running import run as run_slowly
from tlru.client.cache import Cache
from tlru.config import Config
from tlru.errors import BadValue, Timeout, Unavailable
from tlru.node import Node

# -- near


@at_a_node
async def test_what_was_read_once_is_read_from_memory_until_it_changes(cache: Cache[Any]) -> None:
    users = cache.at("user:")
    await users.set("7", "Ada")
    async with users.near() as near:
        await until(lambda: near.coherent)
        assert near.peek("7") is None
        assert await near.get("7") == "Ada"
        assert near.peek("7") == "Ada"
        assert await near.get("8", "nobody") == "nobody"
        assert near.peek("8", "nobody") == "nobody", "that there is nothing is known too"
        assert len(near) == 2
        await users.set("7", "Grace")
        assert await near.get("7") == "Grace", "who writes here sees it at once"
        await users.set_many({"8": "Bob", "9": "Cy"})
        assert [await near.get(key) for key in "89"] == ["Bob", "Cy"]
        await users.delete("7")
        assert await near.get("7") is None
        await users.set("8", None)
        assert await near.get("8", tlru.MISSING) is None
        await cache.clear("us")
        assert await near.get("9") is None


def test_what_others_write_is_seen_as_soon_as_it_is_told() -> None:
    async def main() -> None:
        async with (
            a_node() as node,
            client(node.url) as cache,
            client(node.url) as other,
            cache.near() as near,
            await cache.mirror() as mirror,
        ):
            await until(lambda: near.coherent)
            for number in range(50):
                await other.set("k", number)
                await until(lambda: near.peek("k", number) == number)  # noqa: B023
                assert await near.get("k") == number
                await until(lambda: mirror["k"] == number)  # noqa: B023

    run(main)


@at_a_node
async def test_who_writes_sees_it_in_both_whatever_the_write_was(cache: Cache[Any]) -> None:
    async with cache.near() as near, await cache.mirror() as mirror:
        for number in range(1, 100):
            await cache.incr("n")
            assert await near.get("n") == mirror["n"] == number
        await cache.set("n", "over", ttl=300)
        assert mirror["n"] == "over"
        await cache.delete("n")
        assert "n" not in mirror
        # One that changes nothing has no event, and nobody waits for one.
        async with asyncio.timeout(0.5):
            assert not await cache.delete("n")
            assert not await cache.replace("n", 1)


@at_a_node
async def test_only_so_many_are_kept(cache: Cache[Any]) -> None:
    await cache.set_many({f"k{number}": number for number in range(20)})
    async with cache.near(max_entries=5) as near:
        await until(lambda: near.coherent)
        for number in range(20):
            assert await near.get(f"k{number}") == number
            assert await near.get("k0") == 0
        assert len(near) == 5
        assert near.peek("k0") == 0, "what is read often stays"


@at_a_node
async def test_lives_run_out_in_memory(cache: Cache[Any]) -> None:
    await cache.set("k", 1, ttl=0.2)
    async with cache.near() as near, await cache.mirror() as mirror:
        await until(lambda: near.coherent)
        assert await near.get("k") == mirror["k"] == 1
        item = mirror.item("k")
        assert item is not None
        assert item.ttl is not None
        assert 0 < item.ttl <= 0.2
        near._keeping.linked = lambda linked: None  # type: ignore[method-assign, union-attr]
        await until(lambda: near.peek("k") is None)
        await until(lambda: "k" not in mirror)
        assert len(mirror) == 0
        await cache.set("k", 2, ttl=300)
        await cache.touch("k", None)
        await until(lambda: getattr(mirror.item("k"), "ttl", 0) is None)


@at_a_node
async def test_callers_that_miss_together_share_a_read(cache: Cache[Any]) -> None:
    await cache.set("k", 1)
    async with cache.near() as near:
        await until(lambda: near.coherent)
        asked = cache._client.exchange()._number
        assert await asyncio.gather(*(near.get("k") for _ in range(50))) == [1] * 50
        assert cache._client.exchange()._number - asked == 1


@at_a_node
async def test_a_caller_that_gives_up_does_not_spoil_the_read_of_others(cache: Cache[Any]) -> None:
    await cache.set("k", 1)
    async with cache.near() as near:
        first = asyncio.ensure_future(near.get("k"))
        second = asyncio.ensure_future(near.get("k"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 1


def test_a_fill_whose_answer_is_older_than_an_event_is_not_kept() -> None:
    """The node answers as of 5, and tells of a change at 6 before that."""

    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.reply(await link.next_of("subscribe"), feed=3, upto=4, resumed=False)
        asked = await link.next_of("get")
        event = {"type": "set", "key": "k", "version": 6, "at": 1000}
        link.send({"push": "events", "feed": 3, "upto": 6, "events": [event]})
        link.found(asked, "old", pos=5)
        link.found(await link.next_of("get"), "new", pos=6)
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache, cache.near() as near:
            await until(lambda: near.coherent)
            assert await near.get("k") == "old", "it was so when it was asked"
            assert near.peek("k") is None
            assert await near.get("k") == "new"
            assert near.peek("k") == "new"

    run(main)


@pytest.mark.parametrize("stale", ["miss", "serve", "raise"])
def test_what_a_copy_does_while_the_link_is_down_is_chosen(stale: Any) -> None:
    async def main() -> None:
        (port,) = free_ports(1)
        async with (
            proxy(f"127.0.0.1:{port}") as way,
            # So that nobody is told of another way to it.
            Node(Config(listen=f"127.0.0.1:{port}", advertise=(f"ws://{way.address}/ws",))),
            client(f"ws://{way.address}/ws", timeout=0.3) as cache,
            client(f"ws://127.0.0.1:{port}/ws") as other,
            cache.near(stale=stale) as near,
            await cache.mirror(stale="raise" if stale == "raise" else "serve") as mirror,
        ):
            await cache.set("k", 1)
            await until(lambda: near.coherent)
            assert await near.get("k") == mirror["k"] == 1
            await in_service(other)
            way.refuses = True
            way.sever()
            await until(lambda: not near.coherent and not mirror.coherent)
            if stale == "serve":
                assert await near.get("k") == near.peek("k") == mirror["k"] == 1
            else:
                with pytest.raises((Unavailable, Timeout)):
                    await near.get("k")
            if stale == "raise":
                for reading in (lambda: mirror["k"], lambda: len(mirror), lambda: "k" in mirror):
                    with pytest.raises(Unavailable, match="not coherent"):
                        reading()
            await other.set("k", 2)
            await other.delete("gone")
            way.refuses = False
            await until(lambda: near.coherent and mirror.coherent)
            assert mirror["k"] == 2
            assert await near.get("k", timeout=20) == 2

    run(main)


def test_a_silent_link_is_not_relied_on_for_long() -> None:
    """Nothing comes any more, and nobody says so: the marks are missed."""

    async def script(link: Link, number: int) -> None:
        await link.greet(limits={"mark_s": 1})
        link.reply(await link.next_of("subscribe"), feed=3, upto=4, resumed=False)
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache, cache.near() as near:
            await until(lambda: near.coherent)
            copies = near._copies
            now = asyncio.get_running_loop().time()
            assert 2 < copies.coherent_until - now <= 3

    run(main)


def test_a_copy_that_has_missed_something_is_not_coherent_before_it_has_caught_up() -> None:
    caught_up = asyncio.Event()

    async def script(link: Link, number: int) -> None:
        await link.greet(pos=5 + 4 * number)
        asked = await link.next_of("subscribe")
        if number == 0:
            link.reply(asked, feed=3, upto=5, resumed=False)
            link.found(await link.next_of("get"), "old", pos=5)
            await caught_up.wait()
            caught_up.clear()
            return
        link.reply(asked, feed=3, upto=5, resumed=True)
        link.found(await link.next_of("get"), "new", pos=9)
        event = {"type": "set", "key": "k", "version": 9, "at": 1000}
        link.send({"push": "events", "feed": 3, "upto": 9, "events": [event]})
        link.found(await link.next_of("get"), "new", pos=9)
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache, cache.near() as near:
            await until(lambda: near.coherent)
            assert await near.get("k") == "old"
            caught_up.set()
            await until(lambda: len(server.links) == 2 and not near.coherent)
            assert await near.get("k") == "new", "the node is asked meanwhile"
            await until(lambda: near.coherent)
            assert await near.get("k") == near.peek("k") == "new"

    run(main)


def test_a_near_copy_that_is_not_open_is_refused() -> None:
    async def main() -> None:
        cache = client("ws://127.0.0.1:1/ws")
        with pytest.raises(Unavailable, match="async with"):
            await cache.near().get("k")
        with pytest.raises(ValueError, match="stale"):
            cache.near(stale="never")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="1 entry"):
            cache.near(0)

    run(main)


# -- mirrors


@at_a_node
async def test_a_mirror_is_a_mapping_of_what_there_is(cache: Cache[Any]) -> None:
    await cache.set_many({f"price:{key}": number for number, key in enumerate("ABC")})
    await cache.set("other", 1)
    prices = await cache.at("price:").mirror()
    assert isinstance(prices, Mapping)
    assert dict(prices) == prices.copy() == {"A": 0, "B": 1, "C": 2}
    assert sorted(prices.items()) == [("A", 0), ("B", 1), ("C", 2)]
    assert sorted(prices.values()) == [0, 1, 2]
    anything: Any = 7
    assert (len(prices), "A" in prices, "other" in prices) == (3, True, False)
    assert anything not in prices
    assert prices.get("Z") is None
    assert prices.get("Z", 7) == 7
    with pytest.raises(KeyError):
        prices["Z"]
    done = await cache.set("price:D", 3)
    assert prices["D"] == 3
    item = prices.item("D")
    assert item is not None
    assert item.version == done.version
    await cache.clear("price:")
    assert len(prices) == 0
    await prices.close()
    with pytest.raises(Unavailable, match="closed"):
        prices["A"]
    assert not cache._client.exchange().copies or await gone(cache)


async def gone(cache: Cache[Any]) -> bool:
    """Whether nothing of it is kept up, in the end."""
    exchange = cache._client.exchange()
    await until(lambda: not exchange.copies and not exchange.feeds.watched)
    return True


@at_a_node
async def test_a_mirror_tells_of_its_changes(cache: Cache[Any]) -> None:
    await cache.set("k", 0)
    mirror = await cache.mirror("k*")
    seen: list[Any] = []

    def bad(change: Any) -> None:
        raise RuntimeError("the function's own")

    stop = mirror.on_change(seen.append)
    stop_bad = mirror.on_change(bad)
    logging.disable(logging.CRITICAL)
    try:
        await cache.set("k", 1)
        await cache.delete("k")
        await until(lambda: len(seen) == 2)
    finally:
        logging.disable(logging.NOTSET)
    assert [type(change) for change in seen] == [tlru.Set, tlru.Removed]
    stop()
    stop_bad()
    await cache.set("k", 2)
    await asyncio.sleep(0)
    assert len(seen) == 2


@at_a_node
async def test_a_mirror_that_is_dropped_is_kept_up_no_more(cache: Cache[Any]) -> None:
    mirror = await cache.mirror()
    mirror.on_change(print)
    assert cache._client.exchange().feeds.watched
    del mirror
    gc.collect()
    assert await gone(cache)


@at_a_node
async def test_a_mirror_of_too_much_is_refused_and_one_that_grows_too_large_says_so(
    cache: Cache[Any],
) -> None:
    await cache.set_many({"a": 1, "b": 2})
    with pytest.raises(Unavailable, match="larger `max_entries`"):
        await cache.mirror(max_entries=1)
    mirror = await cache.mirror(max_entries=2)
    assert mirror["a"] == 1
    await cache.set("c", 3)
    with pytest.raises(Unavailable, match="larger `max_entries`"):
        mirror["a"]
    with pytest.raises(ValueError, match="channel"):
        await cache.mirror("#news")


@at_a_node
async def test_a_value_that_cannot_be_read_is_told_to_who_reads_it(cache: Cache[Any]) -> None:
    numbers = cache.at("n:", serializer=tlru.typed(int))
    await cache.set("n:bad", "no number")
    await numbers.set("good", 7)
    mirror = await numbers.mirror()
    assert mirror["good"] == 7
    with pytest.raises(BadValue, match="n:bad"):
        mirror["bad"]


def test_a_mirror_of_a_server_that_is_away_is_refused_in_time() -> None:
    async def main() -> None:
        async with client("ws://127.0.0.1:1/ws", timeout=0.05) as cache:
            with pytest.raises(Timeout, match="was not filled"):
                await cache.mirror()
            assert await gone(cache)

    run(main)


def test_a_kind_of_change_that_is_not_known_has_the_key_read_again() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.reply(await link.next_of("subscribe"), feed=3, upto=4, resumed=False)
        link.send(
            {"push": "snapshot", "feed": 3, "upto": 4, "time": 1000, "items": [], "last": True}
        )
        event = {"type": "bend", "key": "k", "version": 6, "at": 1000}
        link.send({"push": "events", "feed": 3, "upto": 6, "events": [event]})
        link.found(await link.next_of("get"), "bent", pos=6)
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            mirror = await cache.mirror()
            await until(lambda: mirror.get("k") == "bent")

    run(main)


def test_a_mirror_follows_the_cluster_into_another_epoch_and_forgets_the_old_one() -> None:
    """Its node is stopped, and another takes its place that has nothing."""

    async def main() -> None:
        async with client("ws://127.0.0.1:1/ws", timeout=20) as cache:
            keeper = cache._client.exchange()._keeper
            async with a_node() as node:
                keeper.learn([{"url": node.url}])
                await cache.set_many({"a": 1, "b": 2})
                mirror = await cache.mirror()
                seen: list[Any] = []
                mirror.on_change(seen.append)
                assert len(mirror) == 2
            await until(lambda: not mirror.coherent)
            assert dict(mirror) == {"a": 1, "b": 2}, "until there is something better"
            async with a_node() as node:
                keeper.learn([{"url": node.url}])
                await cache.set("b", 3)
                await until(lambda: mirror.coherent)
                assert dict(mirror) == {"b": 3}
                await until(lambda: any(isinstance(change, tlru.Reset) for change in seen))

    run(main)


def test_copies_stay_right_while_servers_go_and_writers_write() -> None:
    async def main() -> None:
        async with (
            cluster_of("n1", "n2", "n3") as nodes,
            tlru.connect(nodes["n1"].url, timeout=20) as cache,
            tlru.connect(nodes["n2"].url, timeout=20) as writer,
            cache.near() as near,
            await cache.mirror() as mirror,
        ):
            highest = dict.fromkeys("abc", -1)
            for number in range(120):
                key = "abc"[number % 3]
                await writer.set(key, number)
                for each in "abc":
                    found = await near.get(each, -1)
                    assert found >= highest[each], "a near copy went back"
                    highest[each] = found
                if number == 40:
                    await nodes["n1"].stop()
            await until(lambda: mirror.coherent and mirror.copy() == {"a": 117, "b": 118, "c": 119})
            await until(lambda: near.coherent)
            assert [await near.get(key) for key in "abc"] == [117, 118, 119]

    run_slowly(main())


def test_a_copy_that_owes_its_owner_a_write_is_not_relied_on_until_it_has_it() -> None:
    """The write is answered, and its event does not come."""
    there = asyncio.Event()

    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.reply(await link.next_of("subscribe"), feed=3, upto=4, resumed=False)
        link.found(await link.next_of("get"), "old", pos=4)
        link.reply(await link.next_of("set"), applied=True, version=7, pos=7)
        link.found(await link.next_of("get"), "new", pos=7)
        link.send({"push": "events", "feed": 3, "upto": 6, "events": []})
        link.found(await link.next_of("get"), "new", pos=7)
        await there.wait()
        event = {"type": "set", "key": "k", "version": 7, "at": 1000}
        link.send({"push": "events", "feed": 3, "upto": 7, "events": [event]})
        link.found(await link.next_of("get"), "new", pos=7)
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache, cache.near() as near:
            await until(lambda: near.coherent)
            assert await near.get("k") == "old"
            await cache.set("k", "new")
            assert not near.coherent
            assert await near.get("k") == await near.get("k") == "new"
            assert not near.coherent
            there.set()
            await until(lambda: near.coherent)
            assert await near.get("k") == "new"
            assert near.peek("k") == "new"

    run(main)


def test_a_near_copy_that_the_node_refuses_to_keep_up_asks_for_everything() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.reply(await link.next_of("subscribe"), feed=3, upto=4, resumed=False)
        link.found(await link.next_of("get"), "old", pos=4)
        error = {"code": "forbidden", "message": "no more", "retry": "no", "status": 403}
        link.send({"push": "end", "feed": 3, "error": error})
        link.found(await link.next_of("get"), "new", pos=7)
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(script) as server,
            client(server.url) as cache,
            cache.near(stale="serve") as near,
        ):
            await until(lambda: near.coherent)
            assert await near.get("k") == "old"
            await until(lambda: not near.coherent)
            assert await near.get("k") == "new"

    run(main)
