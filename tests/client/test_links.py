"""A program is told where it is connected, and can go on from where a watch began."""

from __future__ import annotations

from tests.client.scripted import run
from tests.running import a_node, until
from tlru.client.cache import connect
from tlru.client.watching import Watch


def test_where_it_is_connected_is_told_and_that_it_is_no_more() -> None:
    told: list[tuple[str | None, str]] = []

    async def main() -> None:
        async with a_node() as one, a_node() as other:
            on_link = lambda server, why: told.append((server, why))  # noqa: E731
            async with connect(one.url, other.url, on_link=on_link) as cache:
                await cache.ping()
                first, second = (one, other) if told[0][0] == one.url else (other, one)
                assert told == [(first.url, "")]
                await first.stop()
                await until(lambda: told[-1] == (second.url, ""))
            assert told[-1] == (second.url, ""), "to close it is no loss"

    run(main)


def test_what_fails_on_being_told_costs_no_connection() -> None:
    async def main() -> None:
        def fail(server: str | None, why: str) -> None:
            raise RuntimeError("the program's own")

        async with a_node() as one, connect(one.url, on_link=fail) as cache:
            await cache.set("key", 1)
            assert await cache.get("key") == 1

    run(main)


def test_a_watch_can_be_resumed_from_where_it_began() -> None:
    """Its first position is as good as any: who keeps it and is killed misses nothing."""

    async def main() -> None:
        async with a_node() as one, connect(one.url) as cache:
            await cache.set("before", 1)
            async with cache.watch() as watch:
                position = watch.position
            await cache.set("key", 1)
            resumed: Watch[int] = cache.watch(since=position)
            async with resumed:
                change = await anext(resumed)
            assert change.key == "key"

    run(main)
