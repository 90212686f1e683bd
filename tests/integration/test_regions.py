"""Three regions, 5, 80 and 200 ms apart there and back, with clients near each node."""

from __future__ import annotations

import signal
import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.integration.processes import processes
from tests.integration.recorder import Recorder, recording
from tests.running import run

IDS = ("n1", "n2", "n3")
ROUND_TRIPS_MS = {("n1", "n2"): 5, ("n1", "n3"): 80, ("n2", "n3"): 200}
# How long a write takes from each region, in round trips: to the leader and back, and from there to
# the nearest other voter and back.
WRITES_MS = {"n1": 5, "n2": 5 + 5, "n3": 80 + 5}
MACHINE_MS = 60  # a busy machine adds less to a median; the way to another voter, more
READS_RATIO_MAX = 4  # a local read beside all this, to one of a node alone


async def lone_read_s(folder: Path) -> float:
    """How long a local read takes of a node that has the cluster for itself, asked likewise."""
    async with processes(folder, "lone") as cluster:
        async with recording(*cluster.urls, clients=3, warm=30) as recorder:
            pass
        return median(recorder, range(3))


def median(recorder: Recorder, clients: Sequence[int]) -> float:
    """Of the local reads of some clients."""
    return statistics.median(s for n in clients for s in recorder.clients[n].local_s)


def test_reads_stay_local_and_writes_take_the_way_to_a_majority(tmp_path: Path) -> None:
    """And when the leader's region is gone, the others go on, as far apart as they are."""

    async def test() -> None:
        lone_s = await lone_read_s(tmp_path)
        async with processes(tmp_path, *IDS, linked=True) as cluster:
            web, n1 = cluster.web, cluster.nodes["n1"]
            assert web is not None
            for (a, b), round_trip_ms in ROUND_TRIPS_MS.items():
                web.stretch(a, b, round_trip_ms / 2000)
            async with recording(*cluster.urls, clients=3, warm=8) as recorder:
                for client in recorder.clients:
                    client.local_s.clear()
                    client.write_s.clear()
                await recorder.more(25)
                assert (await cluster.leader()).id == "n1"
                for number, id in enumerate(IDS):
                    read_s = median(recorder, [number])
                    write_ms = statistics.median(recorder.clients[number].write_s) * 1000
                    print(f"near {id}: local read {read_s * 1000:.2f} ms, write {write_ms:.1f} ms")
                    assert read_s < READS_RATIO_MAX * lone_s, "a local read goes nowhere"
                    assert WRITES_MS[id] <= write_ms < WRITES_MS[id] + MACHINE_MS
                await n1.end(signal.SIGKILL)
                await recorder.more(10)
                assert (await cluster.leader()).id != "n1"
            print(f"alone, a local read takes {lone_s * 1000:.2f} ms; regions: {recorder.told()}")
            web.heal()
            await n1.start()
            await cluster.until_alike()

    run(test())
