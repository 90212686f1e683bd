"""What becomes of requests that a node refuses, and of nodes that refuse too much."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.client.scripted import QUICK, Link, client, complaint, in_service, run, scripted
from tlru.errors import (
    BadRequest,
    Forbidden,
    Internal,
    NoQuorum,
    RateLimited,
    Timeout,
    TlruError,
    TooLarge,
    Unauthenticated,
)

AWAY = "ws://127.0.0.1:1/ws"  # nobody listens there


@pytest.mark.parametrize(
    ("code", "retry", "facts"),
    [
        ("no_quorum", "other", {}),
        ("overloaded", "other", {"after": 0.001}),
        ("rate_limited", "same", {"after": 0.001, "limit": "requests"}),
        ("syncing", "other", {}),
        ("something_new", "other", {}),
    ],
)
def test_what_was_not_done_is_asked_again(code: str, retry: str, facts: dict[str, Any]) -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        for _ in range(2):
            link.refuse(await link.next(), code, retry, **facts)
        async for request in link.requests():
            link.reply(request, value=b"\x07", version=3)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.incr("n") == 7
            once = [each[0].get("once") for each in server.links[0].frames[1:]]
            assert len(once) == 3
            assert once[0] == once[1] == once[2]

    run(main)


@pytest.mark.parametrize(
    ("code", "retry", "error"),
    [
        ("forbidden", "no", Forbidden),
        ("bad_request", "no", BadRequest),
        ("unauthenticated", "no", Unauthenticated),
        ("internal", "unknown", Internal),
        ("something_new", "no", TlruError),
    ],
)
def test_what_would_be_refused_again_is_told(code: str, retry: str, error: type[TlruError]) -> None:
    asked = 0

    async def script(link: Link, number: int) -> None:
        nonlocal asked
        await link.greet()
        async for request in link.requests():
            asked += 1
            link.refuse(request, code, retry)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(error, match=f"it is {code}"):
                await cache.get("k")
        assert asked == 1

    run(main)


@pytest.mark.parametrize(
    "error",
    [None, "text", {"code": 7}, {"self": 1, "code": "overloaded"}, {1: 2}, {"outcome_known": 1}],
    ids=str,
)
def test_an_error_that_makes_no_sense_still_ends_its_request(error: Any) -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.send({"id": request["id"], "ok": False, "error": error})

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(TlruError):
                await cache.get("k", timeout=0.5)

    run(main)


def test_a_refusal_that_lasts_is_told_as_it_is() -> None:
    """Not as a mere timeout: the caller learns why, and that nothing was done."""

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.refuse(request, "no_quorum", "other", after=0.05)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            await in_service(cache)
            with pytest.raises(NoQuorum):
                await cache.set("k", 1, timeout=1.5)

    run(main)


def test_a_wait_that_the_caller_would_not_live_to_see_is_told_at_once() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.refuse(request, "rate_limited", "same", after=3600, limit="requests")

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(RateLimited) as caught:
                await cache.get("k", timeout=1000)
            assert caught.value.after == 3600

    run(main)


def test_retries_stay_within_their_budget() -> None:
    asked = 0

    async def script(link: Link, number: int) -> None:
        nonlocal asked
        await link.greet()
        async for request in link.requests():
            asked += 1
            link.refuse(request, "overloaded", "other")

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            calls = [cache.get(str(index)) for index in range(200)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(type(each).__name__ == "Overloaded" for each in results)
        assert 200 < asked <= 200 + 10 + 20 + 5, "a tenth, a floor of ten, and one a second"

    run(main)


def test_a_late_named_write_is_asked_for_its_result() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        link.refuse(await link.next(), "timeout", "unknown")
        async for request in link.requests():
            link.reply(request, value=b"\x07", version=3)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.incr("n") == 7

    run(main)


def test_a_late_plain_write_is_told() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.refuse(request, "timeout", "unknown")

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(Timeout) as caught:
                await cache.set("k", 1)
            assert not caught.value.outcome_known

    run(main)


def test_a_node_that_is_draining_is_left_for_another() -> None:
    async def draining(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.refuse(request, "draining", "other")

    async def well(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.found(request, "well")

    async def main() -> None:
        async with (
            scripted(draining) as first,
            scripted(well) as second,
            client(first.url, second.url) as cache,
        ):
            found = await asyncio.gather(*(cache.get(str(index)) for index in range(8)))
            assert found == ["well"] * 8
            assert await cache.get("k") == "well"

    run(main)


def test_a_refusal_may_name_the_servers_to_ask_instead() -> None:
    async def well(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.found(request, "well")

    async def main() -> None:
        async with scripted(well) as second:

            async def isolated(link: Link, number: int) -> None:
                await link.greet()
                async for request in link.requests():
                    servers = [{"url": second.url, "status": "active"}]
                    link.refuse(request, "isolated", "other", servers=servers)

            async with scripted(isolated) as first, client(first.url) as cache:
                assert await cache.get("k") == "well"

    run(main)


def test_a_node_without_a_quorum_goes_on_serving_reads_until_another_is_open() -> None:
    hold = asyncio.Event()

    async def minority(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            if request["op"] == "get":
                link.found(request, "minority")
            else:
                link.refuse(request, "no_quorum", "other")

    async def majority(link: Link, number: int) -> None:
        await hold.wait()
        await link.greet()
        async for request in link.requests():
            link.reply(request, value=b"\x07", version=3)

    async def main() -> None:
        async with (
            scripted(minority) as first,
            scripted(majority) as second,
            client(first.url, second.url) as cache,
        ):
            write = asyncio.create_task(cache.incr("n"))
            while not second.links:
                assert await cache.get("k") == "minority"
            assert await cache.get("k") == "minority"
            hold.set()
            assert await write == 7

    run(main)


def test_goaway_costs_no_request() -> None:
    """What was asked before is answered by the old node, what is asked after by the new one."""
    left = asyncio.Event()

    async def going(link: Link, number: int) -> None:
        await link.greet()
        slow = await link.next()
        link.send({"push": "goaway", "reason": "restart", "within": 0.001, "servers": []})
        await left.wait()
        link.found(slow, "old")
        await link.until_gone()
        assert link.close_code == 1000

    async def staying(link: Link, number: int) -> None:
        await link.greet()
        left.set()
        async for request in link.requests():
            link.found(request, "new")

    async def main() -> None:
        async with (
            scripted(going) as first,
            scripted(staying) as second,
            client(first.url, second.url) as cache,
        ):
            slow = asyncio.create_task(cache.get("slow"))
            await left.wait()
            assert await slow == "old"
            assert await cache.get("k") == "new"

    run(main)


def test_goaway_is_obeyed_even_right_after_another_move() -> None:
    """Moves keep a distance, so that a client does not run in circles; but this one was asked for.

    Nobody asks for anything meanwhile, so no refusal could make it move instead.
    """
    timing = type(QUICK)(backoff_first=0.3, backoff_most=0.3)
    moved = asyncio.Event()

    async def draining(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.refuse(request, "draining", "other")

    async def going(link: Link, number: int) -> None:
        await link.greet()
        link.found(await link.next(), "going")
        link.send({"push": "goaway", "reason": "restart", "within": 0})
        await link.until_gone()

    async def staying(link: Link, number: int) -> None:
        await link.greet()
        moved.set()
        await link.until_gone()

    async def main() -> None:
        async with (
            scripted(draining) as first,
            scripted(going) as second,
            scripted(staying) as third,
            client(first.url, second.url, third.url, timing=timing) as cache,
        ):
            assert await cache.get("k") == "going"
            await moved.wait()

    run(main)


def test_a_node_that_cannot_serve_yet_is_passed_over() -> None:
    async def syncing(link: Link, number: int) -> None:
        await link.greet(status="syncing")
        await link.until_gone()

    async def well(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.found(request, "well")

    async def main() -> None:
        async with (
            scripted(syncing) as first,
            scripted(well) as second,
            client(first.url, second.url) as cache,
        ):
            assert await cache.get("k") == "well"

    run(main)


def test_a_node_that_cannot_serve_yet_may_know_who_can() -> None:
    async def well(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.found(request, "well")

    async def main() -> None:
        async with scripted(well) as second:

            async def syncing(link: Link, number: int) -> None:
                await link.greet(status="syncing", servers=[{"url": second.url}])
                await link.until_gone()

            async with scripted(syncing) as first, client(first.url) as cache:
                assert await cache.get("k") == "well"

    run(main)


def test_a_node_that_is_cut_off_is_used_where_there_is_no_other() -> None:
    """For `read="any"`, which it may answer."""

    async def script(link: Link, number: int) -> None:
        await link.greet(status="isolated")
        async for request in link.requests():
            assert request["read"] == "any"
            link.found(request, "old", stale=12.5)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.get("k", read="any") == "old"

    run(main)


def test_the_list_of_servers_is_kept_up_to_date() -> None:
    async def well(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.found(request, "well")

    async def main() -> None:
        async with scripted(well) as second:

            async def script(link: Link, number: int) -> None:
                await link.greet()
                link.send({"push": "servers", "servers": [{"url": second.url}], "leader": "x"})
                link.found(await link.next(), "first")
                link.close(1001)

            async with scripted(script) as first, client(first.url) as cache:
                assert await cache.get("a") == "first"
                assert await cache.get("b") == "well"
                assert len(first.links) == 1

    run(main)


def test_what_is_not_known_is_ignored() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet(new="field")
        request = await link.next()
        link.send({"push": "weather", "sun": True})
        link.send({"push": "goaway"}, {"push": "servers"}, {"id": 10**9, "ok": True})
        link.send({"id": None, "ok": False, "error": {"code": "bad_request"}}, {})
        link.found(request, "well", new=[1])
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert await cache.get("k") == "well"

    run(main)


def test_what_a_node_would_not_take_is_not_sent() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet(limits={"message_bytes": 500})
        async for request in link.requests():
            link.reply(request, applied=True, version=2)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            large = asyncio.create_task(cache.set("large", "x" * 1000))
            small = asyncio.create_task(cache.set("small", "x"))
            with pytest.raises(TooLarge, match=r"set 'large' makes 10.. bytes, the node takes 500"):
                await large
            assert await small
            assert [each["key"] for frame in server.links[0].frames[1:] for each in frame] == [
                "small"
            ]

    run(main)


def test_a_new_token_is_fetched_when_one_has_run_out() -> None:
    """The node says so of a request, or closes with 4401; nobody who asks notices."""
    fetched = 0

    async def token() -> str:
        nonlocal fetched
        fetched += 1
        return f"token {fetched}"

    async def script(link: Link, number: int) -> None:
        await link.greet()
        assert link.hello["token"] == f"token {number + 1}"
        request = await link.next()
        if number == 0:
            link.refuse(request, "unauthenticated", "no")
            await link.until_gone()
        elif number == 1:
            link.close(4401, "the token has run out")
        else:
            link.found(request, "well")
            await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url, token=token) as cache:
            assert await cache.get("k") == "well"
        assert fetched == 3

    run(main)


@pytest.mark.parametrize(
    ("code", "error"), [(4401, Unauthenticated), (1008, Forbidden)], ids=["4401", "1008"]
)
def test_who_is_not_wanted_stops_and_tells(code: int, error: type[TlruError]) -> None:
    """Everybody who waits is told, and so is whoever comes later; nobody knocks on and on."""
    patient = type(QUICK)(backoff_first=0.001, backoff_most=3600)

    async def script(link: Link, number: int) -> None:
        await link.accept()
        await link.next()
        link.close(code, "no")

    async def main() -> None:
        async with scripted(script) as server:
            async with client(server.url, token="wrong", timing=patient) as cache:
                calls = [cache.get("a"), cache.set("b", 1), cache.incr("c")]
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(each) for each in results] == [error] * 3
                with pytest.raises(error):
                    await cache.get("d")
            assert len(server.links) == 1

    run(main)


@pytest.mark.parametrize("first", [0, 1])
def test_a_refusal_is_told_though_another_server_is_away(first: int) -> None:
    """Nobody waits for a server that may never come back, to hear what the others have said."""

    async def script(link: Link, number: int) -> None:
        await link.accept()
        await link.next()
        link.close(4401, "no")

    async def main() -> None:
        async with scripted(script) as server:
            urls = [server.url, AWAY]
            async with client(urls[first], urls[1 - first], token="wrong", timeout=20) as cache:
                with pytest.raises(Unauthenticated):
                    await cache.get("a")

    run(main)


def test_who_was_not_wanted_may_be_wanted_later() -> None:
    """After a while the next call has it tried again."""

    async def script(link: Link, number: int) -> None:
        if number == 0:
            await link.accept()
            link.refuse(await link.next(), "unauthenticated", "no")
            await link.until_gone()
            return
        await link.greet()
        async for request in link.requests():
            link.found(request, "well")

    async def main() -> None:
        async with scripted(script) as server, client(server.url, token="x") as cache:
            with pytest.raises(Unauthenticated):
                await cache.get("k")
            while True:
                try:
                    assert await cache.get("k") == "well"
                    return
                except Unauthenticated:
                    await asyncio.sleep(0)

    run(main)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [(401, Unauthenticated, "HTTP 401"), (403, Forbidden, "HTTP 403")],
)
def test_an_upgrade_that_is_not_allowed_is_told(
    status: int, error: type[TlruError], told: str
) -> None:
    async def script(link: Link, number: int) -> None:
        await link.refuse_upgrade(status, "no")
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            with pytest.raises(error, match=told):
                await cache.get("k")

    run(main)


@pytest.mark.parametrize(("status", "text"), [(404, "no such page"), (503, "")])
def test_a_refused_upgrade_is_told(status: int, text: str) -> None:
    async def script(link: Link, number: int) -> None:
        await link.refuse_upgrade(status, text)
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            told = f"it refused the upgrade: HTTP {status} {text}".strip()
            assert (await complaint(cache)).endswith(f"{server.url}: {told}")

    run(main)


def test_what_is_no_server_of_tlru_is_told() -> None:
    async def script(link: Link, number: int) -> None:
        link.send_bytes(b"220 mail.example.org ESMTP\r\n")
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert f"{server.url}: it is no server of tlru" in await complaint(cache)

    run(main)


def test_a_greeting_without_an_epoch_is_none() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet(epoch=None)
        await link.until_gone()

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            assert "its hello names no epoch" in await complaint(cache)

    run(main)


def test_a_token_that_cannot_be_fetched_is_told() -> None:
    def token() -> str:
        raise ConnectionRefusedError("the identity provider is away")

    async def main() -> None:
        async with client("ws://127.0.0.1:1/ws", token=token) as cache:
            assert "the identity provider is away" in await complaint(cache)

    run(main)
