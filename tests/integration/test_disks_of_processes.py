"""Disks that are full or damaged, under nodes that clients use."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.processes import processes
from tests.integration.recorder import recording
from tests.integration.small_disks import empty, fill, small_disk
from tests.running import run, talking, until

IDS = ("n1", "n2", "n3")


@pytest.mark.parametrize("full", ["n3", "n1"], ids=["a follower's", "the leader's"])
def test_a_full_disk_costs_nobody_anything(tmp_path: Path, full: str) -> None:
    """Its node refuses writes and says why, its clients go elsewhere, and it goes on by itself."""

    async def test() -> None:
        with ExitStack() as disks:
            kept = {id: disks.enter_context(small_disk(tmp_path / "disks" / id)) for id in IDS}
            async with processes(tmp_path, *IDS, keeps=kept) as cluster:
                node, disk = cluster.nodes[full], kept[full]
                async with recording(*cluster.urls) as recorder:
                    fill(disk)
                    await until(lambda: "No space left on device" in node.said())
                    async with talking(node) as talker:
                        reply = await talker.ask("set", key="at the full one", value=1)
                    assert reply["error"]["code"] == "overloaded", reply
                    assert "No space left on device" in reply["error"]["message"]
                    await recorder.more(30)
                    empty(disk)
                    await cluster.until_active(node)
                print(f"full disk: {recorder.told()}")
                await cluster.until_alike()
                async with recording(node.url, clients=2):
                    pass
                await cluster.until_alike()

    run(test())


def test_a_damaged_segment_is_said_and_what_it_held_comes_from_the_others(tmp_path: Path) -> None:
    async def test() -> None:
        async with processes(tmp_path, *IDS, keeps=True) as cluster:
            async with recording(*cluster.urls) as recorder:
                n3 = cluster.nodes["n3"]
                await n3.end(signal.SIGKILL)
                segments = sorted((tmp_path / "n3").glob("**/*.log"))
                segment = max(segments, key=lambda file: file.stat().st_size)
                data = bytearray(segment.read_bytes())
                for at in range(len(data) // 2, len(data) // 2 + 8):
                    data[at] ^= 0x55
                segment.write_bytes(data)
                await recorder.more(20)
                await n3.start()
                assert segment.name in n3.said(), "it says which file is damaged"
                await cluster.until_active(n3)
            print(f"damaged segment: {recorder.told()}")
            assert set(await cluster.until_alike()) == set(IDS)

    run(test())
