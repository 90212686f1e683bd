"""A node that says when to come back is not troubled before, whichever way it says it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.scripted import Link, client, run, scripted
from tlru.client.coming_back import (
    AFTER_MAX_S,
    after_in_header,
    after_in_reason,
    after_of,
)
from tlru.errors import Overloaded

Refusal = Callable[[Link], Awaitable[None]]


async def _serve(link: Link) -> None:
    await link.greet()
    async for request in link.requests():
        link.found(request, "v")


def _refused_with(status: int) -> Refusal:
    async def refuse(link: Link) -> None:
        await link.refuse_upgrade(status, "later", Retry_After="1")
        await link.until_gone()

    return refuse


async def _closed_in_hello(link: Link) -> None:
    await link.accept()
    await link.next()
    link.close(4429, "after=1 too fast")
    await link.until_gone()


async def _closed_later(link: Link) -> None:
    await link.greet()
    await link.next()
    link.close(4429, "after=1.0 too fast")
    await link.until_gone()


WAYS = [_refused_with(429), _refused_with(503), _closed_in_hello, _closed_later]
NAMES = ["429", "503", "4429 in hello", "4429 later"]


def _refusing_first(refuse: Refusal, times: list[float]) -> Callable[[Link, int], Awaitable[None]]:
    async def script(link: Link, number: int) -> None:
        times.append(time.monotonic())
        await (_serve(link) if number else refuse(link))

    return script


@pytest.mark.parametrize("refuse", WAYS, ids=NAMES)
def test_who_is_told_when_to_come_back_comes_then(refuse: Refusal) -> None:
    times: list[float] = []

    async def main() -> None:
        async with scripted(_refusing_first(refuse, times)) as server, client(server.url) as cache:
            assert await cache.get("k") == "v"
            assert len(times) == 2
            assert 0.99 <= times[1] - times[0] < 3

    run(main)


@pytest.mark.parametrize("refuse", WAYS[1:], ids=NAMES[1:])
def test_another_server_is_asked_meanwhile(refuse: Refusal) -> None:
    times: list[float] = []

    async def others(link: Link, number: int) -> None:
        await _serve(link)

    async def main() -> None:
        async with (
            scripted(_refusing_first(refuse, times)) as first,
            scripted(others) as second,
            client(first.url, second.url) as cache,
        ):
            began = time.monotonic()
            assert await cache.get("k") == "v"
            assert time.monotonic() - began < 0.9
            assert len(times) == 1

    run(main)


def test_a_refusal_of_a_feed_is_obeyed_too() -> None:
    times: list[float] = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            if request["op"] != "subscribe":
                continue
            times.append(time.monotonic())
            if len(times) == 1:
                link.refuse(request, "overloaded", "other", after=0.3)
            else:
                link.reply(request, feed=1, upto=1, resumed=False)
                event = {"type": "set", "key": "k", "version": 2, "at": 2, "value": b"\x01"}
                link.send({"push": "events", "feed": 1, "upto": 2, "events": [event]})

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            async with asyncio.timeout(10):
                async for change in cache.watch():
                    assert change.key == "k"
                    break
            assert times[1] - times[0] >= 0.29

    run(main)


def test_a_feed_asks_nothing_of_a_connection_that_is_being_left() -> None:
    """Its wait after a refusal ends while the next server takes its time to say hello."""
    failures: list[dict[str, object]] = []

    async def refusing(link: Link, number: int) -> None:
        await link.greet()
        link.refuse(await link.next_of("subscribe"), "syncing", "other", after=0.1)
        await asyncio.sleep(0.4)  # it is slow to answer the goodbye

    async def slow(link: Link, number: int) -> None:
        await asyncio.sleep(0.5)
        await link.greet()
        async for request in link.requests():
            link.reply(request, feed=1, upto=1, resumed=False)
            event = {"type": "set", "key": "k", "version": 2, "at": 2, "value": b"\x01"}
            link.send({"push": "events", "feed": 1, "upto": 2, "events": [event]})

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: failures.append(about))
        async with (
            scripted(refusing) as first,
            scripted(slow) as second,
            client(first.url, second.url) as cache,
            asyncio.timeout(10),
        ):
            async for change in cache.watch():
                assert change.key == "k"
                break
        assert not failures

    run(main)


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans()))
def test_whatever_is_said_the_wait_is_bounded(said: object) -> None:
    for after in (
        after_of(Overloaded("no", after=said)),
        after_in_reason(f"after={said} no"),
        after_in_header(str(said)),
    ):
        assert 0 <= after <= AFTER_MAX_S


@pytest.mark.parametrize(
    ("reason", "after"),
    [
        ("after=5 too fast", 5.0),
        ("after=0.25", 0.25),
        ("after=999999 for long", AFTER_MAX_S),
        ("come after=5", 0.0),
        ("after=5.5.5", 0.0),
        ("after=-5", 0.0),
        ("", 0.0),
    ],
)
def test_what_a_goodbye_says(reason: str, after: float) -> None:
    assert after_in_reason(reason) == after


@pytest.mark.parametrize(
    ("value", "after"),
    [("2", 2.0), (" 2 ", 2.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("-1", 0.0), (None, 0.0)],
)
def test_what_a_header_says(value: str | None, after: float) -> None:
    assert after_in_header(value) == after
