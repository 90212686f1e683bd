"""A wall clock that leaps by an hour, there and back, under the node that leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp

import tlru
from tests.integration.processes import Process, processes
from tests.integration.recorder import recording
from tests.running import run

IDS = ("n1", "n2", "n3")
LIFE_S = 1.5
SLACK_S = 0.25  # of the clocks of several nodes, and of a busy machine
HOUR_S = 3600
LOOKS_MIN = 6  # on the slowest machine, twice at each node


def libfaketime() -> Path:
    """The library that gives a process another wall clock."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert found, "this test lets a clock leap by libfaketime: install the package libfaketime"
    return found[0]


def set_whole(file: Path, text: str) -> None:
    """Nobody finds it empty between the old text and the new."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


async def wall_of(node: Process) -> float:
    """What time it is, if the node is asked."""
    url = f"http://127.0.0.1:{node.port}/v1/status"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()


async def watch_a_life(caches: Iterable[tlru.Cache[int]], key: str) -> int:
    """An item lives as long as it was to, at every node; how often it was looked for."""
    caches, looks = tuple(caches), 0
    began = time.monotonic()
    await caches[0].set(key, 1, ttl=LIFE_S)
    ends = time.monotonic() + LIFE_S
    while time.monotonic() < ends + 2 * SLACK_S:
        for cache in caches:
            asked = time.monotonic()
            item = await cache.item(key, read="linear")
            answered = time.monotonic()
            looks += 1
            if item is None:
                assert answered > began + LIFE_S - SLACK_S, f"over {ends - answered} s early"
            else:
                assert asked < ends + SLACK_S, f"there {asked - ends} s too long"
                assert item.ttl is not None
                assert item.ttl <= LIFE_S
        await asyncio.sleep(0.02)
    return looks


def test_a_clock_that_leaps_ends_no_life_early_or_late_and_fails_no_request(tmp_path: Path) -> None:
    async def test() -> None:
        leap = tmp_path / "leap"
        leap.write_text("+0")
        env = {
            "LD_PRELOAD": str(libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(leap),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nor the time since boot: no kernel sets those
        }
        async with processes(tmp_path, *IDS, keeps=True, env={"n1": env}) as cluster:
            n1 = cluster.nodes["n1"]
            caches: list[tlru.Cache[int]] = [tlru.connect(url) for url in cluster.urls]
            async with recording(*cluster.urls) as recorder:
                await cluster.until_led_by(n1)
                for number, by in enumerate((HOUR_S, -HOUR_S, 0)):
                    life = asyncio.create_task(watch_a_life(caches, f"life {number}"))
                    await recorder.more(10)
                    leap.write_text(f"{by:+d}")
                    await recorder.more(10)
                    assert abs(await wall_of(n1) - time.time() - by) < 5, "it has leapt"
                    assert await life > LOOKS_MIN
                said = await cluster.statuses()
            for cache in caches:
                await cache.close()
            print(f"clock: {recorder.told()}")
            assert recorder.errors == []
            assert {each["leader"] for each in said.values()} == {"n1"}
            await cluster.until_alike()

    run(test())
