"""Real nodes for tests: on the test's own loop, in a thread, or in a process that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tests.client.scripted import run
from tests.running import a_node
from tlru.client.cache import Cache, connect

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
