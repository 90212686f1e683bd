"""Minutes of one fault after another under load, judged after each round.

    python -m tests.integration.soak --minutes 10 --seed 7

The seed draws which faults, not how the machine runs: a round does not happen twice. Where a round
fails, the folder with the logs of all nodes is kept, and said.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.integration.processes import Processes, processes
from tests.integration.recorder import Recorder, recording

IDS = ("n1", "n2", "n3", "n4", "n5")
PATIENCE_S = 5.0
STEPS = 4  # faults in a round

Fault = Callable[[Processes, Recorder, random.Random], Awaitable[None]]


async def kill_some(cluster: Processes, recorder: Recorder, chance: random.Random) -> None:
    """A minority is killed at once, and comes back."""
    down = chance.sample(list(cluster.nodes.values()), 2)
    await asyncio.gather(*(node.end(signal.SIGKILL) for node in down))
    await recorder.more(10)
    await asyncio.gather(*(node.start() for node in down))


async def kill_the_leader(cluster: Processes, recorder: Recorder, _: random.Random) -> None:
    """It comes back when another leads."""
    leader = await cluster.leader()
    await leader.end(signal.SIGKILL)
    await recorder.more(10)
    await leader.start()


async def stop_one(cluster: Processes, _: Recorder, chance: random.Random) -> None:
    """In order."""
    node = chance.choice(list(cluster.nodes.values()))
    await node.end(signal.SIGTERM)
    await node.start()


async def stand_still(cluster: Processes, recorder: Recorder, chance: random.Random) -> None:
    """Two do, for as long as clients need to get on without them."""
    still = chance.sample(list(cluster.nodes.values()), 2)
    for node in still:
        node.send(signal.SIGSTOP)
    try:
        await recorder.more(10)
    finally:
        for node in still:
            node.send(signal.SIGCONT)


async def cut(cluster: Processes, recorder: Recorder, chance: random.Random) -> None:
    """A minority is parted from the others, or hears nobody, or is not heard."""
    web = cluster.web
    assert web is not None
    few = chance.sample(IDS, 2)
    rest = [id for id in IDS if id not in few]
    ways = chance.choice([[(few, rest), (rest, few)], [(few, rest)], [(rest, few)]])
    for sources, targets in ways:
        web.cut(sources, targets)
    await recorder.more(10)
    web.heal()


FAULTS: tuple[Fault, ...] = (kill_some, kill_the_leader, stop_one, stand_still, cut)


async def play(folder: Path, chance: random.Random) -> str:
    """One round, on a cluster of its own; how it went."""
    keeps = chance.random() < 0.7
    async with processes(folder, *IDS, keeps=keeps, linked=True) as cluster:
        await cluster.until_grown()
        async with recording(*cluster.urls, clients=8, patience_s=PATIENCE_S) as recorder:
            for fault in chance.choices(FAULTS, k=STEPS):
                print(fault.__name__, end=" ", flush=True)  # said also where the round fails
                await fault(cluster, recorder, chance)
                for node in cluster.nodes.values():
                    await cluster.until_active(node)
                    # One that lost its memory comes as an observer: until it votes, a further
                    # fault would take away more than a minority.
                    await cluster.until_said(node, lambda said: said["role"] == "voter")
        await cluster.until_alike()
        return f"({'kept' if keeps else 'in memory'}): {recorder.told()}"


def main() -> None:
    """Read the command line, and play until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.soak")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    told = parser.parse_args()
    chance = random.Random(told.seed)
    ends = time.monotonic() + told.minutes * 60
    print(f"seed {told.seed}")
    while time.monotonic() < ends:
        folder = Path(tempfile.mkdtemp(prefix="tlru-soak-"))
        try:
            print(asyncio.run(play(folder, chance)), flush=True)
        except BaseException:
            print(f"the logs are in {folder}")
            raise
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
