"""Clusters of nodes in one process, each with a port of its own, for tests of the node's layer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.node.http.visiting import Heard, visit
from tests.ports import free_ports
from tests.running import until
from tlru.config import Config
from tlru.node import Node

QUICK: dict[str, Any] = {
    "heartbeat": 0.05,
    "election_timeout": 0.6,
    "settle": 0.5,
    "grace": 1.0,
    "expect": 3,
}
PATIENCE_S = 30


@dataclass
class Nodes:
    """The nodes that a test has started, by their ids."""

    folder: Path | None = None
    meshes: list[str] = field(default_factory=list)
    running: dict[str, Node] = field(default_factory=dict)

    def __getitem__(self, id: str) -> Node:
        return self.running[id]

    def config(self, id: str, mesh: str, **told: Any) -> Config:
        """What a node is told."""
        if self.folder is not None:
            told.setdefault("data_dir", self.folder / id)
        options = {"listen": "127.0.0.1:0", "mesh": mesh, "join": self.meshes, **QUICK, **told}
        return Config(id=id, **options)

    async def start(self, config: Config) -> Node:
        """Start a node."""
        node = Node(config)
        await node.start()
        self.running[config.id] = node
        return node

    async def stop(self, id: str) -> Config:
        """Stop a node; what it was told."""
        node = self.running.pop(id)
        await node.stop()
        return node.config

    def log(self, id: str) -> Any:
        """The log of a node."""
        return self.running[id].services["default"].log

    def leader(self) -> str | None:
        """Who leads, as all that run agree."""
        said = {self.log(id).status().leader for id in self.running}
        return said.pop() if len(said) == 1 else None

    async def until_active(self, *ids: str) -> None:
        """Wait until these serve, and agree on who leads."""
        await until(
            lambda: (
                self.leader() and all(self[id].status == "active" for id in ids or self.running)
            ),
            PATIENCE_S,
        )

    async def ask(self, id: str, method: str, path: str, **more: Any) -> Heard:
        """Ask one of them over HTTP."""
        return await visit(self[id], method, path, **more)

    def seats(self, id: str) -> dict[str, Any]:
        """The members, as one node knows them."""
        return {m["id"]: m for m in self.log(id).status().members}


@contextlib.asynccontextmanager
async def three(folder: Path | None = None, **told: Any) -> AsyncIterator[Nodes]:
    """n1, n2 and n3, of falling priority, in one cluster."""
    meshes = [f"127.0.0.1:{port}" for port in free_ports(3)]
    made = Nodes(folder, meshes)
    try:
        configs = [
            made.config(f"n{n}", mesh, priority=110 - 10 * n, **told)
            for n, mesh in enumerate(meshes, 1)
        ]
        await asyncio.gather(*map(made.start, configs))
        await made.until_active()
        yield made
    finally:
        for id in list(made.running):
            await made.stop(id)
