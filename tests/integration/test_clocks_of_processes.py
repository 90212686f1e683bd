"""A wall clock that leaps by an hour, there and back, under the node that leads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp

import tlru
from tests.integration.processes import Process, Processes, processes
from tests.integration.recorder import Recorder, recording
from tests.running import run

IDS = ("n1", "n2", "n3")
LIFE_S = 1.5
SLACK_S = 0.25  # of the clocks of several nodes, and of a busy machine
HOUR_S = 3600
TURNS_MAX = 3  # of the leaps: a lead that moved for once may be the machine's fault
PATIENCE_S = 20.0


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


class Life:
    """Of one item, looked at by readers at every node."""

    def __init__(self, caches: Sequence[tlru.Cache[int]], key: str) -> None:
        self._caches, self._key = caches, key
        self._began = self._ends = 0.0

    async def begin(self) -> None:
        """It is there."""
        self._began = time.monotonic()
        await self._caches[0].set(self._key, 1, ttl=LIFE_S)
        self._ends = time.monotonic() + LIFE_S
        for cache in self._caches:
            await self._is_there(cache)

    async def end(self) -> None:
        """It goes in its time at every node, and stays gone."""
        looks = [await self._is_there(cache) for cache in self._caches]
        while any(looks) or time.monotonic() < self._ends + SLACK_S:
            await asyncio.sleep(0.02)
            before, looks = looks, [await self._is_there(cache) for cache in self._caches]
            back = [now and not then for then, now in zip(before, looks, strict=True)]
            assert not any(back), "what was gone is back"

    async def _is_there(self, cache: tlru.Cache[int]) -> bool:
        asked = time.monotonic()
        item = await cache.item(self._key, read="linear")
        answered = time.monotonic()
        if item is None:
            early = self._began + LIFE_S - SLACK_S - answered
            assert early < 0, f"over {early} s early"
            return False
        assert asked < self._ends + SLACK_S, f"there {asked - self._ends} s too long"
        assert item.ttl is not None
        assert item.ttl <= LIFE_S
        return True


class Leaps:
    """Of the wall clock of one node."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "leap"
        self.leap(0)
        self.env = {
            "LD_PRELOAD": str(libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nor the time since boot: no kernel sets those
            # Else whoever waits for Python's lock does so by a clock that the library takes for
            # another: it wakes at once, and two threads that compute take turns a hundred thousand
            # times a second, reading the file each time. On a busy machine the node stood still.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def leap(self, by: int) -> None:
        """So many seconds from the true time, from now on."""
        anew = self._file.with_suffix(".anew")
        anew.write_text(f"{by:+d}")
        os.replace(anew, self._file)  # the node reads it all the time, and never half of it


async def leap_under(
    cluster: Processes, node: Process, leaps: Leaps, by: int, recorder: Recorder, life: Life
) -> bool:
    """The clock of a leader leaps while an item lives; whether it led on."""
    await cluster.until_led_by(node)
    before = (await node.status())["term"]
    await life.begin()
    leaps.leap(by)
    await recorder.more(10)
    assert abs(await wall_of(node) - time.time() - by) < 5, "it has leapt"
    await life.end()
    said = await node.status()
    return (said["leader"], said["term"]) == (node.id, before)


def test_a_clock_that_leaps_ends_no_life_early_or_late_and_fails_no_request(tmp_path: Path) -> None:
    async def test() -> None:
        leaps = Leaps(tmp_path)
        async with processes(tmp_path, *IDS, keeps=True, env={"n1": leaps.env}) as cluster:
            n1 = cluster.nodes["n1"]
            caches: list[tlru.Cache[int]] = [
                tlru.connect(url, timeout=PATIENCE_S) for url in cluster.urls
            ]
            unseated = {HOUR_S, -HOUR_S, 0}
            async with recording(*cluster.urls) as recorder:
                for turn in range(TURNS_MAX):
                    for by in (HOUR_S, -HOUR_S, 0):
                        life = Life(caches, f"life {turn} {by}")
                        if await leap_under(cluster, n1, leaps, by, recorder, life):
                            unseated.discard(by)
                    if not unseated:
                        break
            for cache in caches:
                await cache.close()
            print(f"clock: {recorder.told()}")
            assert recorder.errors == []
            assert not unseated, "a leader whose clock leaps leads on"
            await cluster.until_alike()

    run(test())
