"""Subscribers of every kind, while nodes are killed, stopped and paused: each is told of every
change, in order, once.

    python -m tests.integration.subscribers --seconds 120 --subscribers 200

In the end each subscriber's whole stream is held against the log that one of the nodes has on its
disk. The seed draws what happens, not how the machine runs. Where it fails the folder with logs and
data of all nodes is kept, and said.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from tests.integration.following import (
    JSON,
    MSGPACK,
    TROUBLES,
    Follower,
    Kind,
    Line,
    events_of_log,
    line_to,
)
from tests.integration.processes import Processes, processes
from tests.running import end, until
from tests.simulation.following import check_stream, concerns
from tests.simulation.histories import Violation
from tlru.engine.events import Event
from tlru.engine.patterns import Pattern

IDS = ("n1", "n2", "n3")
KEEPER = "n1"  # it takes no snapshots: its log is whole
RETAINED_BYTES = {"n1": 2_000_000, "n2": 400_000, "n3": 150_000}  # of a second, or of many
PATTERNS = ("*", "a:*", "b:1*", "a:7", "b:3", "#*", "#news", "#n*", "none:*")
WRITERS = 4
PACE_S = 0.03
LARGE_CHARS = 4_000

KEYS = [f"{space}:{number}" for space in "ab" for number in range(40)]


# -- those who write


def a_write(chance: random.Random, number: int) -> dict[str, Any]:
    """Something that leads to an event, mostly. Values are strings."""
    key = chance.choice(KEYS)
    value = f"{number}" + "x" * (LARGE_CHARS if chance.random() < 0.2 else 0)
    match chance.choices(range(8), (10, 4, 3, 3, 3, 3, 2, 0.2))[0]:
        case 0:
            return {"op": "set", "key": key, "value": value}
        case 1:
            return {"op": "set", "key": key, "value": value, "ttl": chance.choice([0.2, 3])}
        case 2:
            return {"op": "touch", "key": key, **({"ttl": 2} if chance.random() < 0.5 else {})}
        case 3:
            return {"op": "delete", "keys": chance.sample(KEYS, 3)}
        case 4:
            rows = [{"key": each, "value": value} for each in chance.sample(KEYS, 3)]
            return {"op": "set_many", "items": rows}
        case 5:
            return {
                "op": "publish",
                "channel": chance.choice(["news", "note", "x"]),
                "value": value,
            }
        case 6:
            return {"op": "incr", "key": f"a:n{chance.randint(0, 3)}"}
        case _:
            return {"op": "clear", "prefix": chance.choice(["b:1", "a:", "b:3"])}


def encoded(write: dict[str, Any], codec: str) -> dict[str, Any]:
    """A write, with its values as they stand in a message."""
    if codec == JSON:
        return write
    if "items" in write:
        return {**write, "items": [encoded(row, codec) for row in write["items"]]}
    return {**write, "value": msgpack.packb(write["value"])} if "value" in write else write


async def keep_writing(
    urls: Sequence[str], codec: str, chance: random.Random, counts: Counter[str]
) -> None:
    """A few writes at a time, wherever somebody takes them. What becomes of one that was not
    answered the log says."""
    while True:
        try:
            async with line_to(chance.choice(urls), codec) as socket:
                line = Line(socket, codec)
                while True:
                    some = [a_write(chance, n) for n in range(chance.randint(1, 6))]
                    for answer in await line.ask(*(encoded(each, codec) for each in some)):
                        if answer["ok"]:
                            counts["writes done"] += 1
                        else:
                            code = answer["error"]["code"]
                            counts[f"writes refused: {code}"] += 1
                            assert code not in ("bad_request", "internal"), answer
                    await asyncio.sleep(PACE_S)
        except TROUBLES:
            await asyncio.sleep(0.1)


# -- what happens to the nodes

Fault = Callable[[Processes, random.Random], Awaitable[None]]


async def kill(cluster: Processes, chance: random.Random) -> None:
    """One is killed at once, and comes back."""
    node = chance.choice(list(cluster.nodes.values()))
    await node.end(signal.SIGKILL)
    await asyncio.sleep(chance.uniform(0, 2))
    await node.start()


async def kill_the_leader(cluster: Processes, chance: random.Random) -> None:
    """So that another leads meanwhile."""
    node = await cluster.leader()
    await node.end(signal.SIGKILL)
    await asyncio.sleep(chance.uniform(0, 2))
    await node.start()


async def restart(cluster: Processes, chance: random.Random) -> None:
    """One stops in order, and comes back."""
    node = chance.choice(list(cluster.nodes.values()))
    await node.end(signal.SIGTERM)
    await node.start()


async def pause(cluster: Processes, chance: random.Random) -> None:
    """One stands still, for as long as subscribers wait, or not."""
    node = chance.choice(list(cluster.nodes.values()))
    node.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(chance.uniform(0.5, 5))
    finally:
        node.send(signal.SIGCONT)


FAULTS: tuple[Fault, ...] = (kill, kill_the_leader, restart, pause)


# -- a run


@dataclass
class Report:
    """How it went."""

    followers: list[Follower]
    counts: Counter[str]
    made: list[Event] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def judge(self, made: Sequence[Event]) -> None:
        """Hold each stream against what the log made."""
        self.made = list(made)
        of: dict[str, list[Event]] = {}
        for follower in self.followers:
            pattern = follower.kind.pattern
            if pattern not in of:
                parsed = Pattern.parse(pattern)
                of[pattern] = [event for event in made if concerns(parsed, event)]
            snapshot = follower.kind.snapshot
            # What was over later has made events that nobody was there to be told of.
            mine = [event for event in of[pattern] if event.version <= follower.pos]
            found = check_stream(follower.name, follower.told, mine, snapshot=snapshot, whole=True)
            if found is not None:
                self.violations.append(found)

    def lines(self) -> list[str]:
        """For people."""
        kinds = Counter(event.type.value for event in self.made)
        head = f"{len(self.followers)} subscribers, {len(self.made)} events in the log: "
        rows = [head + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))]
        return rows + [f"  {name:44} {count:>10,}" for name, count in sorted(self.counts.items())]


def kinds(count: int, chance: random.Random) -> list[Kind]:
    """So many, of every kind."""
    found = []
    for number in range(count):
        pattern = "*" if number % 3 == 0 else PATTERNS[number % len(PATTERNS)]
        codec = (JSON, MSGPACK)[number % 2]
        slow = chance.random() < (0.6 if pattern == "*" else 0.2)  # where much is to be read
        flags = (chance.random() < 0.5, chance.random() < 0.5, slow)
        found.append(Kind(pattern, codec, *flags))
    return found


async def play(
    folder: Path,
    seconds: float,
    count: int,
    chance: random.Random,
    faults: Sequence[Fault] = FAULTS,
) -> Report:
    """A cluster of its own, with subscribers and writers: each of these faults, and then more of
    them until the time is over."""
    env = {id: {"TLRU_RETAINED_BYTES": str(RETAINED_BYTES[id])} for id in IDS}
    for id in IDS:
        env[id]["TLRU_SNAPSHOT_INTERVAL"] = "1h" if id == KEEPER else "2s"
    flags = ["--mark-s", "0.5s", "--settle", "1s", "--fsync", "interval"]
    async with processes(folder, *IDS, keeps=True, flags=flags, env=env) as cluster:
        await cluster.until_grown()
        counts: Counter[str] = Counter()
        followers = [
            Follower(f"{n}, {kind}", kind, cluster.urls, counts, random.Random(chance.random()))
            for n, kind in enumerate(kinds(count, chance))
        ]
        report = Report(followers, counts)
        writers = [
            asyncio.create_task(
                keep_writing(
                    cluster.urls, (JSON, MSGPACK)[n % 2], random.Random(chance.random()), counts
                )
            )
            for n in range(WRITERS)
        ]
        reading = [asyncio.create_task(follower.follow()) for follower in followers]
        try:
            await _harm(cluster, seconds, chance, counts, faults)
            _nobody_failed(writers)
            await end(writers)
            await _until_all_was_told(cluster, followers)
            _nobody_failed(reading)
        finally:
            await end([*writers, *reading])
        assert len({epoch for follower in followers for epoch in follower.epochs}) == 1
        await cluster.nodes[KEEPER].end(signal.SIGTERM)
        report.judge(list(events_of_log(folder / KEEPER)))
        return report


async def _harm(
    cluster: Processes,
    seconds: float,
    chance: random.Random,
    counts: Counter[str],
    faults: Sequence[Fault],
) -> None:
    ends = time.monotonic() + seconds
    first = list(faults)
    while first or time.monotonic() < ends:
        fault = first.pop() if first else chance.choice(faults)
        await asyncio.sleep(chance.uniform(0.5, 2))
        counts[f"fault: {fault.__name__}"] += 1
        await fault(cluster, chance)
        for node in cluster.nodes.values():
            await cluster.until_active(node)


def _nobody_failed(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def _until_all_was_told(cluster: Processes, followers: Sequence[Follower]) -> None:
    for follower in followers:
        follower.hurry = True
    said = await cluster.until_alike()
    last = max(each["pos"] for each in said.values())
    await until(
        lambda: all(follower.whole and follower.pos >= last for follower in followers),
        within_s=60,
    )


def main() -> int:
    """Read the command line, play, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.subscribers")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    told = parser.parse_args()
    print(f"seed {told.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tlru-subscribers-"))
    try:
        chance = random.Random(told.seed)
        report = asyncio.run(play(folder, told.seconds, told.subscribers, chance))
        print("\n".join(report.lines()))
        assert report.violations == [], "\n".join(map(str, report.violations[:5]))
    except BaseException:
        print(f"the logs and data are in {folder}")
        raise
    shutil.rmtree(folder)
    print("every subscriber was told of every change, in order, once")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
