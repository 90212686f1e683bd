"""The blocking client, from threads."""

from __future__ import annotations

import concurrent.futures
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import tlru.sync
from tests.client.nodes import node_in_thread
from tlru.client import MISSING, LockLost, typed
from tlru.errors import BadValue, Timeout, Unavailable
from tlru.sync import Cache

AWAY = "ws://127.0.0.1:1/ws"
WAIT_S = 20.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with node_in_thread() as found:
        yield found


@pytest.fixture
def cache(url: str) -> Iterator[Cache[Any]]:
    with tlru.sync.connect(url) as found:
        found.clear()
        yield found


def test_the_calls_are_those_of_the_asyncio_client(cache: Cache[Any]) -> None:
    assert cache.set("a", {"x": 1}, 60)
    assert cache.get("a") == {"x": 1}
    assert cache.get("nothing", MISSING) is MISSING
    item = cache.item("a")
    assert item is not None
    assert item.value == {"x": 1}
    assert not cache.add("a", 2)
    assert cache.replace("a", 3, old=True).old == {"x": 1}
    assert cache.set_many({"b": 1, "c": 2})
    assert cache.get_many(key for key in "abz") == {"a": 3, "b": 1}
    assert cache.incr("n", 5) == 5
    assert cache.touch("a", 60)
    assert cache.publish("news", "x") is not None
    assert cache.delete("b", "z") == 1
    assert cache.status()["status"] == "active"
    assert cache.nodes()["nodes"][0]["id"] == cache.node(cache.status()["node"])["id"]
    assert cache.ping() > 0
    assert cache.clear() == 3


def test_pages_are_walked_by_plain_iteration(cache: Cache[Any]) -> None:
    part = cache.at("p:")
    part.set_many({f"{index:02}": index for index in range(25)})
    assert list(part.keys(page=10)) == [f"{index:02}" for index in range(25)]
    assert [item.value for _, item in part.items(page=7)] == list(range(25))
    walk = part.items(page=5)
    assert next(walk)[0] == "00", "nothing is fetched that is not asked for"


def test_parts_are_typed(cache: Cache[Any]) -> None:
    numbers: Cache[int] = cache.at("n:", serializer=typed(int))
    numbers.set("a", 1)
    cache.set("n:b", "text")
    assert numbers.get("a") == 1
    with pytest.raises(BadValue):
        numbers.get("b")
    assert repr(numbers).startswith("<tlru.sync cache at ws://127.0.0.1:")


def test_many_threads_share_one_connection(cache: Cache[Any]) -> None:
    def work(number: int) -> None:
        part = cache.at(f"{number}:")
        for turn in range(30):
            part.set("a", turn)
            assert part.get("a") == turn
            cache.incr("total")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert cache.get("total") == 480
    assert cache.status()["connections"] == 1


def test_a_load_runs_in_the_thread_that_asked(cache: Cache[Any]) -> None:
    """That is where its database connection and its thread-locals are."""
    assert cache.get_or_set("a", threading.get_ident) == threading.get_ident()
    assert cache.get_or_set("a", lambda: None) == threading.get_ident(), "loaded once"


def test_threads_share_a_load(cache: Cache[Any]) -> None:
    loads = 0
    go = threading.Event()

    def load() -> int:
        nonlocal loads
        loads += 1
        assert go.wait(WAIT_S)
        return loads

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(cache.get_or_set, "a", load) for _ in range(8)]
        while not loads:
            cache.ping()
        go.set()
        assert [call.result(WAIT_S) for call in calls] == [1] * 8


def test_what_the_loader_raises_is_raised_where_it_was_asked(cache: Cache[Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        cache.get_or_set("a", lambda: 1 / 0)
    with pytest.raises(RuntimeError):  # as in any coroutine, a StopIteration must not get out
        cache.get_or_set("a", lambda: next(iter([])))
    with pytest.raises(TypeError, match="this is the blocking client"):
        cache.get_or_set("a", _coroutine)


async def _coroutine() -> int:
    raise AssertionError("it is never run")


def test_a_stale_value_is_replaced_by_who_meets_it_first(cache: Cache[Any]) -> None:
    loads = 0

    def load() -> int:
        nonlocal loads
        loads += 1
        if loads == 2:
            # While one thread loads, another is served what there is.
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                other = pool.submit(cache.get_or_set, "a", load, 0.05, stale=60)
                assert other.result(WAIT_S) == 1
        if loads == 3:
            raise ZeroDivisionError("the database is away")
        return loads

    def ask() -> Any:
        return cache.get_or_set("a", load, 0.05, stale=60)

    assert ask() == 1
    while loads == 1:
        found = ask()
    assert found == 2
    while loads == 2:
        assert ask() == 2
    assert loads == 3
    while loads == 3:
        found = ask()
    assert found == 4


def test_a_cache_that_is_away_does_not_take_its_users_along() -> None:
    with tlru.sync.connect(AWAY, timeout=0.05) as cache:
        assert cache.get_or_set("a", lambda: 7) == 7
        assert cache.get_or_set("a", lambda: 7, on_error="default", default=8) == 8
        with pytest.raises(Unavailable):
            cache.get("a")


def test_functions_are_decorated(cache: Cache[Any]) -> None:
    calls: list[int] = []

    @cache.cached(ttl=60)
    def load(id: int) -> str:
        calls.append(threading.get_ident())
        return f"{id} {len(calls)}"

    assert [load(1), load(1), load(id=1)] == ["1 1"] * 3
    assert load.refresh(1) == "1 2"
    assert load(1) == "1 2"
    assert load.invalidate(1)
    assert load(1) == "1 3"
    assert cache.get(load.key(1)) == "1 3"
    assert set(calls) == {threading.get_ident()}

    class Repository:
        @cache.cached(key="repository:{id}")
        def load(self, id: int) -> int:
            return id

    assert Repository().load(7) == 7
    assert Repository().load.key(7) == "repository:7"
    assert Repository.load.__name__ == "load"


def test_a_lock_is_held_between_with_and_its_end(cache: Cache[Any]) -> None:
    with cache.lock("job", ttl=30) as lock:
        assert lock.held
        assert lock.fence > 0
        assert lock.name == "job"
        lock.check()
        lock.renew(60)
        other = cache.lock("job", wait=0)
        assert not other.acquire()
        with pytest.raises(Timeout), other:
            raise AssertionError("it is not held")
    assert other.acquire()
    other.release()
    with pytest.raises(LockLost):
        other.release()


def test_a_call_from_the_clients_own_thread_is_refused(cache: Cache[Any]) -> None:
    """A serializer runs there; a call out of it would wait for itself for ever."""

    class Nosy:
        def dumps(self, value: int, /) -> bytes:
            cache.get("a")
            return b""

        def loads(self, data: bytes, /) -> int:
            return 0

    with pytest.raises(BadValue, match="would wait for itself"):
        cache.at("x:", serializer=Nosy()).set("a", 1)


def test_closing_tells_the_threads_that_wait(url: str) -> None:
    cache = tlru.sync.connect(url)
    with cache.lock("held"):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(cache.lock("held").acquire)
            while cache.status()["connections"] != 1 or not _waiting(cache):
                pass
            cache.close()
            with pytest.raises(Exception, match="this client has been closed"):
                waiting.result(WAIT_S)
        cache.__enter__()
    cache.close()
    cache.close()


def _waiting(cache: Cache[Any]) -> bool:
    exchange = cache._cache._client._current
    return exchange is not None and any(c.unanswered for c in exchange._connections())


def test_a_client_can_be_used_again_after_it_was_closed(url: str) -> None:
    cache = tlru.sync.connect(url)
    for turn in range(3):
        with cache:
            cache.set("a", turn)
            assert cache.get("a") == turn
    with pytest.raises(Unavailable, match="closed"):
        cache.get("a")
    cache.close()


def test_no_thread_is_left_behind(url: str) -> None:
    before = set(threading.enumerate())
    with tlru.sync.connect(url) as cache:
        cache.ping()
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_ctrl_c_interrupts_a_call_that_waits() -> None:
    """The call is cancelled on the loop, and the client goes on."""
    with node_in_thread() as url, tlru.sync.connect(url) as cache, cache.lock("held"):
        main = threading.get_ident()
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            cache.lock("held").acquire()
        assert cache.set("a", 1)


def test_ctrl_c_in_a_load_lets_the_others_go(cache: Cache[Any]) -> None:
    def load() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get_or_set("a", load)
    assert cache.get_or_set("a", lambda: 2) == 2
