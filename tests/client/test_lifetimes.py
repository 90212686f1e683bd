"""A client at module level: other event loops, forks, interpreters that end.

What forks or ends runs in processes of its own, with every warning an error.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from tests.client.nodes import node_in_thread
from tlru.client import connect
from tlru.client.cache import Cache

SCRIPT_S = 60.0
# Python warns of every fork while there are threads; that the client survives it is the point.
FORK_WARNING = "ignore:This process:DeprecationWarning"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with node_in_thread() as found:
        yield found


def script(text: str, url: str) -> str:
    """Run a program in an interpreter of its own, and give what it printed."""
    command = [sys.executable, "-W", "error", "-W", FORK_WARNING, "-c"]
    done = subprocess.run(
        [*command, textwrap.dedent(text), url],
        capture_output=True,
        text=True,
        timeout=SCRIPT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_one_client_is_used_from_one_event_loop_after_the_other(url: str) -> None:
    cache = connect(url)

    async def count() -> Any:
        return await cache.incr("loops")

    first = asyncio.run(count())
    assert [asyncio.run(count()), uvloop.run(count()), asyncio.run(count())] == [
        first + 1,
        first + 2,
        first + 3,
    ]


def test_one_client_is_used_from_event_loops_in_several_threads_at_once(url: str) -> None:
    cache = connect(url)
    failures: list[BaseException] = []

    async def work(number: int) -> None:
        part = cache.at(f"thread {number}:")
        for turn in range(50):
            await part.set("a", turn)
            assert await part.get("a") == turn

    def thread(number: int) -> None:
        try:
            asyncio.run(work(number))
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []


def test_a_loop_that_was_closed_is_forgotten(url: str) -> None:
    cache = connect(url)
    for _ in range(3):
        asyncio.run(_ping(cache))
    assert len(cache._client._exchanges) == 0, "each ended with its loop"

    async def left_open() -> None:
        """Nobody ended what was on this loop; it was simply closed."""
        exchange = cache._client.exchange()
        cache._client._exchanges = {closed: exchange}
        cache._client._current = None
        await cache.ping()
        assert closed not in cache._client._exchanges
        await exchange.close()

    closed = asyncio.new_event_loop()
    closed.close()
    asyncio.run(left_open())


async def _ping(cache: Cache[Any]) -> None:
    await cache.ping()


def test_a_program_that_never_closes_its_client_ends_without_a_word(url: str) -> None:
    printed = script(
        """
        import asyncio, sys
        from tlru.client import connect

        cache = connect(sys.argv[1])

        async def main():
            await cache.set("a", 1)
            print(await cache.get("a"))

        for _ in range(2):
            asyncio.run(main())
        """,
        url,
    )
    assert printed == "1\n1\n"


@pytest.mark.parametrize("end", ["await cache.close()", "pass"])
def test_the_cache_can_be_used_while_a_program_is_being_cancelled(url: str, end: str) -> None:
    """A task tidies up after Ctrl-C: its own connection was cancelled together with it."""
    printed = script(
        f"""
        import asyncio, sys
        from tlru.client import connect

        async def work(cache):
            try:
                await asyncio.Event().wait()
            finally:
                await cache.set("tidied", True)
                print(await cache.get("tidied"))
                {end}

        async def main():
            cache = connect(sys.argv[1])
            await cache.ping()
            asyncio.create_task(work(cache))
            await asyncio.sleep(0)

        asyncio.run(main())
        """,
        url,
    )
    assert printed == "True\n"


def test_a_blocking_client_that_is_never_closed_ends_without_a_word(url: str) -> None:
    printed = script(
        """
        import sys
        from tlru import sync

        cache = sync.connect(sys.argv[1])
        cache.set("a", 1)
        print(cache.get("a"))
        """,
        url,
    )
    assert printed == "1\n"


def test_a_forked_child_starts_afresh_and_leaves_its_parents_connection_alone(url: str) -> None:
    """Both go on asking at once: neither gets the other's answers, and neither falls silent."""
    printed = script(
        """
        import asyncio, os, sys
        from tlru.client import connect

        cache = connect(sys.argv[1], timeout=10)

        async def work(name):
            part = cache.at(name + ":")
            for turn in range(100):
                await part.set("a", [name, turn])
                assert await part.get("a") == [name, turn]

        async def parent():
            await work("parent")
            before = cache._client.exchange()
            child = os.fork()
            if child == 0:
                return False
            await work("parent")
            assert cache._client.exchange() is before, "the parent keeps its connection"
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            assert status == 0, status
            await work("parent")
            assert cache._client.exchange() is before
            await cache.close()
            return True

        loop = asyncio.new_event_loop()
        if loop.run_until_complete(parent()):
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            print("parent")
        else:
            # The child: a new loop, and everything of the old one left behind.
            asyncio.run(work("child"))
            sys.stdout.flush()
            os._exit(0)
        """,
        url,
    )
    assert printed == "parent\n"


def test_a_forked_blocking_client_starts_afresh(url: str) -> None:
    """As under gunicorn: made and used by the parent, then used by many children at once."""
    printed = script(
        """
        import os, sys, threading
        from tlru import sync

        cache = sync.connect(sys.argv[1], timeout=10)
        cache.set("total", 0)

        def work():
            part = cache.at(str(os.getpid()) + ":")
            for turn in range(50):
                part.set("a", turn)
                assert part.get("a") == turn
                cache.incr("total")

        work()
        children = []
        for _ in range(4):
            child = os.fork()
            if child == 0:
                work()
                grandchild = os.fork()
                if grandchild == 0:
                    work()
                    os._exit(0)
                _, status = os.waitpid(grandchild, 0)
                os._exit(status)
            children.append(child)
        work()
        for child in children:
            _, status = os.waitpid(child, 0)
            assert status == 0, status
        work()
        print(cache.get("total"))
        cache.close()
        """,
        url,
    )
    assert printed == f"{50 * (3 + 4 * 2)}\n"


def test_a_pool_of_processes_may_inherit_a_client(url: str) -> None:
    printed = script(
        """
        import multiprocessing, sys
        from tlru import sync

        cache = sync.connect(sys.argv[1], timeout=10)

        def work(number):
            return cache.get_or_set("pool", lambda: "loaded")

        cache.ping()
        with multiprocessing.get_context("fork").Pool(4) as pool:
            print(set(pool.map(work, range(40))))
        """,
        url,
    )
    assert printed == "{'loaded'}\n"


def test_a_child_that_tears_its_copy_of_the_loop_down_does_not_touch_its_parents(url: str) -> None:
    """It returns out of `asyncio.run`: what that tidies up is shared with the parent in part."""
    printed = script(
        """
        import asyncio, os, sys
        from tlru.client import connect

        cache = connect(sys.argv[1], timeout=2)

        async def main():
            await cache.set("a", 1)
            before = cache._client.exchange()
            (connection,) = before._connections()
            child = os.fork()
            if child == 0:
                return
            _, status = os.waitpid(child, 0)
            assert status == 0, status
            for _ in range(20):
                assert await cache.get("a") == 1
            assert before._connections() == [connection], "the connection was lost"
            await cache.close()
            print("well")

        asyncio.run(main())
        """,
        url,
    )
    assert printed == "well\n"


def test_a_child_does_not_keep_its_parents_connection_open(url: str) -> None:
    """The node sees the parent go, though the child has a copy of its socket and lives on."""
    printed = script(
        """
        import asyncio, os, sys
        from tlru.client import connect

        cache, witness = connect(sys.argv[1]), connect(sys.argv[1])

        async def main():
            await cache.ping()
            count = (await witness.status())["connections"]
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(writer)
                os.read(reader, 1)  # until the parent is through
                os._exit(0)
            (connection,) = cache._client.exchange()._connections()
            cache._client.exchange()._task.cancel()
            connection.abort()
            while (await witness.status())["connections"] == count:
                pass
            os.close(writer)
            os.waitpid(child, 0)
            await witness.close()
            print("gone")

        asyncio.run(main())
        """,
        url,
    )
    assert printed == "gone\n"


def test_a_forked_child_does_not_rely_on_its_parents_copies(url: str) -> None:
    """Nobody keeps them up there: what is near is asked for, and the rest says what to do."""
    printed = script(
        """
        import os, sys
        import tlru

        cache = tlru.sync.connect(sys.argv[1], timeout=10)
        cache.set("forked", 1)
        watch, mirror, near = cache.watch("forked"), cache.mirror("forked"), cache.near().open()
        with watch:
            cache.set("forked", 2)
            while not near.coherent:
                pass
            assert near.get("forked") == mirror["forked"] == 2
            child = os.fork()
            if child == 0:
                cache.set("forked", 3)
                assert near.get("forked") == 3
                for reading in (lambda: mirror["forked"], lambda: [next(watch), next(watch)]):
                    try:
                        reading()
                    except tlru.Unavailable as exc:
                        assert "anew here" in str(exc), exc
                    else:
                        os._exit(1)
                assert cache.mirror("forked")["forked"] == 3
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert [next(watch).value, next(watch).value] == [2, 3]
            assert near.get("forked") == mirror["forked"] == 3
        cache.close()
        print("well")
        """,
        url,
    )
    assert printed == "well\n"
