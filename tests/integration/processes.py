"""Nodes as processes of their own, on loopback, that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE_S = 60
LOOK_S = 0.05
TOKEN = "a token for the tests of whole clusters"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Process:
    """One node."""

    id: str
    port: int
    flags: list[str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    module: str = "tlru"

    @property
    def url(self) -> str:
        """Where its clients come."""
        return f"ws://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    self.module,
                    "serve",
                    "--json",
                    "--id",
                    self.id,
                    *self.flags,
                ),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TLRU_TOKEN": TOKEN},
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self.process.stdout.readline()
        assert json.loads(line)["ready"], self.log.read_text()

    async def end(self, how: signal.Signals) -> None:
        """Have it end, and wait until it has."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
            async with asyncio.timeout(PATIENCE_S):
                await process.wait()

    async def status(self) -> dict[str, Any]:
        """What it says of itself."""
        url = f"http://127.0.0.1:{self.port}/v1/status"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            said: dict[str, Any] = await response.json()
            return said


@dataclass
class Processes:
    """A cluster of them."""

    folder: Path
    nodes: dict[str, Process] = field(default_factory=dict)

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """What each of those that run says of itself."""
        running = [node for node in self.nodes.values() if node.process is not None]
        return {node.id: await node.status() for node in running}

    async def until_alike(self) -> dict[str, dict[str, Any]]:
        """Wait until all that run serve, follow one leader, and have come as far, and as one."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                said = await self.statuses()
                kinds = {
                    (s["status"], s["leader"], s["pos"], s["keys"], s["digest"]["value"])
                    for s in said.values()
                }
                if len(kinds) == 1 and next(iter(kinds))[0] == "active":
                    return said
                await asyncio.sleep(LOOK_S)

    async def until_active(self, node: Process) -> None:
        """Wait until one serves."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if (await node.status())["status"] == "active":
                    return
                await asyncio.sleep(LOOK_S)

    async def leader(self) -> Process:
        """Who leads."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for id, said in (await self.statuses()).items():
                    if said["leads"]:
                        return self.nodes[id]
                await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def processes(
    folder: Path, *ids: str, keeps: bool = False, module: str = "tlru"
) -> AsyncIterator[Processes]:
    """Nodes that have founded a cluster; whatever happens, none of them is left."""
    ports = free_ports(2 * len(ids))
    meshes = [f"127.0.0.1:{port}" for port in ports[len(ids) :]]
    made = Processes(folder)
    for number, id in enumerate(ids):
        flags = ["--priority", str(100 - 10 * number), "--listen", f"127.0.0.1:{ports[number]}"]
        flags += ["--mesh", meshes[number], "--join", ",".join(meshes), "--expect", str(len(ids))]
        if keeps:
            flags += ["--data-dir", str(folder / id)]
        made.nodes[id] = Process(id, ports[number], flags, folder / f"{id}.log", module=module)
    try:
        await asyncio.gather(*(node.start() for node in made.nodes.values()))
        await made.until_alike()
        yield made
    finally:
        await asyncio.gather(*(node.end(signal.SIGKILL) for node in made.nodes.values()))
