"""Watches at real nodes: what happens, in order, each once, across servers and their ends."""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tlru
from tests.client.nodes import at_a_node, cluster_of, in_use
from tests.client.scripted import EPOCH, Link, client, run, scripted, until
from tests.integration.processes import processes
from tests.running import a_node
from tests.running import run as run_slowly
from tlru.client import watching
from tlru.client.cache import Cache
from tlru.client.watching import Watch
from tlru.errors import BadRequest, BadValue, Forbidden, Timeout, TooLarge, Unavailable

Change = Any


async def take(watch: Watch[Any], count: int) -> list[Change]:
    """The next changes, however they come."""
    async with asyncio.timeout(20):
        return [await anext(watch) for _ in range(count)]


def names(changes: list[Change]) -> list[tuple[str, str]]:
    """What has happened to what."""
    return [(type(change).__name__, change.key) for change in changes]


# -- what is told


@at_a_node
async def test_every_kind_of_change_is_told(cache: Cache[Any]) -> None:
    users = cache.at("user:")
    async with users.watch() as watch:
        done = await users.set("7", {"name": "Ada"}, ttl=300, rev=4)
        await users.touch("7", 5)
        await users.incr("n", 3)
        await cache.set("other", 1)
        await users.delete("7")
        await users.set("brief", 1, ttl=0.01)
        changes = await take(watch, 6)
        await cache.clear("us")
        changes += await take(watch, 1)
    first, touched, counted, removed, _, expired, cleared = changes
    assert isinstance(first, tlru.Set)
    assert (first.key, first.value, first.version) == ("7", {"name": "Ada"}, done.version)
    assert (first.ttl, first.rev, first.folded) == (300, 4, 0)
    now = datetime.datetime.now(datetime.UTC)
    assert first.at is not None
    assert abs(first.at - now) < datetime.timedelta(seconds=60)
    assert (touched.key, touched.ttl) == ("7", 5)
    assert (counted.key, counted.value) == ("n", 3)
    assert (removed.key, removed.why) == ("7", "delete")
    assert (expired.key, expired.why) == ("brief", "expire")
    assert isinstance(cleared, tlru.Cleared)
    assert cleared.key == "", "all that is watched here, and more"
    versions = [change.version for change in changes]
    assert versions == sorted(versions)


@at_a_node
async def test_one_key_a_channel_and_channels_with_a_prefix(cache: Cache[Any]) -> None:
    part = cache.at("a:")
    async with (
        part.watch("k") as key,
        part.watch("#news") as news,
        part.watch("#n*") as several,
        part.watch("k*", send="keys") as keys,
    ):
        await part.set("k2", 1)
        await part.set("k", 2)
        version = await part.publish("news", {"rates": "up"})
        assert version is not None
        await part.publish("nothing", None)
        assert names(await take(key, 1)) == [("Set", "k")]
        (message,) = await take(news, 1)
        assert message == tlru.Message(
            "news", {"rates": "up"}, version, message.at, message.position
        )
        assert [each.key for each in await take(several, 2)] == ["news", "nothing"]
        assert [(each.key, each.value) for each in await take(keys, 2)] == [
            ("k2", tlru.MISSING),
            ("k", tlru.MISSING),
        ]


@at_a_node
async def test_what_there_is_comes_first_where_a_snapshot_is_asked_for(cache: Cache[Any]) -> None:
    await cache.set_many({f"k{number:03}": number for number in range(300)})
    await cache.set("k007", "short", ttl=60)
    async with cache.watch("k*", snapshot=True) as watch:
        await cache.delete("k000")
        changes = await take(watch, 301)
        found = {each.key: each.value for each in changes[:-1]}
        assert found == {f"k{n:03}": n for n in range(300)} | {"k007": "short"}
        (short,) = [each for each in changes if each.key == "k007"]
        assert 59 < short.ttl <= 60
        assert names(changes[-1:]) == [("Removed", "k000")]
        # In the middle of a snapshot there is nothing to go on from.
        middle, end = changes[5].position, changes[299].position
    async with cache.watch("k*", since=middle, snapshot=True) as anew:
        assert isinstance((await take(anew, 1))[0], tlru.Reset)
        assert len(await take(anew, 299)) == 299
    async with cache.watch("k*", since=end) as later:
        assert names(await take(later, 1)) == [("Removed", "k000")]


@at_a_node
async def test_a_stored_position_is_where_a_watch_goes_on(cache: Cache[Any]) -> None:
    async with cache.watch() as watch:
        await cache.set("a", 1)
        await cache.set_many({"b": 2, "c": 3})
        await cache.set("d", 4)
        changes = await take(watch, 4)
        assert watch.position == changes[-1].position
    for number, change in enumerate(changes[:-1]):
        # Those that share a version are told together: there is no point between them.
        following = changes[1 if number == 1 else number + 1 :]
        async with cache.watch(since=change.position) as again:
            assert await take(again, len(following)) == following


def test_a_position_of_another_life_of_the_cache_is_a_reset() -> None:
    async def main() -> None:
        async with a_node() as node, client(node.url) as cache:
            async with cache.watch("k*", since="1-elsewhere-17", snapshot=True) as watch:
                await cache.set("k", 1)
                reset, *_ = await take(watch, 2)
            assert isinstance(reset, tlru.Reset)
            assert "another life" in reset.reason

    run(main)


@pytest.mark.parametrize("position", ["", "17", "1-a-", "1-a-x", "1-a-٣"])
def test_what_is_no_position_is_refused(position: str) -> None:
    with pytest.raises(ValueError, match="is no position"):
        client("ws://127.0.0.1:1/ws").watch(since=position)


def test_a_pattern_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="name a key"):
        client("ws://127.0.0.1:1/ws").watch("")


# -- how it is taken


@at_a_node
async def test_batches_hold_what_comes_together(cache: Cache[Any]) -> None:
    async with cache.watch() as watch:
        await cache.set_many({f"k{number}": number for number in range(25)})
        batches = watch.batches(max=10, within=5)
        assert [len(await anext(batches)) for _ in range(2)] == [10, 10]
        more = asyncio.ensure_future(anext(batches))
        await cache.set_many({f"l{number}": number for number in range(5)})
        assert len(await more) == 10


@at_a_node
async def test_a_batch_is_given_when_its_time_is_over(cache: Cache[Any]) -> None:
    async with cache.watch() as watch:
        await cache.set("k", 1)
        assert names(await anext(watch.batches(within=0.01))) == [("Set", "k")]


@at_a_node
async def test_a_function_is_called_with_every_change(
    cache: Cache[Any],
) -> None:
    seen: list[str] = []

    async def take_note(change: Change) -> None:
        seen.append(change.key)
        if change.key == "bad":
            raise RuntimeError("the function's own")

    calling = cache.watch().call(take_note)
    while not seen:
        await cache.set("first", 1)
    del seen[:]
    logging.disable(logging.CRITICAL)
    try:
        await cache.set("bad", 1)
        await cache.set("good", 1)
        await until(lambda: "good" in seen)
    finally:
        logging.disable(logging.NOTSET)
    await calling.stop()
    assert seen[-2:] == ["bad", "good"]


@dataclass
class User:
    """A value with a type."""

    name: str


@at_a_node
async def test_a_value_that_cannot_be_read_costs_no_other(cache: Cache[Any]) -> None:
    users = cache.at("user:", serializer=tlru.typed(User))
    async with users.watch() as watch, users.watch() as other:
        await users.set("a", User("Ada"))
        await cache.set("user:b", "no user at all")
        await users.set("c", User("Cleo"))
        assert (await anext(watch)).key == "a"
        with pytest.raises(BadValue, match="user:b"):
            await anext(watch)
        (change,) = await take(watch, 1)
        assert isinstance(change, tlru.Set)
        assert change.value == User("Cleo")
        async with asyncio.timeout(20):
            assert [each.key for each in await other.take(within=0.2)] == ["a"]
            with pytest.raises(BadValue):
                await other.take()
            assert [each.key for each in await other.take()] == ["c"]


@at_a_node
async def test_who_is_done_ends_the_watch_and_who_drops_it_too(cache: Cache[Any]) -> None:
    feeds = cache._client.exchange().feeds
    watch = cache.watch()
    async with watch:
        assert feeds.watched
    assert [change async for change in watch] == []
    await until(lambda: not feeds.watched)
    dropped = cache.watch("k")
    await dropped.__aenter__()
    assert feeds.watched
    del dropped
    gc.collect()
    await until(lambda: not feeds.watched)


@at_a_node
async def test_two_that_take_from_one_watch_are_told_so(cache: Cache[Any]) -> None:
    async with cache.watch() as watch:
        first = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="make two"):
            await anext(watch)
        await cache.set("k", 1)
        assert (await first).key == "k"


def test_the_end_of_the_client_ends_its_watches() -> None:
    async def main() -> None:
        async with a_node() as node:
            cache = tlru.connect(node.url)
            watch = await cache.watch().__aenter__()
            waiting = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            await cache.close()
            with pytest.raises(Unavailable, match="closed"):
                await waiting

    run(main)


def test_who_waits_for_a_server_in_vain_is_told_so() -> None:
    async def main() -> None:
        async with client("ws://127.0.0.1:1/ws", timeout=0.05) as cache:
            with pytest.raises(Timeout, match="no server has begun"):
                async with cache.watch():
                    pass
            feeds = cache._client.exchange().feeds
            await until(lambda: not feeds.watched)

    run(main)


# -- several on one connection


@at_a_node
async def test_watches_of_the_same_share_a_subscription(cache: Cache[Any]) -> None:
    """A connection takes a subscription once; each of them gets what it asked for all the same."""
    await cache.set("k0", 0)
    async with cache.watch("k*") as plain:
        await cache.set("k1", 1)
        changes = await take(plain, 1)
        await cache.set("k2", 2)
        async with (
            cache.watch("k*", since=changes[0].position) as resumed,
            cache.watch("k*", snapshot=True) as whole,
            cache.watch("k*", fold=True) as newest,
        ):
            await cache.set("k3", 3)
            assert names(await take(plain, 2)) == [("Set", "k2"), ("Set", "k3")]
            assert names(await take(resumed, 2)) == [("Set", "k2"), ("Set", "k3")]
            assert {each.key for each in await take(whole, 4)} == {"k0", "k1", "k2", "k3"}
            assert (await take(newest, 1))[0].key in ("k2", "k3")


def test_one_that_does_not_keep_up_loses_nothing_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "BUFFER_EVENTS", 20)

    async def main() -> None:
        async with a_node() as node, client(node.url, timeout=20) as cache:
            async with cache.watch() as slow, cache.watch() as quick:
                for number in range(200):
                    await cache.set("k", number)
                    assert (await take(quick, 1))[0].value == number
                assert slow._buffer.full
                assert slow._buffer._events < 60, "what waits for it is bounded"
                values = [change.value for change in await take(slow, 200)]
            assert values == list(range(200))

    run(main)


def test_one_that_folds_gets_the_newest_of_what_it_did_not_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "BUFFER_EVENTS", 20)

    async def main() -> None:
        async with a_node() as node, client(node.url, timeout=20) as cache:
            async with cache.watch(fold=True) as watch:
                for number in range(200):
                    await cache.set("k", number)
                changes: list[Change] = []
                while not changes or changes[-1].value != 199:
                    changes += await take(watch, 1)
            assert sum(1 + change.folded for change in changes) == 200
            assert len(changes) < 100
            assert [change.value for change in changes] == sorted(c.value for c in changes)

    run(main)


def test_a_snapshot_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SNAPSHOT_BYTES", 10_000)

    async def main() -> None:
        async with a_node() as node, client(node.url, timeout=20) as cache:
            await cache.set_many({f"k{number}": "x" * 100 for number in range(1000)})
            async with cache.watch(snapshot=True) as watch:
                await until(lambda: watch._buffer.error)  # nothing of it was taken meanwhile
                with pytest.raises(TooLarge, match="walk it with items"):
                    await take(watch, 1000)
            assert await cache.get("k1") == "x" * 100

    run(main)


# -- servers that go and come


async def numbered(watch: Watch[Any], count: int) -> None:
    """Every number from 0 on comes once, in order."""
    seen = [change.value for change in await take(watch, count)]
    assert seen == list(range(count))


def test_a_server_that_is_stopped_in_order_costs_a_watch_nothing() -> None:
    async def main() -> None:
        async with (
            cluster_of("n1", "n2", "n3") as nodes,
            tlru.connect(nodes["n1"].url, timeout=20) as cache,
            tlru.connect(nodes["n2"].url, timeout=20) as writer,
            cache.watch("n") as watch,
        ):
            taking = asyncio.ensure_future(numbered(watch, 200))
            for number in range(200):
                await writer.set("n", number)
                if number == 100:
                    assert in_use(cache) == nodes["n1"].url
                    await nodes["n1"].stop()
            await taking
            assert in_use(cache) != nodes["n1"].url

    run_slowly(main())


def test_a_server_that_is_killed_costs_a_watch_and_a_mirror_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with processes(tmp_path, "n1", "n2", "n3") as cluster:
            urls = [cluster.nodes[id].url for id in ("n1", "n2", "n3")]
            async with (
                tlru.connect(*urls, timeout=20) as cache,
                tlru.connect(urls[1], urls[2], timeout=20) as writer,
                cache.watch("n") as watch,
                await cache.mirror() as mirror,
                cache.near() as near,
            ):
                await cache.get("n")
                used = in_use(cache)
                (serving,) = [each for each in cluster.nodes.values() if each.url == used]
                taking = asyncio.ensure_future(numbered(watch, 150))
                for number in range(150):
                    await writer.set("n", number)
                    assert (await near.get("n", -1)) <= number
                    if number == 50:
                        await serving.end(signal.SIGKILL)
                await taking
                await until(lambda: mirror.coherent and mirror["n"] == 149)
                await until(lambda: near.coherent)
                assert await near.get("n") == 149
                assert in_use(cache) != used

    run_slowly(main())


# -- what only a script can do


def pushed(link: Link, upto: int, *versions: int, feed: int = 3) -> None:
    """Sets of one key, pushed."""
    events = [
        {"type": "set", "key": "k", "version": version, "at": 1000, "value": b"\xc0"}
        for version in versions
    ]
    link.send({"push": "events", "feed": feed, "upto": upto, "events": events})


def test_subscriptions_go_out_in_one_message_with_hello_and_say_how_far_they_are() -> None:
    frames: list[Any] = []

    async def script(link: Link, number: int) -> None:
        await link.greet(pos=10 * number)
        frames.append(link.frames[0])
        subscribed = await link.next_of("subscribe")
        since = subscribed.get("since")
        link.reply(subscribed, feed=3, upto=since["pos"] if since else 5, resumed=bool(since))
        pushed(link, 7 if number == 0 else 9, *((6, 7) if number == 0 else (8,)))
        if number:
            await link.until_gone()

    async def main() -> None:
        async with (
            scripted(script) as server,
            client(server.url) as cache,
            cache.watch("k") as watch,
        ):
            changes = await take(watch, 3)
            assert [change.version for change in changes] == [6, 7, 8]
            assert watch.position == f"{EPOCH}-9"
        first, second = frames
        assert [each["op"] for each in first] == ["hello", "subscribe"]
        assert {k: v for k, v in first[1].items() if k != "id"} == {"op": "subscribe", "key": "k"}
        assert [each["op"] for each in second] == ["hello", "subscribe"]
        assert second[1]["since"] == {"epoch": EPOCH, "pos": 7}

    run(main)


def test_a_goaway_is_followed_when_the_other_has_taken_over_and_what_both_tell_comes_once() -> None:
    async def leaving(link: Link, number: int) -> None:
        await link.greet()
        link.reply(await link.next_of("subscribe"), feed=3, upto=1, resumed=False)
        pushed(link, 2, 2)
        link.send({"push": "goaway", "reason": "stopping", "within": 0, "servers": []})
        await until(lambda: arrived.is_set())
        pushed(link, 4, 3, 4)
        away.set()
        await link.until_gone()

    async def staying(link: Link, number: int) -> None:
        await link.accept()
        link.hello = await link.next()
        arrived.set()
        await away.wait()
        link.reply(link.hello, node="m", epoch=EPOCH, pos=4, status="active", limits={}, servers=[])
        asked = await link.next_of("subscribe")
        assert asked["since"]["pos"] == 2
        link.reply(asked, feed=8, upto=2, resumed=True)
        pushed(link, 3, 3, feed=8)
        pushed(link, 6, 4, 5, 6, feed=8)
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(leaving) as first,
            scripted(staying) as second,
            client(first.url, second.url) as cache,
            cache.watch("k") as watch,
        ):
            assert [change.version for change in await take(watch, 5)] == [2, 3, 4, 5, 6]

    arrived, away = asyncio.Event(), asyncio.Event()
    run(main)


def test_another_epoch_after_4410_is_a_reset_and_then_goes_on() -> None:
    async def script(link: Link, number: int) -> None:
        epoch = ("1-a", "2-b")[number]
        await link.greet(epoch=epoch)
        asked = await link.next_of("subscribe")
        if number == 0:
            link.reply(asked, feed=3, upto=2, resumed=False)
            pushed(link, 9, 9)
            await seen.wait()
            link.close(4410)
        else:
            assert asked["since"] == {"epoch": "1-a", "pos": 9}
            link.reply(asked, feed=3, upto=3, resumed=False)
            reset = {"push": "reset", "feed": 3, "reason": "epoch", "epoch": epoch, "upto": 3}
            link.send(reset)
            pushed(link, 4, 4)
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(script) as server,
            client(server.url) as cache,
            cache.watch("k") as watch,
        ):
            changes = await take(watch, 1)
            seen.set()
            changes += await take(watch, 2)
        assert names(changes) == [("Set", "k"), ("Reset", ""), ("Set", "k")]
        assert [change.position for change in changes] == ["1-a-9", "2-b-3", "2-b-4"]

    seen = asyncio.Event()
    run(main)


def test_a_feed_that_the_node_ends_for_good_ends_the_watch() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.reply(await link.next_of("subscribe"), feed=3, upto=1, resumed=False)
        pushed(link, 2, 2)
        error = {"code": "forbidden", "message": "no more", "retry": "no", "status": 403}
        link.send({"push": "end", "feed": 3, "error": error})
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(script) as server,
            client(server.url) as cache,
            cache.watch("k") as watch,
        ):
            assert len(await take(watch, 1)) == 1
            with pytest.raises(Forbidden, match="no more"):
                await take(watch, 1)

    run(main)


def test_a_refusal_that_may_pass_is_asked_again_and_one_that_stays_is_told() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.refuse(await link.next_of("subscribe"), "rate_limited", "same", after=0.01)
        link.reply(await link.next_of("subscribe"), feed=3, upto=1, resumed=False)
        pushed(link, 2, 2)
        link.refuse(await link.next_of("subscribe"), "bad_request", "no")
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(script) as server,
            client(server.url) as cache,
            cache.watch("k") as watch,
        ):
            assert len(await take(watch, 1)) == 1
            with pytest.raises(BadRequest):
                async with cache.watch("other"):
                    pass

    run(main)


def test_a_kind_of_change_that_is_not_known_is_told_as_such() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.reply(await link.next_of("subscribe"), feed=3, upto=1, resumed=False)
        event = {"type": "bend", "key": "k", "version": 2, "at": 1000}
        link.send({"push": "events", "feed": 3, "upto": 2, "events": [event]})
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(script) as server,
            client(server.url) as cache,
            cache.watch("k") as watch,
        ):
            (change,) = await take(watch, 1)
        assert isinstance(change, tlru.Changed)
        assert (change.key, change.type) == ("k", "bend")

    run(main)


def test_pushes_that_make_no_sense_end_the_connection_and_not_the_watch() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.reply(await link.next_of("subscribe"), feed=3, upto=1 + number, resumed=bool(number))
        if number:
            pushed(link, 9, 9)
        else:
            link.send({"push": "events", "feed": 3, "upto": "far", "events": 7})
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(script) as server,
            client(server.url) as cache,
            cache.watch("k") as watch,
        ):
            assert [change.version for change in await take(watch, 1)] == [9]

    run(main)
