"""Real nodes for tests: on the test's own loop, in a thread, or in a process that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from tests.client.scripted import run
from tests.ports import free_ports
from tests.running import a_node, until
from tlru.client.cache import Cache, connect
from tlru.node import Node

JOIN_S = 20.0

SERVE = """
import asyncio
from tlru.config import Config
from tlru.node import Node

async def main():
    async with Node(Config(listen="127.0.0.1:0")) as node:
        print(node.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def cache(**options: Any) -> AsyncIterator[Cache[Any]]:
    """A cache at a node of its own."""
    async with a_node() as running, connect(running.url, **options) as found:
        yield found


def with_cache(test: Callable[[Cache[Any]], Awaitable[None]], **options: Any) -> None:
    """Run a test with a cache at a node of its own."""

    async def main() -> None:
        async with cache(**options) as found:
            await test(found)

    run(main)


def at_a_node(test: Callable[[Cache[Any]], Awaitable[None]]) -> Callable[[], None]:
    """A decorator for a test that is given a cache at a node of its own."""

    def run_it() -> None:
        with_cache(test)

    # Not `wraps`: what it leaves behind would have pytest look for a fixture called `cache`.
    run_it.__name__, run_it.__doc__ = test.__name__, test.__doc__
    return run_it


@contextmanager
def node_in_thread() -> Iterator[str]:
    """A node for tests that block; gives its URL."""
    started = threading.Event()
    url: list[str] = []
    stop: list[Callable[[], Any]] = []

    async def serve() -> None:
        async with a_node() as running:
            over = asyncio.Event()
            loop = asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(over.set))
            url.append(running.url)
            started.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(JOIN_S)
    try:
        yield url[0]
    finally:
        stop[0]()
        thread.join(JOIN_S)


@contextmanager
def node_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A node that can be stopped, continued and killed; with its URL."""
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(JOIN_S)
        process.stdout.close()


@asynccontextmanager
async def cluster_of(*ids: str, **told: dict[str, Any]) -> AsyncIterator[dict[str, Node]]:
    """Nodes that have founded a cluster in this process, by their ids; `told` says what else each
    is told. Those that a test has not stopped are stopped at the end."""
    meshes = [f"127.0.0.1:{port}" for port in free_ports(len(ids))]
    async with AsyncExitStack() as stack:
        nodes = {}
        for number, (id, mesh) in enumerate(zip(ids, meshes, strict=True)):
            given: dict[str, Any] = {
                "id": id,
                "mesh": mesh,
                "join": tuple(meshes),
                "expect": len(ids),
                "priority": 100 - 10 * number,
                "election_timeout": 2.0,
                "grace": 2.0,
                **told.get(id, {}),
            }
            nodes[id] = await stack.enter_async_context(a_node(**given))
        await until(lambda: all(node.status == "active" for node in nodes.values()))
        yield nodes


def in_use(cache: Cache[Any]) -> str | None:
    """The address of the server that a client uses."""
    connection = cache._client.exchange()._connection
    return None if connection is None else connection.url
