"""A node with the name of a member that lives is turned away, and does that member no harm."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.node.clusters import QUICK, Nodes
from tests.ports import free_ports
from tests.running import run, until


@pytest.mark.parametrize("name", ["0", "n" * 64])
def test_a_node_with_the_name_of_a_member_is_turned_away(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever of two nodes decides about their links, and however long the name is."""

    async def test() -> None:
        made = Nodes()
        made.meshes = [f"127.0.0.1:{port}" for port in free_ports(4)]
        other = Nodes(meshes=made.meshes)
        try:
            for id, mesh in zip(("a", "b", name), made.meshes, strict=False):
                await made.start(made.config(id, mesh, priority=200 if id == "a" else 100))
            await made.until_active()
            second = await other.start(other.config(name, made.meshes[3], join=made.meshes[:2]))
            await until(lambda: f"another node called {name} is linked" in caplog.text)
            until_s = time.monotonic() + 3 * QUICK["election_timeout"]
            while time.monotonic() < until_s:
                assert second.status != "active"
                assert made[name].status != "removed"
                await asyncio.sleep(0.05)
            await made.until_active()
            await made.stop(name)
            await until(lambda: second.status == "active")  # as one that has lost its state
        finally:
            for nodes in (other, made):
                for id in list(nodes.running):
                    await nodes.stop(id)

    run(test())
