"""The Python client against a node, and redis-py's asyncio client against a real redis-server.

    python -m tests.benchmarks.against_redis [--seconds 1.0] [--rounds 7]

Both servers run on one core, the client (this process, uvloop) on the other. Rounds alternate
between the two, so that whatever else the machine does meets both; a figure is the median of the
ratios of neighbouring rounds. If redis-server is missing and we are root, it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import redis.asyncio
import uvloop

import tlru

SERVER_CORE, CLIENT_CORE = 0, 1
VALUE = b"x" * 100
KEYS = [f"key:{n}" for n in range(1_000)]
MANY = KEYS[:100]
CALLERS = 64

Call = Callable[[], Awaitable[Any]]


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def on_core(core: int) -> Callable[[], None]:
    """What a child process does first: stay on a core."""
    return lambda: os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process on the server's core, stopped by its own process id."""
    process = subprocess.Popen(
        command, preexec_fn=on_core(SERVER_CORE), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def redis_server() -> str:
    """The path of redis-server, installed if need be."""
    found = shutil.which("redis-server")
    if found is None and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-q", "redis-server"], check=True)
        found = shutil.which("redis-server")
    if found is None:
        sys.exit("redis-server is missing: apt-get install redis-server")
    return found


async def until_reachable(port: int) -> None:
    """Wait until a server accepts connections."""
    deadline = time.monotonic() + 20
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return


@contextlib.asynccontextmanager
async def both() -> AsyncIterator[tuple[tlru.Cache[Any], redis.asyncio.Redis]]:
    """A client of each server."""
    ours, theirs = free_port(), free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(
            redis_server(), "--port", str(theirs), "--bind", "127.0.0.1", "--save", "",
            "--dir", folder,
        ),
        running(sys.executable, "-m", "tlru", "serve", "--listen", f"127.0.0.1:{ours}"),
    ):  # fmt: skip
        await until_reachable(ours)
        await until_reachable(theirs)
        cache: tlru.Cache[Any] = tlru.connect(f"ws://127.0.0.1:{ours}", timeout=30)
        client = redis.asyncio.Redis(port=theirs, max_connections=CALLERS)
        try:
            yield cache, client
        finally:
            await cache.close()
            await client.aclose()


async def rate(call: Call, callers: int, seconds: float) -> float:
    """Calls a second of so many callers, each one call after another."""
    count = 0
    began = time.perf_counter()
    end = began + seconds

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await call()
            count += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - began)


async def row(
    name: str, ours: Call, theirs: Call, goal: float, callers: int, seconds: float, rounds: int
) -> None:
    """One line of the table."""
    await rate(ours, callers, seconds / 4)
    await rate(theirs, callers, seconds / 4)
    pairs = []
    for _ in range(rounds):
        a = await rate(ours, callers, seconds)
        b = await rate(theirs, callers, seconds)
        pairs.append((a, b))
    ratios = [a / b for a, b in pairs]
    ratio = statistics.median(ratios)
    rates = [statistics.median(side) for side in zip(*pairs, strict=True)]
    verdict = "reached" if ratio >= goal else "MISSED" if goal else ""
    wanted = f"goal {goal:g}" if goal else "no goal"
    print(
        f"{name:34} {rates[0]:>10,.0f}/s {rates[1]:>10,.0f}/s  ratio {ratio:5.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})  {wanted} {verdict}",
        flush=True,
    )


async def compare(seconds: float, rounds: int) -> None:
    """Print the table, the lone caller first: there nothing is won by batching."""
    async with both() as (cache, client):
        mapping: dict[str, Any] = dict.fromkeys(MANY, VALUE)
        await cache.set_many(dict.fromkeys(KEYS, VALUE))
        for key in KEYS:
            await client.set(key, VALUE)
        assert await cache.get("key:5") == await client.get("key:5") == VALUE

        async def redis_get_many() -> Any:
            async with client.pipeline(transaction=False) as pipe:
                for key in MANY:
                    pipe.get(key)
                return await pipe.execute()

        async def redis_set_many() -> Any:
            async with client.pipeline(transaction=False) as pipe:
                for key in MANY:
                    pipe.set(key, VALUE)
                return await pipe.execute()

        print(f"{'':34} {'tlru':>12} {'redis-py':>12}   (median of {rounds} alternating rounds)")
        rows: list[tuple[str, Call, Call, float, int]] = [
            (
                "GET, one caller at a time",
                lambda: cache.get("key:5"),
                lambda: client.get("key:5"),
                1,
                1,
            ),
            (
                f"GET, {CALLERS} callers (batched)",
                lambda: cache.get("key:5"),
                lambda: client.get("key:5"),
                5,
                CALLERS,
            ),
            ("get_many of 100 / pipeline", lambda: cache.get_many(MANY), redis_get_many, 3, 1),
            ("set_many of 100 / pipeline", lambda: cache.set_many(mapping), redis_set_many, 3, 1),
            (
                "SET, one caller at a time",
                lambda: cache.set("key:5", VALUE),
                lambda: client.set("key:5", VALUE),
                0,
                1,
            ),
            (
                f"SET, {CALLERS} callers (batched)",
                lambda: cache.set("key:5", VALUE),
                lambda: client.set("key:5", VALUE),
                0,
                CALLERS,
            ),
        ]
        for name, ours, theirs, goal, callers in rows:
            await row(name, ours, theirs, goal, callers, seconds, rounds)
        print(
            "Figures of many callers come from batching: what is asked for in one turn of the\n"
            "loop leaves as one WebSocket message; redis-py writes once for each call."
        )


def main() -> None:
    """Parse the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    uvloop.run(compare(args.seconds, args.rounds))


if __name__ == "__main__":
    main()
