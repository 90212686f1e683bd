"""What becomes of requests when their connection dies before the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from tests.client.scripted import EPOCH, QUICK, Link, client, in_service, run, scripted, until
from tlru.client.retrying import LOST_MAX
from tlru.errors import Unavailable, UnknownOutcome, WrongEpoch


async def cut_after(link: Link, requests: int) -> list[dict[str, Any]]:
    """Take some requests and end the connection without an answer."""
    taken = [await link.next() for _ in range(requests)]
    link.cut()
    return taken


def test_reads_are_asked_again_on_the_next_connection() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        if number == 0:
            await cut_after(link, 3)
            return
        async for request in link.requests():
            link.found(request, request["key"] * 2)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await asyncio.gather(*map(cache.get, "abc")) == ["aa", "bb", "cc"]
            assert len(server.links) == 2
            assert [each["key"] for each in server.links[1].frames[1]] == ["a", "b", "c"]

    run(main)


def test_a_named_write_is_asked_again_under_the_same_name() -> None:
    seen: list[dict[str, Any]] = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        if number < 2:
            seen.extend(await cut_after(link, 1))
            return
        async for request in link.requests():
            seen.append(request)
            link.reply(request, value=msgpack.packb(42), version=9)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.incr("n") == 42
        assert len(seen) == 3
        assert seen[0]["once"] == seen[1]["once"] == seen[2]["once"]
        assert seen[0]["once"]["n"] == 1

    run(main)


def test_a_plain_write_is_never_repeated_and_its_outcome_is_not_known() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        if number == 0:
            await cut_after(link, 1)
            return
        async for request in link.requests():
            assert request["op"] == "get", "the set came twice"
            link.found(request, "whole")

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(UnknownOutcome, match=r"set 'k' was sent, and never answered: ws"):
                await cache.set("k", 1)
            assert await cache.get("k") == "whole", "the client goes on"

    run(main)


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (lambda cache: cache.set("k", 1), False),
        (lambda cache: cache.set_many({"k": 1}), False),
        (lambda cache: cache.touch("k"), False),
        (lambda cache: cache.set("k", 1, exactly_once=True), True),
        (lambda cache: cache.set("k", 1, if_="absent"), True),
        (lambda cache: cache.set("k", 1, rev=7), True),
        (lambda cache: cache.set("k", 1, old=True), True),
        (lambda cache: cache.add("k", 1), True),
        (lambda cache: cache.replace("k", 1), True),
        (lambda cache: cache.incr("k"), True),
        (lambda cache: cache.incr("k", exactly_once=False), False),
        (lambda cache: cache.delete("k"), True),
        (lambda cache: cache.clear("k"), True),
        (lambda cache: cache.publish("k", 1), True),
        (lambda cache: cache.lock("k").acquire(), True),
    ],
)
def test_what_bears_a_name_by_default(write: Callable[[Any], Any], named: bool) -> None:
    """All whose repetition could do harm; a plain set is the mass of writes and bears none."""
    seen: list[dict[str, Any]] = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            seen.append(request)
            link.reply(request, applied=True, version=2, value=b"\x01", held=True, fence=1)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            await write(cache)
        assert ("once" in seen[0]) == named

    run(main)


@pytest.mark.parametrize("always", [True, False])
def test_a_client_can_be_told_to_name_all_writes_or_none(always: bool) -> None:
    seen: list[dict[str, Any]] = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            seen.append(request)
            link.reply(request, applied=True, version=2, value=b"\x01")

    async def main() -> None:
        async with scripted(script) as server, client(server.url, exactly_once=always) as cache:
            await cache.set("k", 1)
            await cache.incr("n")
        assert [("once" in each) for each in seen] == [always, always]

    run(main)


def test_a_request_under_which_connections_keep_dying_is_given_up() -> None:
    """A request that kills whatever it meets must not kill every server in turn."""

    async def script(link: Link, number: int) -> None:
        await link.greet()
        await cut_after(link, 1)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(Unavailable, match=r"get 'k' was sent, .*, as others before it"):
                await cache.get("k")
            assert len(server.links) == 1 + LOST_MAX

    run(main)


@pytest.mark.parametrize(
    "end",
    [
        lambda link, request: link.close(1001, "going away"),
        lambda link, request: link.close(1012, "restarting"),
        lambda link, request: link.close(4429, "too fast"),
        lambda link, request: link.send_raw(b"\xc1"),
        lambda link, request: link.send_text("{}"),
        lambda link, request: link.send_bytes(b"HTTP/1.1 200 OK\r\n\r\n"),
        lambda link, request: link.send({"id": request["id"]}),
        lambda link, request: link.send({"id": [request["id"]], "ok": True}),
        lambda link, request: link.send({"id": request["id"], "ok": True, "pos": "far"}),
        lambda link, request: link.send_bytes(b"\x82\x7e\x01\x00half of a reply"),
        lambda link, request: link.cut(),
    ],
    ids=[
        "1001",
        "1012",
        "4429",
        "garbage",
        "text",
        "no frame",
        "no outcome",
        "a list as id",
        "no position",
        "half a frame",
        "cut",
    ],
)
def test_however_a_connection_ends_the_read_is_answered_by_the_next(
    end: Callable[[Link, dict[str, Any]], None],
) -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        request = await link.next()
        if number == 0:
            end(link, request)
            return
        link.found(request, "well")
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.get("k") == "well"

    run(main)


@pytest.mark.parametrize("end", ["close", "cut"])
def test_a_server_that_ends_in_its_greeting_is_passed_over(end: str) -> None:
    """The greeting and the end arrive together, before anybody could take the connection up."""

    async def script(link: Link, number: int) -> None:
        await link.greet()
        if number == 0:
            link.close(1012) if end == "close" else link.finish()
            return
        async for request in link.requests():
            link.found(request, "well")

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await asyncio.gather(*(cache.get(str(n)) for n in range(5))) == ["well"] * 5

    run(main)


@pytest.mark.parametrize(
    ("payload", "code"), [(b"\xc1", 1007), (b"\x81\xa2id\x01\x82", 1007), (b"\x01", 1007)]
)
def test_a_server_that_makes_no_sense_is_told_so(payload: bytes, code: int) -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        await link.next()
        if number == 0:
            link.send_raw(payload)
            await link.until_gone()
            return
        link.close(1000)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(Unavailable):
                await cache.get("k")
            assert server.links[0].close_code == code

    run(main)


def test_a_node_that_may_be_behind_is_told_how_far_to_be() -> None:
    """Reads never go backwards: what one node has shown, the next must have."""
    seen: list[dict[str, Any]] = []

    async def script(link: Link, number: int) -> None:
        await link.greet(pos=1 if number == 0 else 3, time=1000)
        async for request in link.requests():
            seen.append(request)
            if number == 0 and request["key"] == "cut":
                return
            link.found(request, number, pos=5, time=2000)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.get("a") == 0
            assert await cache.get("cut") == 1
            assert await cache.get("b") == 1
        assert [each.get("min") for each in seen] == [
            None,
            None,
            {"epoch": EPOCH, "pos": 5, "time": 2000},
            None,
        ]

    run(main)


def test_another_epoch_makes_positions_and_versions_void() -> None:
    seen: list[dict[str, Any]] = []

    async def script(link: Link, number: int) -> None:
        await link.greet(epoch=f"{number + 1}-x")
        async for request in link.requests():
            seen.append(request)
            if request["op"] != "get" and number == 0:
                link.close(4410, "another epoch")
                return
            link.found(request, number, pos=50 - number, time=9000 - number)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.get("a") == 0
            with pytest.raises(UnknownOutcome, match="and then the cache began another life"):
                await cache.incr("n")
            assert await cache.get("a") == 1
        assert [(each["op"], "min" in each) for each in seen] == [
            ("get", False),
            ("incr", False),
            ("get", False),
        ], "the incr was sent once, and no position went into the other epoch"

    run(main)


def test_a_client_reconnects_at_once_when_the_cache_begins_another_life() -> None:
    """The node is well: nothing has to be waited for."""
    patient = type(QUICK)(backoff_first=3600, backoff_most=3600)

    async def script(link: Link, number: int) -> None:
        await link.greet(epoch=f"{number + 1}-x")
        request = await link.next()
        if number == 0:
            link.close(4410, "another epoch")
            return
        link.found(request, number)
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url, timing=patient) as cache:
            assert await cache.get("k") == 1

    run(main)


def test_what_was_too_large_for_somebody_on_the_way_is_split() -> None:
    sizes: list[int] = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        if number == 0:
            await link.next()
            link.close(1009, "too large")
            return
        async for request in link.requests():
            link.found(request, 1)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            names = [f"{index}:{'x' * 1000}" for index in range(20)]
            assert await asyncio.gather(*map(cache.get, names)) == [1] * 20
            sizes.extend(len(frame) for frame in server.links[1].frames[1:])
        assert sum(sizes) == 20
        assert max(sizes) <= 10

    run(main)


def test_a_write_whose_fate_the_node_did_not_know_is_not_called_undone() -> None:
    """It was told that nothing is known, wanted to ask again, and then there was nobody to ask."""

    async def script(link: Link, number: int) -> None:
        if number == 0:
            await link.greet()
            link.refuse(await link.next_of("incr"), "timeout", "unknown")
            link.finish()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            await in_service(cache)
            with pytest.raises(UnknownOutcome, match="incr 'n' was sent, and its result never"):
                await cache.incr("n", timeout=0.2)

    run(main)


def refuse_for_long(link: Link, request: dict[str, Any]) -> None:
    """This server does nothing, and will not soon: nobody waits for that."""
    link.refuse(request, "isolated", "other", after=60)


def test_a_refusal_does_not_undo_what_an_earlier_connection_may_have_done() -> None:
    """The connection was cut under the write; who is asked next has not done it: the first may."""

    async def script(link: Link, number: int) -> None:
        await link.greet()
        request = await link.next_of("incr")
        if number:
            refuse_for_long(link, request)
            await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(UnknownOutcome, match="it is isolated"):
                await cache.incr("n")
            assert len(server.links) == 2

    run(main)


def test_a_refusal_does_not_undo_what_an_earlier_answer_left_open() -> None:
    """Of two answers that the outcome is not known and that nothing was done, the first stands; and
    so it does where a third comes too late."""

    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.refuse(await link.next_of("incr"), "timeout", "unknown")
        link.refuse(await link.next_of("incr"), "overloaded", "same")
        refuse_for_long(link, await link.next_of("incr"))
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(UnknownOutcome, match="it is isolated"):
                await cache.incr("n")

    run(main)


def test_a_refusal_of_what_was_never_done_elsewhere_says_so() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.refuse(await link.next_of("incr"), "overloaded", "same")
        refuse_for_long(link, await link.next_of("incr"))
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(Unavailable, match="it is isolated"):
                await cache.incr("n")

    run(main)


def test_a_named_write_that_nobody_waits_for_is_not_kept_for_repeating() -> None:
    """Its caller has gone, and its connection too: the node need not remember it any more."""
    asked: list[dict[str, Any]] = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            asked.append(request)
            if number == 0:
                if len(asked) == 2:
                    return
            else:
                link.reply(request, value=msgpack.packb(1), version=2)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            gone = asyncio.create_task(cache.incr("gone"))
            await until(lambda: asked)
            gone.cancel()
            assert await cache.incr("stays") == 1
            assert await cache.incr("later") == 1
        assert [(each["key"], each["once"]["n"], each["once"]["done"]) for each in asked] == [
            ("gone", 1, 0),
            ("stays", 2, 0),
            ("stays", 2, 0),
            ("later", 3, 2),
        ]

    run(main)


def test_a_version_of_another_epoch_is_compared_with_nothing() -> None:
    """Versions of two lives of a cache may be equal by chance."""
    go = asyncio.Event()
    seen: list[str] = []

    async def script(link: Link, number: int) -> None:
        if number > 0:
            await go.wait()
        await link.greet(epoch=f"{number + 1}-x")
        async for request in link.requests():
            seen.append(request["op"])
            link.found(request, number, applied=True)
            if number == 0:
                link.close(4410, "another epoch")
                return

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            item = await cache.item("a")
            assert item is not None
            await until(lambda: cache._client.exchange()._connection is None)
            conditional = asyncio.create_task(cache.set("a", 2, if_=item.version))
            plain = asyncio.create_task(cache.set("b", 2))
            absent = asyncio.create_task(cache.add("c", 2))
            await asyncio.sleep(0)
            go.set()
            with pytest.raises(WrongEpoch, match="set 'a' speaks of another life of the cache"):
                await conditional
            assert await plain
            assert await absent
        assert seen == ["get", "set", "set"]

    run(main)


def test_a_node_in_an_epoch_that_is_over_is_passed_over_while_there_are_others() -> None:
    """What it holds is the past; a node that fell behind may not know yet that it is over."""

    async def now(link: Link, number: int) -> None:
        await link.greet(epoch="2-b")
        if number == 0:
            await cut_after(link, 1)
            return
        async for request in link.requests():
            link.found(request, "now")

    async def past(link: Link, number: int) -> None:
        await link.greet(epoch="1-a")
        async for request in link.requests():
            link.found(request, "past")

    async def main() -> None:
        async with (
            scripted(now) as first,
            scripted(past) as second,
            client(first.url, second.url) as cache,
        ):
            assert await cache.get("k") == "now"
            assert len(second.links) == 1, "it was asked"

    run(main)


def test_an_earlier_epoch_is_taken_where_there_is_no_other() -> None:
    """The cluster lost all that it had, and counts from the beginning."""

    async def script(link: Link, number: int) -> None:
        await link.greet(epoch="1-a" if number else "7-g")
        if number == 0:
            await cut_after(link, 1)
            return
        async for request in link.requests():
            link.found(request, "new")

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.get("k") == "new"

    run(main)
