"""Decorated functions keep what they gave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.client.nodes import with_cache
from tests.client.scripted import client, run
from tlru.client.cache import Cache
from tlru.errors import Unavailable

AWAY = "ws://127.0.0.1:1/ws"


def test_a_coroutine_function_is_asked_once_for_each_set_of_arguments() -> None:
    async def test(cache: Cache[Any]) -> None:
        calls: list[Any] = []

        @cache.cached(ttl=60)
        async def load(id: int, lang: str = "en") -> str:
            """Loads something."""
            calls.append((id, lang))
            return f"{id} {lang}"

        assert [await load(1), await load(1), await load(1, "en"), await load(id=1)] == ["1 en"] * 4
        assert await load(1, lang="de") == "1 de"
        assert calls == [(1, "en"), (1, "de")]
        assert load.__doc__ == "Loads something."
        assert load.__name__ == "load"
        assert load.key(1).endswith("load(id=1, lang='en')")
        assert await cache.get(load.key(1)) == "1 en"
        item = await cache.item(load.key(1))
        assert item is not None
        assert item.ttl is not None

    with_cache(test)


def test_a_plain_function_becomes_a_coroutine_function() -> None:
    async def test(cache: Cache[Any]) -> None:
        @cache.cached()
        def double(number: int) -> int:
            return number * 2

        assert await double(2) == 4

    with_cache(test)


def test_a_result_can_be_forgotten_and_made_anew() -> None:
    async def test(cache: Cache[Any]) -> None:
        count = 0

        @cache.cached(ttl=60)
        async def load(id: int) -> int:
            nonlocal count
            count += 1
            return count

        assert await load(1) == 1
        assert await load.refresh(1) == 2
        assert await load(1) == 2
        assert await load.invalidate(1)
        assert not await load.invalidate(1)
        assert await load(1) == 3
        assert await load(2) == 4

    with_cache(test)


def test_keys_are_made_by_pattern_or_function_in_the_caches_part() -> None:
    async def test(cache: Cache[Any]) -> None:
        part = cache.at("user:")

        @part.cached(key="{id}:{lang}")
        async def by_pattern(id: int, lang: str = "en", other: object = None) -> str:
            return "pattern"

        @part.cached(key=lambda id: f"f{id}")
        async def by_function(id: int) -> str:
            return "function"

        assert await by_pattern(7, other=object()) == "pattern"
        assert await by_function(7) == "function"
        assert await cache.get_many(["user:7:en", "user:f7"]) == {
            "user:7:en": "pattern",
            "user:f7": "function",
        }

    with_cache(test)


def test_methods_are_decorated_with_a_key_of_their_own() -> None:
    async def test(cache: Cache[Any]) -> None:
        class Repository:
            def __init__(self, name: str) -> None:
                self.name = name

            @cache.cached(key=lambda self, id: f"{self.name}:{id}")
            async def load(self, id: int) -> str:
                return f"{self.name} {id}"

            @cache.cached()
            async def without_key(self) -> int:
                return 1

        one, other = Repository("one"), Repository("other")
        assert await one.load(1) == "one 1"
        assert await other.load(1) == "other 1"
        assert one.load.key(1) == "one:1"
        assert await one.load.invalidate(1)
        assert Repository.load.key(one, 1) == "one:1"
        with pytest.raises(TypeError, match=r"no key for a call of .*without_key: .*say `key=`"):
            await one.without_key()

    with_cache(test)


def test_calls_at_once_share_one() -> None:
    async def test(cache: Cache[Any]) -> None:
        count = 0

        @cache.cached(ttl=60, stale=30, wait=5)
        async def load() -> int:
            nonlocal count
            count += 1
            await asyncio.sleep(0)
            return count

        assert await asyncio.gather(*(load() for _ in range(20))) == [1] * 20

    with_cache(test)


def test_a_cache_that_is_away_is_done_without_but_invalidations_raise() -> None:
    async def main() -> None:
        async with client(AWAY, timeout=0.05) as cache:

            @cache.cached(ttl=60)
            async def load(id: int) -> int:
                return id

            assert await load(1) == 1
            with pytest.raises(Unavailable):
                await load.invalidate(1)
            with pytest.raises(Unavailable):
                await load.refresh(1)

    run(main)


def test_a_generator_is_refused_when_it_is_decorated() -> None:
    async def main() -> None:
        async with client(AWAY) as cache:

            async def pages() -> AsyncIterator[int]:
                yield 1

            with pytest.raises(TypeError, match="is a generator"):
                cache.cached()(pages)

    run(main)
