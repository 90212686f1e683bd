"""What becomes of writes that are in flight while the node loses touch with the others."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.node.clusters import QUICK, Nodes, three
from tests.running import Talker, run, talking, until

TIMEOUT_S = 20  # of each write: much longer than anybody is to wait here


async def silence(nodes: Nodes, *ids: str) -> None:
    """These are heard by nobody any more, and hear nobody."""
    await asyncio.gather(*(nodes.log(id).mesh.stop() for id in ids))


async def write(talker: Talker, op: str, **fields: Any) -> Any:
    """The reply to a write, whatever is pushed meanwhile of who serves."""
    await talker.send({"id": 7, "op": op, "timeout": TIMEOUT_S, **fields})
    while "id" not in (said := await talker.receive()):
        assert said["push"] == "servers", said
    return said


def test_a_leader_without_a_majority_says_soon_that_the_outcome_is_not_known() -> None:
    """After about one election timeout, not when the time of the write is over: whoever waits can
    look elsewhere what became of it. What comes later is refused, by name."""

    async def test() -> None:
        async with three(hand_back=False) as nodes:
            leader = nodes.leader()
            assert leader is not None
            here = nodes[leader]
            async with talking(here) as talker, talking(here) as other:
                assert (await write(talker, "set", key="k", value=1))["ok"]
                await silence(nodes, *(id for id in nodes.running if id != leader))
                assert here.status == "active", "it does not know yet"
                began = time.monotonic()
                plain, named = await asyncio.gather(
                    write(talker, "set", key="k", value=2),
                    write(other, "incr", key="n"),
                )
                took_s = time.monotonic() - began
                for told in (plain, named):
                    assert (told["error"]["code"], told["error"]["retry"]) == ("timeout", "unknown")
                assert took_s < 5 * QUICK["election_timeout"]
                await until(lambda: here.status == "isolated")
                late = await write(talker, "set", key="k", value=3)
                assert late["error"]["code"] == "isolated"

    run(test())
