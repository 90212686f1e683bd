"""The cache's calls, against a real node."""

from __future__ import annotations

import asyncio
import datetime
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.client.nodes import cache as a_cache
from tests.client.nodes import node_process, with_cache
from tests.client.scripted import run, until
from tests.running import a_node
from tlru.client import MISSING, UNSET, Item, Raw, Written, connect, typed
from tlru.client.cache import Cache
from tlru.errors import (
    BadRequest,
    BadValue,
    Forbidden,
    NotInteger,
    OutOfRange,
    TooLarge,
    UnknownOutcome,
)


@dataclass
class User:
    id: int
    name: str


def test_a_value_is_kept_and_found() -> None:
    async def test(cache: Cache[Any]) -> None:
        written = await cache.set("a", {"x": [1, 2.5, None, b"\x00", "é"]})
        assert written == Written(applied=True, version=written.version)
        assert written
        assert await cache.get("a") == {"x": [1, 2.5, None, b"\x00", "é"]}

    with_cache(test)


def test_nothing_is_told_from_a_stored_none() -> None:
    async def test(cache: Cache[Any]) -> None:
        await cache.set("none", None)
        assert await cache.get("none", MISSING) is None
        assert await cache.get("nothing") is None
        assert await cache.get("nothing", MISSING) is MISSING
        assert await cache.get("nothing", default=7) == 7
        assert not MISSING
        assert repr((MISSING, UNSET)) == "(tlru.MISSING, tlru.UNSET)"

    with_cache(test)


def test_an_item_says_all_that_is_known_of_it() -> None:
    async def test(cache: Cache[Any]) -> None:
        before = datetime.datetime.now(datetime.UTC)
        written = await cache.set("a", 1, 60, rev=7, mime="text/plain")
        item = await cache.item("a")
        assert item is not None
        assert item.at is not None
        assert item.ttl is not None
        assert abs(item.at - before) < datetime.timedelta(seconds=5)
        assert 55 < item.ttl <= 60
        assert written.version is not None
        expected = Item(1, written.version, item.at, item.ttl, rev=7, mime="text/plain")
        assert item == expected
        assert await cache.item("nothing") is None

    with_cache(test)


def test_a_life_is_given_in_many_ways() -> None:
    async def ttl(cache: Cache[Any], key: str) -> float | None:
        item = await cache.item(key)
        assert item is not None
        return None if item.ttl is None else round(item.ttl)

    async def test(cache: Cache[Any]) -> None:
        part = cache.at("p:", ttl=300)
        await part.set("unset", 1)
        await part.set("seconds", 1, 60)
        await part.set("span", 1, datetime.timedelta(minutes=2))
        await part.set("none", 1, None)
        await part.set("kept", 1, 60)
        await part.set("kept", 2, keep_ttl=True)
        await part.incr("count")
        lives = {key: await ttl(part, key) for key in ("unset", "seconds", "span", "none", "kept")}
        assert lives == {"unset": 300, "seconds": 60, "span": 120, "none": None, "kept": 60}
        assert await ttl(part, "count") == 300
        assert await part.touch("seconds", 500)
        assert await ttl(part, "seconds") == 500
        assert await part.touch("seconds", None)
        assert await ttl(part, "seconds") is None
        assert await part.touch("seconds")
        assert await ttl(part, "seconds") == 300
        assert await part.get("seconds", touch=900) == 1
        assert await ttl(part, "seconds") == 900
        assert not await part.touch("nothing")
        for wrong in (0, -1, float("nan"), float("inf"), datetime.timedelta(0)):
            with pytest.raises(ValueError, match=r"ttl|time to live"):
                await part.set("a", 1, wrong)

    with_cache(test)


def test_what_has_outlived_its_time_is_gone() -> None:
    async def test(cache: Cache[Any]) -> None:
        await cache.set("short", 1, 0.02)
        for _ in range(10_000):
            if await cache.get("short") is None:
                return
        raise AssertionError("it is still there")

    with_cache(test)


def test_conditions_decide_whether_a_write_is_applied() -> None:
    async def test(cache: Cache[Any]) -> None:
        assert not await cache.replace("a", 0)
        first = await cache.add("a", 1)
        assert first
        again = await cache.add("a", 2)
        assert not again
        assert again.current is not None
        assert (again.current.value, again.current.version) == (1, first.version)
        assert await cache.replace("a", 3)
        refused = await cache.set("a", 4, if_=first.version)
        assert not refused
        assert refused.version != first.version
        assert await cache.set("a", 5, if_=refused.version)
        assert await cache.delete("a", if_=first.version) == 0
        assert await cache.delete("a", if_="present") == 1

    with_cache(test)


def test_a_revision_is_applied_only_over_a_lower_one() -> None:
    async def test(cache: Cache[Any]) -> None:
        assert await cache.set("a", "new", rev=2)
        late = await cache.set("a", "old", rev=1)
        assert not late
        assert late.current is not None
        assert (late.current.value, late.current.rev) == ("new", 2)
        assert await cache.delete("a", rev=3) == 1
        assert not await cache.set("a", "old", rev=2), "also after a delete"

    with_cache(test)


def test_what_was_there_before_can_be_asked_for() -> None:
    async def test(cache: Cache[Any]) -> None:
        assert (await cache.set("a", 1, old=True)).old is None
        assert (await cache.set("a", 2, old=True)).old == 1

    with_cache(test)


def test_many_are_read_at_once() -> None:
    async def test(cache: Cache[Any]) -> None:
        part = cache.at("p:")
        assert await part.set_many({"a": 1, "b": 2, "none": None}, 60)
        assert await part.get_many(["b", "a", "c", "none", "a"]) == {"b": 2, "a": 1, "none": None}
        assert await part.get_many([]) == {}
        assert await part.set_many({}) == Written(applied=True)
        versions = [item.version async for _, item in part.items()]
        assert len(set(versions)) == 1, "one version for all"
        assert await part.delete("a", "b", "c") == 2
        assert await part.delete() == 0
        assert await part.delete(*(str(index) for index in range(25_000)), "none") == 1

    with_cache(test)


def test_more_than_a_node_answers_at_once_is_asked_in_parts() -> None:
    """By the number of keys, and by the bytes of their values."""

    async def test(cache: Cache[Any]) -> None:
        large = {str(index): bytes(500_000) for index in range(12)}
        for key, value in large.items():
            await cache.set(key, value)
        missing = [f"missing {index}" for index in range(25_000)]
        assert await cache.get_many([*large, *missing]) == large

    with_cache(test, timeout=15)


def test_all_or_nothing_is_never_split() -> None:
    async def test(cache: Cache[Any]) -> None:
        with pytest.raises(TooLarge, match="set_many of 10001 keys; the node takes 10000"):
            await cache.set_many({str(index): index for index in range(10_001)})
        with pytest.raises(TooLarge, match=r"makes 5\d+ bytes, the node takes 4194304"):
            await cache.set_many({str(index): bytes(500_000) for index in range(10)})
        assert await cache.clear() == 0

    with_cache(test)


def test_counters_count() -> None:
    async def test(cache: Cache[Any]) -> None:
        assert await asyncio.gather(*(cache.incr("n") for _ in range(100)))
        assert await cache.get("n") == 100
        assert await cache.incr("n", -30) == 70
        await cache.set("text", "x")
        with pytest.raises(NotInteger):
            await cache.incr("text")
        await cache.set("full", 2**63 - 1)
        with pytest.raises(OutOfRange):
            await cache.incr("full")

    with_cache(test)


@pytest.mark.parametrize("page", [1, 7, 1000, 100_000])
def test_keys_and_items_are_walked_in_order(page: int) -> None:
    async def test(cache: Cache[Any]) -> None:
        part = cache.at("p:")
        expected = {f"{index:03}": index for index in range(40)}
        await part.set_many(expected)
        await cache.set("other", 1)
        assert [key async for key in part.keys(page=page)] == list(expected)
        found = {key: item.value async for key, item in part.items(page=page)}
        assert list(found.items()) == list(expected.items())
        assert [key async for key in part.keys("01", page=page)] == [f"01{n}" for n in range(10)]
        assert "other" in [key async for key in cache.keys(page=page)]

    with_cache(test)


def test_a_part_is_cleared_and_nothing_else() -> None:
    async def test(cache: Cache[Any]) -> None:
        part = cache.at("p:")
        await part.set_many({"a": 1, "ab": 2, "b": 3})
        await cache.set("q", 4)
        assert await part.clear("a") == 2
        assert await part.clear() == 1
        assert await cache.get("q") == 4
        assert await cache.clear() == 1

    with_cache(test)


def test_parts_of_parts_share_a_connection() -> None:
    async def test(cache: Cache[Any]) -> None:
        inner = cache.at("a:", ttl=60, timeout=1).at("b:", serializer=Raw())
        await inner.set("c", b"\xff")
        assert await cache.at("a:b:", serializer=Raw()).get("c") == b"\xff"
        assert (await cache.status())["connections"] == 1
        item = await inner.item("c")
        assert item is not None
        assert item.ttl is not None
        assert "'a:b:'" in repr(inner)

    with_cache(test)


def test_typed_values_come_back_as_their_type() -> None:
    async def test(cache: Cache[Any]) -> None:
        users = cache.at("user:", serializer=typed(User))
        await users.set("7", User(7, "Ada"))
        user: User | None = await users.get("7")
        assert user == User(7, "Ada")
        assert await users.get_many(["7", "8"]) == {"7": User(7, "Ada")}
        assert [(key, item.value) async for key, item in users.items()] == [("7", User(7, "Ada"))]
        assert await cache.get("user:7") == {"id": 7, "name": "Ada"}, "plain msgpack to others"

    with_cache(test)


def test_a_value_that_cannot_be_read_back_is_told_by_its_key() -> None:
    async def test(cache: Cache[Any]) -> None:
        users = cache.at("user:", serializer=typed(User))
        await cache.set("user:7", "no user")
        with pytest.raises(BadValue, match="'user:7' cannot be read back: expected a dict"):
            await users.get("7")
        with pytest.raises(BadValue, match="user:7"):
            await users.item("7")
        with pytest.raises(BadValue, match="user:7"):
            await users.get_many(["7"])
        with pytest.raises(BadValue, match="user:7"):
            [item async for item in users.items()]
        with pytest.raises(BadValue, match="type str cannot be kept under 'user:7'"):
            await cache.at("user:", serializer=typed(User)).set("7", "no user")  # type: ignore[arg-type]  # the mistake that is tested

    with_cache(test)


@pytest.mark.parametrize(
    "key", ["", "x" * 1025, "\ud800", "_tlru/x"], ids=["", "long", "lone", "own"]
)
def test_a_bad_key_is_refused(key: str) -> None:
    async def test(cache: Cache[Any]) -> None:
        with pytest.raises((BadRequest, TooLarge, Forbidden)):
            await cache.set(key, 1)
        assert await cache.set("good", 1), "and nothing else is harmed"

    with_cache(test)


def test_a_key_that_is_no_text_is_a_type_error() -> None:
    async def test(cache: Cache[Any]) -> None:
        with pytest.raises(TypeError):
            await cache.get(7)  # type: ignore[call-overload]  # the mistake that is tested

    with_cache(test)


@pytest.mark.parametrize("ack", ["none", "leader", "quorum", "all"])
def test_every_acknowledgement_is_answered(ack: Any) -> None:
    async def test(cache: Cache[Any]) -> None:
        assert await cache.set("a", 1, ack=ack)
        assert await cache.set_many({"b": 1}, ack=ack)
        assert await cache.touch("a", 60, ack=ack)
        await cache.publish("news", 1, ack=ack)
        await cache.delete("b", ack=ack)
        await cache.clear("x", ack=ack)
        assert await cache.get("a", read="linear") == 1

    with_cache(test)


def test_every_kind_of_read_is_answered() -> None:
    async def test(cache: Cache[Any]) -> None:
        await cache.set("a", 1)
        for read in ("local", "linear", "any"):
            assert await cache.get("a", read=read) == 1
            assert await cache.get_many(["a"], read=read) == {"a": 1}
            assert [key async for key in cache.keys(read=read)] == ["a"]

    with_cache(test)


def test_a_message_is_published_in_order_with_writes() -> None:
    async def test(cache: Cache[Any]) -> None:
        written = await cache.set("a", 1)
        version = await cache.publish("news", {"text": "x"})
        assert written.version is not None
        assert version is not None
        assert version > written.version

    with_cache(test)


def test_the_cluster_can_be_asked_about_itself() -> None:
    async def test(cache: Cache[Any]) -> None:
        status = await cache.status()
        assert status["status"] == "active"
        assert "id" not in status
        nodes = await cache.nodes()
        assert [each["id"] for each in nodes["nodes"]] == [status["node"]]
        assert (await cache.node(status["node"]))["id"] == status["node"]
        assert 0 < await cache.ping() < 20

    with_cache(test)


def test_caches_of_one_node_are_apart() -> None:
    async def main() -> None:
        async with (
            a_node(caches=["default", "other"]) as running,
            connect(running.url) as one,
            connect(running.url, cache="other") as other,
        ):
            await one.set("a", 1)
            assert await other.get("a") is None
            assert (await other.status())["cache"] == "other"

    run(main)


def test_own_writes_are_read_wherever_one_is() -> None:
    """Two clients of one node; what one has been told of, the other finds."""

    async def main() -> None:
        async with a_node() as running, connect(running.url) as one, connect(running.url) as other:
            for turn in range(50):
                await one.set("a", turn)
                assert await other.get("a") == turn

    run(main)


def test_callers_of_all_kinds_at_once_get_their_own_answers() -> None:
    async def test(cache: Cache[Any]) -> None:
        async def caller(number: int) -> None:
            part = cache.at(f"{number}:")
            for turn in range(20):
                await part.set("a", turn)
                assert await part.get("a") == turn
                assert await part.incr("n") == turn + 1
                assert await part.get_many(["a", "n", "x"]) == {"a": turn, "n": turn + 1}

        await asyncio.gather(*map(caller, range(100)))

    with_cache(test)


def test_a_node_that_stops_politely_costs_no_request() -> None:
    """Its successor listens at another address that the client knows."""

    async def main() -> None:
        done = 0

        async def keep_asking(cache: Cache[Any]) -> None:
            nonlocal done
            while True:
                await cache.get("a", timeout=10)
                done += 1

        async with (
            a_node() as second,
            a_node() as first,
            connect(first.url, second.url) as cache,
        ):
            asker = asyncio.create_task(keep_asking(cache))
            await until(lambda: done > 50)
            await first.stop()
            before = done
            await until(lambda: done > before + 50 or asker.done())
            asker.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asker

    run(main)


def test_a_node_that_is_killed_leaves_the_outcome_unknown() -> None:
    """Between a write and its reply: the process is stopped, so it cannot answer, then killed."""

    async def main() -> None:
        with node_process() as (process, url):
            async with connect(url, timeout=10) as cache:
                await cache.set("a", 1)
                process.send_signal(signal.SIGSTOP)
                writes = [asyncio.create_task(cache.set("a", n)) for n in range(3)]
                read = asyncio.create_task(cache.get("a", timeout=0.5))
                await asyncio.sleep(0)
                process.kill()
                results = await asyncio.gather(*writes, read, return_exceptions=True)
                assert [type(each) for each in results[:3]] == [UnknownOutcome] * 3
                assert type(results[3]).__name__ == "Unavailable"

    run(main)


def test_nothing_is_left_behind() -> None:
    """Every task of the client's ends with it."""

    async def main() -> None:
        before = asyncio.all_tasks()
        async with a_cache() as cache:
            await cache.set("a", 1)
            async with cache.lock("x"):
                assert await cache.get_or_set("b", lambda: 1) == 1
        assert asyncio.all_tasks() == before

    run(main)
