"""Filling the cache from elsewhere: one load, no race, and no outage when the cache is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.client.nodes import with_cache
from tests.client.scripted import Link, client, run, scripted, until
from tests.running import a_node
from tlru.client import MISSING, connect, typed
from tlru.client.cache import Cache
from tlru.client.filling import LOCK_CHARS_MAX, lock_name
from tlru.errors import BadRequest, BadValue, TlruError, Unavailable

AWAY = "ws://127.0.0.1:1/ws"


@dataclass
class User:
    id: int


class Source:
    """Where values are loaded from; it counts, and can be held up."""

    def __init__(self, *, held: bool = False) -> None:
        self.loads = 0
        self.go = asyncio.Event()
        self.value: Any = None
        if not held:
            self.go.set()

    async def __call__(self) -> Any:
        self.loads += 1
        number = self.loads
        await self.go.wait()
        if isinstance(self.value, Exception):
            raise self.value
        return number if self.value is None else self.value


def test_a_miss_is_loaded_once_and_kept() -> None:
    async def test(cache: Cache[Any]) -> None:
        source = Source()
        assert await cache.get_or_set("a", source, 60) == 1
        assert await cache.get_or_set("a", source, 60) == 1
        item = await cache.item("a")
        assert item is not None
        assert item.ttl is not None
        assert 50 < item.ttl <= 60
        assert source.loads == 1

    with_cache(test)


def test_a_plain_function_loads_too_and_none_is_a_value() -> None:
    async def test(cache: Cache[Any]) -> None:
        assert await cache.get_or_set("a", lambda: None) is None
        assert await cache.get("a", MISSING) is None
        assert await cache.get_or_set("a", lambda: 1 / 0) is None

    with_cache(test)


def test_callers_of_one_program_share_a_load() -> None:
    async def test(cache: Cache[Any]) -> None:
        source = Source(held=True)
        calls = [asyncio.create_task(cache.get_or_set("a", source)) for _ in range(50)]
        other = asyncio.create_task(cache.get_or_set("b", Source()))
        assert await other == 1
        await until(lambda: source.loads)
        source.go.set()
        assert await asyncio.gather(*calls) == [1] * 50
        assert source.loads == 1

    with_cache(test)


def test_programs_of_one_cluster_share_a_load() -> None:
    async def main() -> None:
        source = Source(held=True)
        async with a_node() as running:
            caches = [connect(running.url) for _ in range(8)]
            calls = [asyncio.create_task(each.get_or_set("a", source)) for each in caches]
            await until(lambda: source.loads)
            source.go.set()
            assert await asyncio.gather(*calls) == [1] * 8
            assert source.loads == 1
            for each in caches:
                await each.close()

    run(main)


def test_when_the_loader_fails_the_next_one_in_line_loads() -> None:
    async def main() -> None:
        failing, source = Source(held=True), Source()
        failing.value = ZeroDivisionError("by zero")
        async with (
            a_node() as running,
            connect(running.url) as one,
            connect(running.url) as other,
        ):
            first = asyncio.create_task(one.get_or_set("a", failing))
            await until(lambda: failing.loads)
            second = asyncio.create_task(other.get_or_set("a", source))
            failing.go.set()
            with pytest.raises(ZeroDivisionError):
                await first
            assert await second == 1

    run(main)


def test_who_has_waited_long_enough_loads_anyway() -> None:
    async def main() -> None:
        stuck, source = Source(held=True), Source()
        async with (
            a_node() as running,
            connect(running.url) as one,
            connect(running.url) as other,
        ):
            first = asyncio.create_task(one.get_or_set("a", stuck))
            await until(lambda: stuck.loads)
            assert await other.get_or_set("a", source, wait=0.05) == 1
            stuck.go.set()
            assert await first == 1
            assert await other.get("a") == 1, "kept by the one that was faster"

    run(main)


@pytest.mark.parametrize(
    ("meanwhile", "kept"),
    [
        (lambda cache: cache.set("a", "newer"), "newer"),
        (lambda cache: cache.delete("a"), None),
        (lambda cache: cache.clear("a"), None),
        (lambda cache: cache.set("b", 1), 1),
    ],
    ids=["set", "delete", "clear", "another key"],
)
def test_what_was_invalidated_while_it_was_loaded_is_not_kept(
    meanwhile: Callable[[Cache[Any]], Any], kept: Any
) -> None:
    """The classic race: read from the database, invalidated, and only then written."""

    async def test(cache: Cache[Any]) -> None:
        source = Source(held=True)
        call = asyncio.create_task(cache.get_or_set("a", source))
        await until(lambda: source.loads)
        await meanwhile(cache)
        source.go.set()
        assert await call == 1
        assert await cache.get("a") == kept

    with_cache(test)


def test_a_value_that_cannot_be_read_back_counts_as_a_miss() -> None:
    async def test(cache: Cache[Any]) -> None:
        users = cache.at("user:", serializer=typed(User))
        await cache.set("user:7", "no user")
        assert await users.get_or_set("7", lambda: User(7)) == User(7)
        assert await users.get("7") == User(7)

    with_cache(test)


def test_a_loaded_value_that_cannot_be_kept_is_a_mistake_of_the_program() -> None:
    async def test(cache: Cache[Any]) -> None:
        users = cache.at("user:", serializer=typed(User))
        with pytest.raises(BadValue, match="type str cannot be kept under 'user:7'"):
            await users.get_or_set("7", lambda: "no user")  # type: ignore[arg-type, return-value]  # on purpose

    with_cache(test)


def test_a_value_too_large_for_the_cache_is_loaded_all_the_same() -> None:
    async def test(cache: Cache[Any]) -> None:
        assert await cache.get_or_set("a", lambda: bytes(2 << 20)) == bytes(2 << 20)
        assert await cache.get("a") is None

    with_cache(test)


def test_a_stale_value_is_served_while_one_caller_replaces_it() -> None:
    async def test(cache: Cache[Any]) -> None:
        source = Source()

        async def ask() -> Any:
            return await cache.get_or_set("a", source, 0.05, stale=60)

        assert await ask() == 1
        item = await cache.item("a")
        assert item is not None
        assert item.ttl is not None
        assert item.ttl > 50, "it lives on for as long as it may be served stale"
        source.go.clear()
        while source.loads == 1:
            assert await ask() == 1
        assert [await ask() for _ in range(10)] == [1] * 10, "nobody waits"
        assert source.loads == 2
        source.go.set()
        while await ask() != 2:
            assert source.loads == 2

    with_cache(test)


def test_a_stale_value_survives_a_source_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def test(cache: Cache[Any]) -> None:
        source = Source()
        assert await cache.get_or_set("a", source, 0.05, stale=60) == 1
        source.value = ZeroDivisionError("the database is away")
        while source.loads < 4:
            assert await cache.get_or_set("a", source, 0.05, stale=60) == 1

    with caplog.at_level(logging.WARNING, logger="tlru.client"):
        with_cache(test)
    assert "'a' could not be refreshed and is served stale" in caplog.text


def test_only_one_program_replaces_a_stale_value() -> None:
    async def main() -> None:
        source = Source()
        async with (
            a_node() as running,
            connect(running.url) as one,
            connect(running.url) as other,
        ):
            assert await one.get_or_set("a", source, 0.05, stale=60) == 1
            source.go.clear()
            while source.loads == 1:
                await one.get_or_set("a", source, 0.05, stale=60)
            for _ in range(20):
                assert await other.get_or_set("a", source, 0.05, stale=60) == 1
            await other.close()
            assert source.loads == 2
            source.go.set()

    run(main)


@pytest.mark.parametrize("stale", [0, 60])
def test_a_cache_that_is_away_does_not_take_its_users_along(stale: float) -> None:
    async def main() -> None:
        source = Source(held=True)
        async with client(AWAY, timeout=0.05) as cache:
            calls = [
                asyncio.create_task(cache.get_or_set("a", source, 60, stale=stale))
                for _ in range(20)
            ]
            last = asyncio.create_task(cache.get_or_set("b", lambda: 0, 60, stale=stale))
            assert await last == 0  # so whoever asked before it has given the cache up as well
            source.go.set()
            assert await asyncio.gather(*calls) == [1] * 20, "and the load is shared all the same"
            assert await cache.get_or_set("a", source, 60, stale=stale) == 2

    run(main)


def test_a_cache_that_is_away_can_be_told_or_be_answered_by_a_default() -> None:
    async def main() -> None:
        source = Source()
        async with client(AWAY, timeout=0.05) as cache:
            with pytest.raises(Unavailable):
                await cache.get_or_set("a", source, on_error="raise")
            assert await cache.get_or_set("a", source, on_error="default", default=7) == 7
            assert source.loads == 0

    run(main)


def test_a_closed_cache_still_loads() -> None:
    async def main() -> None:
        cache = client(AWAY)
        await cache.close()
        assert await cache.get_or_set("a", Source()) == 1

    run(main)


def test_what_the_loader_raises_is_raised() -> None:
    async def test(cache: Cache[Any]) -> None:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await cache.get_or_set("a", lambda: 1 / 0)
        assert await cache.get("a") is None
        assert await cache.get_or_set("a", lambda: 1) == 1, "and the lock is free again"

    with_cache(test)


def test_a_bad_key_is_a_mistake_even_when_everything_else_is_forgiven() -> None:
    async def test(cache: Cache[Any]) -> None:
        with pytest.raises(BadRequest):
            await cache.get_or_set("", Source(), on_error="default")

    with_cache(test)


@pytest.mark.parametrize("op", ["lock", "set", "unlock"])
@pytest.mark.parametrize("on_error", ["load", "raise"])
def test_whatever_step_the_cache_fails_the_value_is_loaded(op: str, on_error: Any) -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            if request["op"] == op:
                link.refuse(request, "internal", "unknown")
            elif request["op"] == "get":
                link.reply(request, found=False)
            else:
                link.reply(request, held=True, fence=1, applied=True, released=True, version=2)

    async def main() -> None:
        source = Source()
        async with scripted(script) as server, client(server.url) as cache:
            if on_error == "load":
                assert await cache.get_or_set("a", source) == 1
            else:
                with pytest.raises(TlruError, match="it is internal"):
                    await cache.get_or_set("a", source, on_error="raise")

    run(main)


def test_a_caller_that_goes_leaves_no_lock_behind() -> None:
    async def main() -> None:
        async with (
            a_node() as running,
            connect(running.url) as one,
            connect(running.url) as other,
        ):
            stuck = Source(held=True)
            call = asyncio.create_task(one.get_or_set("a", stuck))
            await until(lambda: stuck.loads)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await other.get_or_set("a", Source(), wait=60) == 1

    run(main)


def test_the_lock_of_a_load_has_the_beginning_of_its_key() -> None:
    """So that whoever may write the key may take the lock, and a long key makes no long name."""
    assert lock_name("user:7") == "user:7#load"
    names = {lock_name("user:" + "x" * LOCK_CHARS_MAX + end) for end in "ab"}
    assert len(names) == 2
    assert all(name.startswith("user:x") and len(name) <= 300 for name in names)
