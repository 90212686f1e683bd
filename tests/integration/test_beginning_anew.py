"""Real nodes of a cluster that begin anew in their processes, while clients write and read."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from tests.integration.processes import PATIENCE_S, Process, processes
from tests.integration.recorder import recording
from tests.running import run


async def said(node: Process) -> Any:  # Any: JSON of the node
    """The next line on its stdout."""
    assert node.process is not None
    assert node.process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await node.process.stdout.readline())


def test_a_cluster_that_begins_anew_fails_nobodys_request(tmp_path: Path) -> None:
    """One node after another, the leader too; each in the process that it had."""

    async def test() -> None:
        module = "tests.cli.beginning_anew"
        async with processes(tmp_path, "n1", "n2", "n3", keeps=True, module=module) as cluster:
            before = {id: told["pid"] for id, told in (await cluster.statuses()).items()}
            async with recording(*cluster.urls) as recorder:
                for node in cluster.nodes.values():
                    assert node.process is not None
                    node.process.send_signal(signal.SIGUSR1)
                    answer, _ = await said(node)
                    assert answer["restarting"]
                    assert (await said(node))["ready"]
                    await cluster.until_active(node)
            assert recorder.errors == []
            after = await cluster.until_alike()
            assert {id: told["pid"] for id, told in after.items()} == before

    run(test())
