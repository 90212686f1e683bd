"""Watches, near copies and mirrors without an event loop, from any thread."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import tlru
from tests.client.nodes import JOIN_S, node_in_thread
from tlru.errors import BadValue, Unavailable
from tlru.sync.cache import Cache


@contextmanager
def blocking() -> Iterator[Cache[Any]]:
    """A blocking cache at a node of its own."""
    with node_in_thread() as url, tlru.sync.connect(url) as cache:
        yield cache


def until(holds: Callable[[], object]) -> None:
    """Look again and again, until what another thread does has been done."""
    end = time.monotonic() + JOIN_S
    while not holds():
        assert time.monotonic() < end, "what was waited for did not come about"
        time.sleep(0.001)


def test_a_watch_is_an_iterator_that_blocks() -> None:
    with blocking() as cache, cache.at("user:").watch() as watch:
        writer = threading.Thread(
            target=lambda: [cache.set(f"user:{number}", number) for number in range(2500)]
        )
        writer.start()
        sets = list(itertools.islice(_sets(watch), 2500))
        writer.join(JOIN_S)
        assert [(each.key, each.value) for each in sets] == [(str(n), n) for n in range(2500)]
        with cache.at("user:").watch(since=sets[-3].position) as again:
            assert list(itertools.islice(_sets(again), 2)) == sets[-2:]


def _sets(watch: Iterable[Any]) -> Iterator[tlru.Set[Any]]:
    """What was set, without the checkpoints that come in between."""
    return (change for change in watch if isinstance(change, tlru.Set))


def test_the_position_is_behind_what_was_taken_not_behind_what_has_come() -> None:
    with blocking() as cache, cache.watch() as watch:
        versions = [cache.set("k", number).version for number in range(3)]
        first = next(watch)
        assert first.version == versions[0]
        assert watch.position == first.position
        assert [next(watch).version for _ in range(2)] == versions[1:]


def test_batches_and_a_snapshot() -> None:
    with blocking() as cache:
        cache.set_many({"a": 1, "b": 2, "c": 3})
        with cache.watch(snapshot=True) as watch:
            batches = watch.batches(max=2, within=5)
            assert [len(next(batches)) for _ in range(1)] == [2]
            cache.set("d", 4)
            assert [change.key for change in next(batches)][-1] == "d"


def test_who_closes_a_watch_wakes_who_waits_in_it() -> None:
    with blocking() as cache:
        watch = cache.watch()
        found: list[Any] = []
        taking = threading.Thread(target=lambda: found.append(list(watch)))
        with watch:
            taking.start()
            cache.set("k", 1)
        taking.join(JOIN_S)
        assert not taking.is_alive()
        assert [change.key for change in found[0]] in (["k"], [])


def test_a_function_is_called_in_a_thread_of_its_own() -> None:
    with blocking() as cache:
        seen: list[tuple[str, str]] = []
        watch = cache.watch().__enter__()
        calling = watch.call(
            lambda change: seen.append((change.key, threading.current_thread().name))
        )
        cache.set("k", 1)
        until(lambda: seen)
        assert seen == [("k", "tlru watch")]
        # Unlike one that runs on the client's own thread, it may call the client.
        again = cache.watch("k").__enter__().call(lambda _: cache.set("echo", 2))
        cache.set("k", 2)
        until(lambda: ("echo", "tlru watch") in seen)
        again.stop()
        calling.stop()
        calling.wait(JOIN_S)


def test_the_end_of_the_client_ends_what_waits() -> None:
    with node_in_thread() as url:
        cache = tlru.sync.connect(url)
        watch = cache.watch().__enter__()
        ended: list[BaseException] = []

        def take() -> None:
            try:
                next(watch)
            except Unavailable as exc:
                ended.append(exc)

        taking = threading.Thread(target=take)
        taking.start()
        cache.close()
        taking.join(JOIN_S)
        assert len(ended) == 1


def test_a_near_copy_is_read_by_many_threads() -> None:
    with blocking() as cache, cache.near() as near:
        cache.set("k", 0)
        until(lambda: near.coherent)
        failures: list[str] = []
        going = threading.Event()
        going.set()

        def read() -> None:
            last: Any = 0
            while going.is_set():
                found: Any = near.get("k")
                if found < last:
                    failures.append(f"{found} after {last}")
                last = found
                time.sleep(0.0005)  # who reads without a pause leaves the others no interpreter

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for number in range(1, 200):
            cache.set("k", number)
            assert near.get("k") == number
        going.clear()
        for reader in readers:
            reader.join(JOIN_S)
        assert failures == []
        assert near.get("nothing", "default") == near.peek("nothing", "default") == "default"
        assert len(near) == 2


def test_a_mirror_is_read_while_it_changes() -> None:
    with blocking() as cache:
        cache.set_many({f"k{number}": 0 for number in range(500)})
        mirror = cache.mirror("k*")
        seen: list[Any] = []
        stop = mirror.on_change(seen.append)

        def write() -> None:
            for number in range(200):
                cache.set(f"new{number}", 1)
                cache.set(f"k{number}", 1)
                cache.delete(f"k{number}")

        writer = threading.Thread(target=write)
        writer.start()
        while writer.is_alive():
            assert 300 <= len(list(mirror)) <= 500
            assert all(value in (0, 1) for value in mirror.values())
        writer.join(JOIN_S)
        assert len(mirror) == len(mirror.items()) == 300
        assert mirror["k300"] == mirror.get("k300") == 0
        assert ("k0" in mirror, mirror.get("k0", 7)) == (False, 7)
        until(lambda: len(seen) == 400)
        stop()
        mirror.close()
        with pytest.raises(Unavailable, match="closed"):
            mirror["k300"]


def test_a_value_that_cannot_be_read_is_told_and_the_next_is_taken() -> None:
    with blocking() as cache, cache.at("n:", serializer=tlru.typed(int)).watch() as watch:
        cache.set("n:a", "no number")
        cache.set("n:b", 7)
        with pytest.raises(BadValue, match="n:a"):
            next(watch)
        assert next(watch).key == "b"


def test_what_is_dropped_is_kept_up_no_more() -> None:
    with blocking() as cache:
        watch, mirror = cache.watch("k").__enter__(), cache.mirror()
        exchanges = cache._cache._client._exchanges.values()
        (feeds,) = [exchange.feeds for exchange in exchanges]
        assert feeds.watched
        del watch, mirror
        gc.collect()
        until(lambda: not feeds.watched)
