"""Time that runs out, servers that fall silent, callers that go, and more than fits at once."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.client.scripted import (
    QUICK,
    Link,
    client,
    complaint,
    in_service,
    run,
    scripted,
    until,
)
from tlru.client.cache import Cache
from tlru.errors import Timeout, TlruError, Unavailable, UnknownOutcome


async def echo(link: Link, number: int) -> None:
    """Answer every `get` with its own key."""
    await link.greet()
    async for request in link.requests():
        link.found(request, request["key"])


async def mute(link: Link, number: int) -> None:
    """Greet, and answer nothing."""
    await link.greet()
    await link.until_gone()


def test_a_late_read_is_a_timeout_that_changed_nothing() -> None:
    async def main() -> None:
        async with scripted(mute) as server, client(server.url) as cache:
            await in_service(cache)
            with pytest.raises(TimeoutError) as caught:
                await cache.get("k", timeout=0.05)
            error = caught.value
            assert isinstance(error, Timeout)
            assert error.outcome_known
            assert str(error) == f"get 'k' was not answered in time by {server.url}"

    run(main)


def test_a_late_write_may_have_been_done() -> None:
    async def main() -> None:
        async with scripted(mute) as server, client(server.url) as cache:
            await in_service(cache)
            writes = [cache.set("k", 1, timeout=0.05), cache.incr("n", timeout=0.05)]
            for error in await asyncio.gather(*writes, return_exceptions=True):
                assert isinstance(error, Timeout)
                assert not error.outcome_known

    run(main)


def test_everybody_has_a_deadline_of_their_own() -> None:
    """One timer for all of them goes on to the next when it has rung."""

    async def main() -> None:
        async with scripted(mute) as server, client(server.url) as cache:
            await in_service(cache)
            reads = [cache.get("k", timeout=0.02 * number) for number in (3, 1, 2, 1)]
            results = await asyncio.gather(*reads, return_exceptions=True)
            assert [type(each) for each in results] == [Timeout] * 4

    run(main)


def test_the_node_is_given_most_of_a_writes_time() -> None:
    """So that it can still say what became of the write before its caller stops listening."""
    asked: list[dict[str, Any]] = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            asked.append(request)
            link.reply(request, applied=True, version=1)

    async def main() -> None:
        async with scripted(script) as server, client(server.url, timeout=4) as cache:
            await cache.set("a", 1)
            await cache.set("b", 1, timeout=10)
            await cache.set("c", 1, timeout=1e9)
        assert [each["timeout"] for each in asked] == [3.6, 9.0, 3600]

    run(main)


def test_what_never_left_was_certainly_not_done() -> None:
    """The node takes one request at a time; the second waits for its turn, and is withdrawn."""
    asked: list[dict[str, Any]] = []
    free = asyncio.Event()

    async def script(link: Link, number: int) -> None:
        await link.greet(limits={"in_flight": 1})
        first = await link.next()
        await free.wait()
        link.found(first, "first")
        async for request in link.requests():
            asked.append(request)
            link.found(request, request["key"])

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            first = asyncio.create_task(cache.get("first"))
            await until(lambda: server.links and len(server.links[0].frames) == 2)
            with pytest.raises(Timeout, match="set 'k' was not done: there was no room") as caught:
                await cache.set("k", 1, timeout=0.05)
            assert caught.value.outcome_known
            free.set()
            assert await first == "first"
            assert await cache.get("next") == "next"
        assert [each["op"] for each in asked] == ["get"]

    run(main)


def test_an_answer_that_comes_too_late_is_given_to_nobody() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.found(await link.next(), "first")
        late = await link.next()
        asked = await link.next_of("get")  # a ping comes between, for the node is doubted
        link.found(late, "late")
        link.found(asked, "in time")
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.get("first") == "first"
            with pytest.raises(Timeout):
                await cache.get("a", timeout=0.05)
            assert await cache.get("b") == "in time"

    run(main)


def test_a_server_that_nobody_listens_at_is_told_by_its_address() -> None:
    async def main() -> None:
        url = "ws://127.0.0.1:1/ws"
        async with client(url) as cache:
            told = await complaint(cache)
            assert told.startswith(("get 'k' was not done: no server in time; ", "no server for "))
            assert told.endswith(f"{url}: connection refused")

    run(main)


def test_a_long_outage_is_told_at_once() -> None:
    """Who comes when it has lasted longer than they would wait is not made to wait again."""

    async def main() -> None:
        async with client("ws://127.0.0.1:1/ws") as cache:
            await complaint(cache)
            with pytest.raises(Unavailable, match=r"no server for \d+\.\d s now: ws://127"):
                cache.get("k", timeout=1e-6).send(None)

    run(main)


def test_an_outage_ends_for_those_who_wait() -> None:
    """A call is made while nobody listens; a server comes up within its time."""

    async def main() -> None:
        async with scripted(mute) as server:
            url = server.url
        port = int(url.split(":")[2].split("/")[0])
        async with client(url) as cache:
            call = asyncio.create_task(cache.get("k"))
            await asyncio.sleep(0)

            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                link = Link(reader, writer)
                try:
                    await echo(link, 0)
                except Exception:
                    link.cut()

            listening = await asyncio.start_server(handle, "127.0.0.1", port)
            assert await call == "k"
            await cache.close()
            listening.close()
            await listening.wait_closed()

    run(main)


def test_a_silent_server_is_asked_and_then_left() -> None:
    """A half-open connection: it takes everything and says nothing."""
    timing = type(QUICK)(ping_after=0.1, pong_within=0.3, backoff_first=0.001)
    ops: list[str] = []

    async def silent(link: Link, number: int) -> None:
        await link.greet()
        ops.append((await link.next())["op"])
        ops.append((await link.next())["op"])
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(silent) as first,
            scripted(echo) as second,
            client(first.url, second.url, timing=timing) as cache,
        ):
            assert await cache.get("k") == "k"
        assert ops == ["get", "ping"]

    run(main)


def test_a_quiet_server_that_answers_is_kept() -> None:
    timing = type(QUICK)(ping_after=0.02, pong_within=5, backoff_first=0.001)
    pinged = asyncio.Event()

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            if request["op"] == "ping":
                link.send({"id": request["id"], "ok": True, "time": 2000})
                pinged.set()
            else:
                link.found(request, "well")

    async def main() -> None:
        async with scripted(script) as server, client(server.url, timing=timing) as cache:
            assert await cache.get("k") == "well"
            await pinged.wait()
            assert await cache.get("k") == "well"
            assert len(server.links) == 1

    run(main)


def test_a_request_in_vain_raises_doubt_before_the_usual_silence_does() -> None:
    """Fifteen seconds of timeouts would be a poor way to find out that a server is gone."""

    async def silent(link: Link, number: int) -> None:
        await link.greet()
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(silent) as first,
            scripted(echo) as second,
            client(first.url, second.url, timeout=0.3) as cache,
        ):
            await in_service(cache)
            with pytest.raises(Timeout):
                await cache.get("a", timeout=0.05)
            assert await cache.get("b", timeout=10) == "b"

    run(main)


async def answered(cache: Cache[Any]) -> bool:
    """Whether a question has its answer soon."""
    try:
        return bool(await cache.get("k", timeout=0.05) == "k")
    except Timeout:
        return False


def test_a_node_that_answers_nothing_of_all_it_takes_is_left() -> None:
    """It is alive (it pushes) but its list of unanswered requests is full of the departed."""

    async def stuck(link: Link, number: int) -> None:
        if number > 0:
            await echo(link, number)
        await link.greet(limits={"in_flight": 3})
        while True:
            await link.next()
            link.send({"push": "weather"})

    async def main() -> None:
        async with scripted(stuck) as server, client(server.url) as cache:
            await in_service(cache)
            # On a busy machine some are overdue before they leave: those fill no list.
            asked = 1
            while not await answered(cache):
                asked += 1
                assert asked <= 200, "it stays with a node that answers nothing"
            assert asked > 2, "one that does not come back is no reason yet"

    run(main)


def test_what_is_asked_in_one_turn_leaves_as_one_message() -> None:
    async def main() -> None:
        async with scripted(echo) as server, client(server.url) as cache:
            await cache.get("first")
            assert await asyncio.gather(*map(cache.get, "abcdef")) == list("abcdef")
            assert [len(frame) for frame in server.links[0].frames] == [1, 1, 6]

    run(main)


def test_ten_thousand_calls_in_one_turn_are_all_answered_by_few_messages() -> None:
    async def main() -> None:
        async with scripted(echo) as server, client(server.url, timeout=15) as cache:
            names = [f"key {index}" for index in range(10_000)]
            assert await asyncio.gather(*map(cache.get, names)) == names
            sizes = [len(frame) for frame in server.links[0].frames]
            assert sum(sizes) == 10_001
            assert max(sizes) <= 1024
            assert len(sizes) <= 60, "limits of 1,024 a message and 4,096 at once"

    run(main)


def test_further_callers_wait_in_order_for_their_turn() -> None:
    seen: list[str] = []

    async def script(link: Link, number: int) -> None:
        await link.greet(limits={"in_flight": 3, "batch": 2})
        held: list[dict[str, Any]] = []
        async for request in link.requests():
            held.append(request)
            seen.append(request["key"])
            assert len(held) <= 3
            if len(held) == 3 or len(seen) == 10:
                for each in held:
                    link.found(each, each["key"])
                held.clear()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            names = [str(index) for index in range(10)]
            assert await asyncio.gather(*map(cache.get, names)) == names
            assert seen == names
            assert max(len(frame) for frame in server.links[0].frames) <= 2

    run(main)


def test_a_storm_of_cancellations_harms_nobody_else() -> None:
    """Before they are sent, while they are under way, and after their answers have come."""
    chance = random.Random(7)

    async def script(link: Link, number: int) -> None:
        await link.greet()
        held: list[dict[str, Any]] = []
        async for request in link.requests():
            held.append(request)
            if len(held) >= 50 or request["key"] == "last":
                chance.shuffle(held)
                for each in held:
                    link.found(each, each["key"])
                held.clear()

    async def rounds(cache: Cache[Any]) -> None:
        for turn in range(20):
            names = [f"{turn}.{index}" for index in range(500)]
            calls = [asyncio.create_task(cache.get(name)) for name in names]
            gone = set()
            for _ in range(chance.randrange(4)):
                for index in chance.sample(range(500), 100):
                    calls[index].cancel()
                    gone.add(index)
                await asyncio.sleep(0)
            assert await cache.get("last") == "last"
            results = await asyncio.gather(*calls, return_exceptions=True)
            for index, result in enumerate(results):
                if isinstance(result, asyncio.CancelledError):
                    assert index in gone
                else:
                    assert result == names[index]

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            await rounds(cache)
            exchange = cache._client.exchange()
            assert not exchange._outbox.queue
            (connection,) = exchange._connections()
            assert not connection.unanswered

    run(main)


def test_a_call_that_is_cancelled_before_its_turn_ends_is_not_sent() -> None:
    async def main() -> None:
        async with scripted(echo) as server, client(server.url) as cache:
            await cache.get("first")
            gone = asyncio.create_task(cache.get("gone"))
            stays = asyncio.create_task(cache.get("stays"))
            await asyncio.sleep(0)
            gone.cancel()
            assert await stays == "stays"
            sent = [each["key"] for frame in server.links[0].frames[1:] for each in frame]
            assert sent == ["first", "stays"]

    run(main)


def test_a_named_write_that_is_cancelled_is_done_with() -> None:
    """Its number must not keep the node remembering for ever."""
    asked: list[dict[str, Any]] = []
    cancelled = asyncio.Event()

    async def script(link: Link, number: int) -> None:
        await link.greet()
        asked.append(await link.next())
        await cancelled.wait()
        link.reply(asked[0], value=b"\x01", version=1)
        async for request in link.requests():
            asked.append(request)
            link.reply(request, value=b"\x02", version=2)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            call = asyncio.create_task(cache.incr("n"))
            await until(lambda: asked)
            call.cancel()
            cancelled.set()
            assert await cache.incr("n") == 2
            assert await cache.incr("n") == 2
        assert [each["once"]["done"] for each in asked] == [0, 0, 2]

    run(main)


def test_a_server_that_does_not_read_is_not_written_to_without_end() -> None:
    """What does not fit the socket's buffer stays with its callers, and goes when there is room."""
    reading = asyncio.Event()
    value = "x" * 100_000

    async def script(link: Link, number: int) -> None:
        await link.greet()
        await reading.wait()
        async for request in link.requests():
            link.reply(request, applied=True, version=1)

    async def main() -> None:
        async with scripted(script) as server, client(server.url, timeout=15) as cache:
            first = asyncio.create_task(cache.get("nothing", timeout=15))
            await until(lambda: server.links and server.links[0].hello)
            writes = [asyncio.create_task(cache.set(str(n), value)) for n in range(400)]
            exchange = cache._client.exchange()
            await until(lambda: exchange._connection and exchange._connection.paused)
            assert exchange._outbox.queue, "the rest waits here"
            reading.set()
            assert all(await asyncio.gather(*writes))
            await first

    run(main)


def test_closing_tells_everybody_who_waits() -> None:
    async def main() -> None:
        async with scripted(mute) as server:
            cache = client(server.url)
            read = asyncio.create_task(cache.get("k"))
            write = asyncio.create_task(cache.set("k", 1))
            named = asyncio.create_task(cache.incr("n"))
            await until(lambda: server.links and len(server.links[0].frames) == 2)
            unsent = asyncio.create_task(cache.set("late", 1))
            await asyncio.sleep(0)
            await cache.close()
            results = await asyncio.gather(read, write, named, unsent, return_exceptions=True)
            assert [type(each) for each in results] == [
                Unavailable,
                UnknownOutcome,
                UnknownOutcome,
                Unavailable,
            ]
            assert all("this client has been closed" in str(each) for each in results)
            with pytest.raises(Unavailable, match="this client has been closed"):
                await cache.get("k")
            await cache.close()
            assert server.links[0].close_code == 1000

    run(main)


def test_closing_before_a_connection_is_there_is_quick_and_clean() -> None:
    async def main() -> None:
        async with scripted(mute) as server:
            cache = client(server.url)
            call = asyncio.create_task(cache.get("k"))
            await asyncio.sleep(0)
            await cache.close()
            with pytest.raises(TlruError, match="closed"):
                await call

    run(main)


def test_a_client_that_was_closed_can_be_entered_again() -> None:
    async def main() -> None:
        async with scripted(echo) as server:
            cache = client(server.url)
            for _ in range(2):
                async with cache:
                    assert await cache.get("k") == "k"

    run(main)
