"""Locks that the whole cluster respects."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest

from tests.client.nodes import with_cache
from tests.client.scripted import Link, client, run, scripted, until
from tests.running import a_node
from tlru.client import LockLost, connect
from tlru.client.cache import Cache
from tlru.errors import Timeout


def test_one_holds_it_at_a_time_and_fences_grow() -> None:
    async def test(cache: Cache[Any]) -> None:
        inside = 0
        fences: list[int] = []

        async def work() -> None:
            nonlocal inside
            async with cache.lock("job") as lock:
                inside += 1
                assert inside == 1
                assert lock.held
                fences.append(lock.fence)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(work() for _ in range(20)))
        assert fences == sorted(set(fences))
        assert len(fences) == 20

    with_cache(test)


def test_who_does_not_want_to_wait_is_told() -> None:
    async def test(cache: Cache[Any]) -> None:
        async with cache.lock("job"):
            other = cache.lock("job", wait=0)
            assert not await other.acquire()
            assert not other.held
            with pytest.raises(LockLost):
                _ = other.fence
            with pytest.raises(Timeout, match="'job' was not free within 0 s") as caught:
                async with other:
                    raise AssertionError("it is not held")
            assert caught.value.outcome_known
            assert not await other.acquire(wait=0.02)
        assert await other.acquire()
        await other.release()

    with_cache(test)


def test_a_lock_is_of_its_part_of_the_cache() -> None:
    async def test(cache: Cache[Any]) -> None:
        async with cache.at("a:").lock("job"):
            assert await cache.at("b:").lock("job", wait=0).acquire()
            assert not await cache.lock("a:job", wait=0).acquire()

    with_cache(test)


def test_a_lock_is_kept_alive_for_as_long_as_it_is_held() -> None:
    async def main() -> None:
        async with a_node() as running, connect(running.url) as one, connect(running.url) as two:
            async with one.lock("job", ttl=0.9) as lock:
                much_longer = time.monotonic() + 1.4
                while time.monotonic() < much_longer:
                    assert not await two.lock("job", wait=0.1).acquire()
                lock.check()
            assert await two.lock("job", wait=0).acquire()

    run(main)


def test_without_renewal_it_runs_out_and_who_held_it_is_told() -> None:
    async def test(cache: Cache[Any]) -> None:
        async def oversleep() -> None:
            async with cache.lock("job", ttl=0.03, renew=False) as lock, cache.lock("job"):
                await until(lambda: not lock.held)
                with pytest.raises(LockLost):
                    lock.check()
                with pytest.raises(LockLost):
                    await lock.renew()

        with pytest.raises(LockLost, match="'job' was not held any more when it was let go"):
            await oversleep()

    with_cache(test)


def test_an_error_inside_is_not_hidden_by_a_lock_that_ran_out() -> None:
    async def test(cache: Cache[Any]) -> None:
        with pytest.raises(ZeroDivisionError):
            async with cache.lock("job", ttl=0.03, renew=False), cache.lock("job"):
                raise ZeroDivisionError

    with_cache(test)


def test_it_can_be_given_more_time_by_hand_and_let_go_within() -> None:
    async def test(cache: Cache[Any]) -> None:
        async with cache.lock("job", ttl=5, renew=False) as lock:
            await lock.renew(60)
            assert lock._until > time.monotonic() + 50
            await lock.release()
            assert await cache.lock("job", wait=0).acquire()

    with_cache(test)


def test_one_object_holds_it_once() -> None:
    async def test(cache: Cache[Any]) -> None:
        async with cache.lock("job") as lock:
            with pytest.raises(RuntimeError, match="held already"):
                await lock.acquire()

    with_cache(test)


def test_a_lock_without_a_life_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="who holds it may die"):
            client("ws://127.0.0.1:1/ws").lock("job", ttl=None)

    run(main)


def test_a_lock_that_is_granted_to_nobody_is_given_back() -> None:
    """Its caller is cancelled while it waits for its turn."""

    async def main() -> None:
        async with a_node() as running, connect(running.url) as one, connect(running.url) as two:
            async with one.lock("job", ttl=60):
                waiting = asyncio.create_task(two.lock("job", ttl=60).acquire())
                assert not await one.lock("job", wait=0).acquire()
                await until(lambda: two._client.exchange()._connections())
                await two.ping()
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            assert await one.lock("job", wait=30).acquire()

    run(main)


def test_who_is_cancelled_while_letting_go_lets_go() -> None:
    async def test(cache: Cache[Any]) -> None:
        lock = cache.lock("job", ttl=60)
        assert await lock.acquire()
        releasing = asyncio.create_task(lock.release())
        await asyncio.sleep(0)
        releasing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await releasing
        assert await cache.lock("job", wait=30).acquire()

    with_cache(test)


def test_a_long_wait_is_asked_for_in_parts() -> None:
    """Each under a new name: a name that is older than the node remembers is worth nothing."""
    asked: list[dict[str, Any]] = []

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            asked.append(request)
            link.reply(request, held=len(asked) == 3, fence=7)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            lock = cache.lock("job")
            assert await lock.acquire()
            assert lock.fence == 7
            assert not math.isfinite(lock._wait)
        assert [each["wait"] for each in asked[:3]] == [60, 60, 60]
        assert [each["once"]["n"] for each in asked[:3]] == [1, 2, 3]

    run(main)


def test_a_lock_that_cannot_be_let_go_runs_out() -> None:
    """The work is done; that the cache is away now is no reason to fail it."""

    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            if request["op"] == "lock":
                link.reply(request, held=True, fence=1)
            else:
                link.refuse(request, "internal", "unknown")

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache, cache.lock("job"):
            pass

    run(main)


def test_a_renewal_that_fails_is_tried_again_while_there_is_time() -> None:
    renewals = 0

    async def script(link: Link, number: int) -> None:
        nonlocal renewals
        await link.greet()
        async for request in link.requests():
            if request["op"] == "renew":
                renewals += 1
                if renewals == 1:
                    link.refuse(request, "internal", "unknown")
                    continue
            link.reply(request, held=True, fence=1, released=True)

    async def main() -> None:
        async with (
            scripted(script) as server,
            client(server.url) as cache,
            cache.lock("job", ttl=1.2) as lock,
        ):
            await until(lambda: renewals >= 3)
            assert lock.held

    run(main)


def test_a_lock_that_somebody_else_has_is_renewed_no_more() -> None:
    async def script(link: Link, number: int) -> None:
        await link.greet()
        async for request in link.requests():
            link.reply(request, held=request["op"] == "lock", fence=1, released=False)

    async def main() -> None:
        async with scripted(script) as server, client(server.url) as cache:
            lock = cache.lock("job", ttl=0.06)
            assert await lock.acquire()
            await until(lambda: not lock.held)
            with pytest.raises(LockLost):
                await lock.release()

    run(main)
