"""A flood of the least important class, in processes of their own: the critical class goes on.

The same as `python -m tests.benchmarks.flood`, for a few seconds and judged by a ratio, since a
machine that is busy with other things is slower for both.
"""

from __future__ import annotations

import asyncio
import re

import aiohttp

from tests.benchmarks.classes import a_classed_node
from tests.benchmarks.flood import Tally, critical, flooding, tally_of
from tests.node.access.holders import bearer
from tests.running import run

BEGUN = 5_000  # writes; those of the critical class are some hundred
RATE, SECONDS = 100.0, 1.0
FLOOD_RATE, FLOOD_S = 300_000.0, 3.0  # requests a second: several times what a node does


def test_the_critical_class_keeps_its_goodput_while_a_lesser_one_floods() -> None:
    async def scenario() -> tuple[Tally, Tally, Tally, Tally]:
        async with a_classed_node() as (port, tokens, _):
            quiet = await critical(port, tokens["critical"], RATE, SECONDS)
            with flooding(port, tokens["bulk"], FLOOD_RATE, FLOOD_S) as process:
                telling = asyncio.create_task(asyncio.to_thread(tally_of, process))
                await _until_flooded(port, tokens["default"])
                flooded, alike = await asyncio.gather(
                    critical(port, tokens["critical"], RATE, SECONDS),
                    critical(port, tokens["bulk"], RATE, SECONDS),
                )
                return quiet, flooded, alike, await telling

    quiet, flooded, alike, lesser = run(scenario())
    assert flooded.offered == quiet.offered > 0
    assert flooded.done >= 0.95 * quiet.done
    assert flooded.refused == 0
    # Whoever asks as modestly, and is of the class that floods, waits with it.
    assert alike.done < 0.95 * alike.offered or alike.p(0.9) > 2 * flooded.p(0.9)
    assert 0 < lesser.done < lesser.offered / 2, "it was no flood"


async def _until_flooded(port: int, token: str) -> None:
    """Wait until the node has met the flood."""
    async with aiohttp.ClientSession(headers=bearer(token)) as http:
        while True:
            async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
                found = re.search(r'operations_total{op="set"} (\S+)', await answer.text())
            if found is not None and float(found[1]) > BEGUN:
                return
            await asyncio.sleep(0.05)
