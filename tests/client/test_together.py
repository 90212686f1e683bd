"""Plain sets of one turn leave as one request, and each is answered by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest

import tlru
from tests import running
from tests.client.scripted import Link, client, run, scripted, until
from tests.running import a_node
from tlru.client.cache import Cache
from tlru.client.together import BYTES_MAX, ROW_BYTES_MAX, ROWS_MAX
from tlru.errors import BadRequest, Forbidden, TooLarge, Unavailable, UnknownOutcome

Seen = list[dict[str, Any]]


def keys(request: dict[str, Any]) -> list[str]:
    """The keys that a request sets."""
    return [item["key"] for item in request["items"]] if "items" in request else [request["key"]]


def asked(ask: Any, write: Any = ("",), **limits: int) -> Seen:
    """The requests that come of what `ask` does with a cache whose node takes everything."""
    seen: Seen = []

    async def script(link: Link, number: int) -> None:
        await link.greet(limits=limits, may={"write": list(write)})
        async for request in link.requests():
            seen.append(request)
            link.reply(request, applied=True, version=len(seen))

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            await cache.set("first", 0)  # so that a connection is there
            seen.clear()
            await ask(cache)

    run(main)
    return seen


def test_what_is_asked_in_one_turn_is_one_request() -> None:
    async def ask(cache: Cache[Any]) -> None:
        written = await asyncio.gather(*(cache.set(key, key) for key in "abc"))
        assert [(each.applied, each.version) for each in written] == [(True, 1)] * 3

    (request,) = asked(ask)
    assert request["op"] == "set_many"
    assert request["timeout"] == 4.5
    assert request["items"] == [{"key": key, "value": msgpack.packb(key)} for key in "abc"]


def test_one_that_comes_alone_is_a_set() -> None:
    async def ask(cache: Cache[Any]) -> None:
        assert await cache.set("a", 1, ttl=2.5)

    (request,) = asked(ask)
    del request["id"]
    assert request == {"op": "set", "key": "a", "value": b"\x01", "ttl": 2.5, "timeout": 4.5}


def test_lives_may_differ_and_patience_may_not() -> None:
    async def ask(cache: Cache[Any]) -> None:
        await asyncio.gather(
            cache.set("a", 1, ttl=2),
            cache.set("b", 1),
            cache.set("c", 1, timeout=1.0),
            cache.set("d", 1, timeout=1.0),
        )

    first, second = asked(ask)
    assert [item.get("ttl") for item in first["items"]] == [2.0, None]
    assert (first["timeout"], second["timeout"]) == (4.5, 0.9)


def test_a_key_is_set_once_in_a_request_so_that_each_version_is_told() -> None:
    async def ask(cache: Cache[Any]) -> None:
        written = await asyncio.gather(*(cache.set(key, key) for key in "abacb"))
        assert [each.version for each in written] == [1, 1, 2, 2, 2]

    assert list(map(keys, asked(ask))) == [["a", "b"], ["a", "c", "b"]]


def test_the_order_of_all_requests_stays() -> None:
    async def ask(cache: Cache[Any]) -> None:
        await asyncio.gather(
            cache.set("a", 1),
            cache.set("b", 1),
            cache.touch("t"),
            cache.set("c", 1),
            cache.set("d", 1, if_="present"),
            cache.set("e", 1),
        )

    assert [keys(each) for each in asked(ask)] == [["a", "b"], ["t"], ["c"], ["d"], ["e"]]


def test_a_request_stays_within_its_bounds() -> None:
    async def many(cache: Cache[Any]) -> None:
        await asyncio.gather(*(cache.set(f"k{n}", 1) for n in range(2 * ROWS_MAX + 1)))

    async def large(cache: Cache[Any]) -> None:
        await asyncio.gather(*(cache.set(f"k{n}", bytes(ROW_BYTES_MAX - 3)) for n in range(8)))

    async def too_large(cache: Cache[Any]) -> None:
        await asyncio.gather(*(cache.set(f"k{n}", bytes(ROW_BYTES_MAX)) for n in range(2)))

    assert [len(keys(each)) for each in asked(many)] == [ROWS_MAX, ROWS_MAX, 1]
    assert [len(keys(each)) for each in asked(many, keys=100)] == [100, 28, 100, 28, 1]
    together = BYTES_MAX // ROW_BYTES_MAX - 1
    assert [len(keys(each)) for each in asked(large)] == [together, together, 2]
    assert [len(keys(each)) for each in asked(large, message_bytes=40_000)] == [2, 2, 2, 2]
    assert [each["op"] for each in asked(too_large)] == ["set", "set"]


@pytest.mark.parametrize("code", ["bad_request", "too_large", "forbidden"])
def test_whose_content_is_refused_is_found_by_asking_each(code: str) -> None:
    """Nobody is refused for what another has asked, and nobody is asked for again in vain."""
    seen: Seen = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            seen.append(request)
            if "bad" in keys(request):
                link.refuse(request, code, "no")
            else:
                link.reply(request, applied=True, version=7)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            told = await asyncio.gather(
                *(cache.set(key, 1) for key in ("a", "bad", "b")), return_exceptions=True
            )
        assert [getattr(each, "code", None) for each in told] == [None, code, None]
        assert list(map(keys, seen)) == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]

    run(main)


def test_what_was_not_done_is_asked_again() -> None:
    seen: Seen = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            seen.append(request)
            if len(seen) == 1:
                link.refuse(request, "overloaded", "other", after=0.001)
            else:
                link.reply(request, applied=True, version=7)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert all(await asyncio.gather(*(cache.set(key, 1) for key in "abc")))
        assert sorted(key for each in seen[1:] for key in keys(each)) == ["a", "b", "c"]

    run(main)


def test_of_a_lost_connection_each_hears_about_its_own_key() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        if number == 0:
            await link.next()
            link.cut()
            return
        async for _ in link.requests():
            raise AssertionError("they came twice")

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            told = await asyncio.gather(
                *(cache.set(key, 1) for key in "abc"), return_exceptions=True
            )
        for key, error in zip("abc", told, strict=True):
            assert isinstance(error, UnknownOutcome)
            assert str(error).startswith(f"set {key!r} was sent, and never answered: ws")

    run(main)


def test_whoever_goes_takes_nobody_along() -> None:
    """One caller is cancelled before the sets leave, and one before they are answered."""
    found: list[str] = []
    left = asyncio.Event()
    gone = asyncio.Event()

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            found.extend(keys(request))
            if "d" in found:
                left.set()
                await gone.wait()
            link.reply(request, applied=True, version=7)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            tasks = [asyncio.create_task(cache.set(key, 1)) for key in "abcd"]
            await asyncio.sleep(0)
            tasks[1].cancel()
            await left.wait()
            tasks[2].cancel()
            await asyncio.sleep(0)
            gone.set()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = [isinstance(each, asyncio.CancelledError) for each in done]
        assert cancelled == [False, True, True, False]
        assert found == ["a", "c", "d"]

    run(main)


def test_who_never_hears_is_told_when_its_time_is_over() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url, timeout=0.05) as cache:
            told = await asyncio.gather(
                *(cache.set(key, 1) for key in "ab"), return_exceptions=True
            )
        assert [str(each).split(" was ")[0] for each in told] == ["set 'a'", "set 'b'"]
        assert {getattr(each, "outcome_known", None) for each in told} == {False}

    run(main)


def test_what_cannot_be_sent_fails_in_its_callers_own_frame() -> None:
    async def ask(cache: Cache[Any]) -> None:
        told = await asyncio.gather(
            cache.set("a", 1), cache.set("\ud800", 1), cache.set("b", 1), return_exceptions=True
        )
        assert isinstance(told[1], BadRequest)
        assert told[0]
        assert told[2]

    assert list(map(keys, asked(ask))) == [["a", "b"]]


def test_closing_tells_each() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            tasks = [asyncio.create_task(cache.set(key, 1)) for key in "ab"]
            await until(lambda: bool(server.links) and len(server.links[0].frames) > 1)
            await cache.close()
            told = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, UnknownOutcome | Unavailable) for each in told)
        assert [str(each)[:7] for each in told] == ["set 'a'", "set 'b'"]

    run(main)


def test_too_large_for_a_node_alone_is_told() -> None:
    async def ask(cache: Cache[Any]) -> None:
        told = await asyncio.gather(
            cache.set("a", bytes(9_000)), cache.set("b", 1), return_exceptions=True
        )
        assert isinstance(told[0], TooLarge)
        assert told[1]

    assert list(map(keys, asked(ask, message_bytes=8_192))) == [["b"]]


@pytest.mark.parametrize("bad", ["", "_tlru/x", "k" * 1025, "\u20ac" * 400])
def test_what_a_node_may_refuse_leaves_alone_and_in_its_place(bad: str) -> None:
    """Asked again after a refusal, the others would come behind what was asked after them."""

    async def ask(cache: Cache[Any]) -> None:
        await asyncio.gather(
            *(cache.set(key, 1) for key in ("a", "b")),
            cache.set(bad, 1),
            cache.set("c", 1, ttl=1e12),
            *(cache.set(key, 2) for key in ("a", "b")),
        )

    assert list(map(keys, asked(ask))) == [["a", "b"], [bad], ["c"], ["a", "b"]]


@pytest.mark.parametrize(
    "greeting", [{"write": ("a", "b")}, {"write": ()}, {"key_bytes": 100}, {"value_bytes": 100}]
)
def test_where_a_node_may_refuse_more_nothing_is_joined(greeting: dict[str, Any]) -> None:
    async def ask(cache: Cache[Any]) -> None:
        await asyncio.gather(*(cache.set(key, 1) for key in "ab"))

    assert list(map(keys, asked(ask, **greeting))) == [["a"], ["b"]]


def test_sets_keep_their_order_on_a_real_node_whatever_is_refused() -> None:
    async def test() -> None:
        async with a_node() as node, tlru.connect(f"ws://127.0.0.1:{node.port}") as cache:
            told = await asyncio.gather(
                cache.set("k", 1),
                cache.set("_tlru/x", 0),
                cache.set("k", 2),
                return_exceptions=True,
            )
            assert isinstance(told[1], Forbidden)
            assert await cache.get("k") == 2

    running.run(test())
