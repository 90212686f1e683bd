"""Nodes as processes of their own, on loopback, that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.web import Web
from tests.ports import free_ports

PATIENCE_S = 30
LOOK_S = 0.05
GROWN_S = 1.2
LOG_CHARS = 3_000  # of a log, shown where a test fails
TOKEN = "a token for the tests of whole clusters"


@dataclass
class Process:
    """One node."""

    id: str
    port: int
    mesh: str  # where it really listens for the others
    flags: list[str]
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    module: str = "tlru"
    process: asyncio.subprocess.Process | None = None
    file: Path | None = None  # of its configuration, where it has one
    options: dict[str, str | int] = field(default_factory=dict)  # what stands in it

    @property
    def url(self) -> str:
        """Where its clients come."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self.process is not None, f"{self.id} runs"
        return self.process.pid

    def said(self) -> str:
        """Its log."""
        return self.log.read_text()

    def write(self, **options: str | int) -> None:
        """Have its file say this, too. Whole or not at all, as an editor would."""
        assert self.file is not None, f"{self.id} has a file"
        self.options |= options
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in self.options.items()]
        anew = self.file.with_suffix(".anew")
        anew.write_text("".join(lines))
        anew.replace(self.file)

    def send(self, what: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None, f"{self.id} runs"
        self.process.send_signal(what)

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module, "serve", "--json", "--id", self.id),
                *self.flags,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # A node that keeps nothing has a folder of its own for its promises, which one that
                # is killed leaves behind: here, where it goes with the test's.
                env={**os.environ, "TMPDIR": str(self.log.parent), "TLRU_TOKEN": TOKEN, **self.env},
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self.process.stdout.readline()
        assert line, f"{self.id} ended before it listened: {self.said()[-2000:]}"
        assert json.loads(line)["ready"], self.said()

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
        return await self.asked("status")

    async def asked(self, what: str) -> dict[str, Any]:
        """What it answers over HTTP."""
        url = f"http://127.0.0.1:{self.port}/v1/{what}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            said: dict[str, Any] = await response.json()
            return said


@dataclass
class Processes:
    """A cluster of them."""

    folder: Path
    nodes: dict[str, Process] = field(default_factory=dict)
    web: Web | None = None  # where every link goes through the test's hands

    async def add(
        self,
        id: str,
        *flags: str,
        priority: int = 0,
        keeps: bool | Path = False,
        env: Mapping[str, str] | None = None,
        module: str = "tlru",
        by_file: bool = False,
    ) -> str:
        """One more, not started yet; its mesh address, as the others are to know it."""
        port, mesh_port = free_ports(2)
        mesh = f"127.0.0.1:{mesh_port}"
        file = self.folder / f"{id}.toml" if by_file else None
        options: dict[str, str | int] = {"listen": f"127.0.0.1:{port}", "priority": priority}
        own = ["--mesh", mesh]
        for name, value in options.items():
            own += [] if by_file else [f"--{name}", str(value)]
        told = mesh
        if self.web is not None:
            told = await self.web.add(id, mesh)
            own += ["--advertise-mesh", told]
        if keeps:
            own += ["--data-dir", str(self.folder / id if keeps is True else keeps)]
        log = self.folder / f"{id}.log"
        node = Process(id, port, mesh, [*own, *flags], log, dict(env or {}), module, file=file)
        if file is not None:
            node.write(**options)
            node.flags += ["--config", str(file)]
        self.nodes[id] = node
        return told

    @property
    def urls(self) -> list[str]:
        """Where clients come, of all of them."""
        return [node.url for node in self.nodes.values()]

    def others(self, *ids: str) -> list[Process]:
        """All but these."""
        return [node for id, node in self.nodes.items() if id not in ids]

    def pids(self) -> dict[str, int]:
        """Of those that run."""
        return {id: node.pid for id, node in self.nodes.items() if node.process is not None}

    async def end(self) -> None:
        """Nothing is left of it."""
        await asyncio.gather(*(node.end(signal.SIGKILL) for node in self.nodes.values()))
        if self.web is not None:
            await self.web.close()

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """What each of those that run says of itself."""
        running = [node for node in self.nodes.values() if node.process is not None]
        return {node.id: await node.status() for node in running}

    async def until_alike(self) -> dict[str, dict[str, Any]]:
        """Wait until all that run serve, follow one leader, and have come as far, and as one."""
        said: dict[str, dict[str, Any]] = {}
        try:
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
        except TimeoutError:
            logs = [node.said()[-LOG_CHARS:] for node in self.nodes.values()]
            raise AssertionError("\n\n".join([f"not alike: {said}", *logs])) from None

    async def until_active(self, node: Process) -> None:
        """Wait until one serves."""
        await self.until_said(node, lambda said: said["status"] == "active")

    async def until_grown(self) -> None:
        """Wait until all may vote: who has just started may not, for one election timeout. Else the
        first lead that is handed over in a cluster that has just begun has nobody to take it."""
        for node in self.nodes.values():
            await self.until_said(node, lambda said: said["uptime_s"] > GROWN_S)

    async def until_led_by(self, node: Process) -> None:
        """Wait until it leads."""
        await self.until_said(node, lambda said: said["leads"])

    async def until_said(self, node: Process, holds: Callable[[dict[str, Any]], object]) -> None:
        """Wait until what a node says of itself is so."""
        said: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    if holds(said := await node.status()):
                        return
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"{said}\n{node.said()}") from None

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
    folder: Path,
    *ids: str,
    keeps: bool | Mapping[str, Path] = False,
    linked: bool = False,
    flags: Sequence[str] = (),
    env: Mapping[str, Mapping[str, str]] | None = None,
    module: str = "tlru",
    by_file: bool = False,
) -> AsyncIterator[Processes]:
    """Nodes that have founded a cluster; whatever happens, none of them is left.

    The first has the highest priority. `keeps`: they have data directories, as told or of their
    own. `linked`: every link goes through `web`. `env` holds more variables for some of them.
    `by_file`: each reads a file of its own for what can change while it runs.
    """
    made = Processes(folder)
    if linked:
        made.web = Web(made.pids)
    try:
        meshes = []
        for number, id in enumerate(ids):
            meshes.append(
                await made.add(
                    id,
                    *flags,
                    priority=100 - 10 * number,
                    keeps=keeps if isinstance(keeps, bool) else keeps[id],
                    env=(env or {}).get(id),
                    module=module,
                    by_file=by_file,
                )
            )
        for node in made.nodes.values():
            node.flags += ["--join", ",".join(meshes), "--expect", str(len(ids))]
        await asyncio.gather(*(node.start() for node in made.nodes.values()))
        await made.until_alike()
        yield made
    finally:
        await made.end()
