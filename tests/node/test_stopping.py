"""Who comes in while a node stops."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.running import PATIENCE_S, a_node, run


@pytest.mark.parametrize("turns", range(8))  # of the loop: waiting, accepted, let in, or inside
def test_a_stopped_node_holds_nobody_whenever_he_came(turns: int) -> None:
    """Somebody who was accepted but not yet let in when it began to stop is no exception."""

    async def scenario() -> None:
        async with a_node() as node:
            with socket.create_connection(("127.0.0.1", node.port), PATIENCE_S) as client:
                client.setblocking(False)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await node.stop()
                async with asyncio.timeout(node.limits.hello_s / 2):
                    with contextlib.suppress(ConnectionError):
                        assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
            assert not node.doors

    run(scenario())
