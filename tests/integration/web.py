"""All links between the processes of a cluster, each of which can be cut, one way too, and be long.

Every node advertises a door of the test's own in front of its mesh. Who has come to a door is found
out from the kernel: a connection has two ends, and one of them belongs to a process that the test
has started. So what passes from one node to another goes the same way, whoever dialled whom.

Linux alone tells whose a socket is (`/proc`).
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from tests.proxy import Proxy, Way, at_work_on


class Door(Proxy):
    """In front of one node's mesh."""

    def __init__(self, node: str, target: str, web: Web) -> None:
        super().__init__(target)
        self.node, self._web = node, web

    def ways(self, writer: asyncio.StreamWriter) -> tuple[Way, Way]:
        """There and back, for who has come by this connection."""
        caller = self._web.caller(writer)
        return self._web.ways[caller, self.node], self._web.ways[self.node, caller]


class Web:
    """The ways from each node to each other one."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self.ways: defaultdict[tuple[str, str], Way] = defaultdict(Way)
        self.doors: dict[str, Door] = {}
        self._stack = AsyncExitStack()

    async def add(self, node: str, target: str) -> str:
        """Put a door in front of a node's mesh; its address."""
        door = await self._stack.enter_async_context(at_work_on(Door(node, target, self)))
        self.doors[node] = door
        return door.address

    async def close(self) -> None:
        """End everything."""
        await self._stack.aclose()

    # -- what becomes of the ways

    def cut(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Nothing comes from these to those any more. What they say back does."""
        for way in self._between(sources, targets):
            way.cut()

    def part(self, some: Iterable[str], others: Iterable[str]) -> None:
        """Neither do these hear those, nor those these."""
        some, others = tuple(some), tuple(others)
        self.cut(some, others)
        self.cut(others, some)

    def stretch(self, a: str, b: str, delay_s: float) -> None:
        """Let it take so long from one to the other, and as long back."""
        self.ways[a, b].delay_s = self.ways[b, a].delay_s = delay_s

    def heal(self) -> None:
        """Let everything through."""
        for way in self.ways.values():
            way.heal()

    def _between(self, sources: Iterable[str], targets: Iterable[str]) -> list[Way]:
        targets = tuple(targets)
        return [self.ways[a, b] for a in sources for b in targets if a != b]

    # -- who it is

    def caller(self, writer: asyncio.StreamWriter) -> str:
        """The node whose process has the other end of this connection."""
        theirs, ours = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        inode = _inode(theirs[1], ours[1])
        for node, pid in self._pids().items():
            if _has(pid, f"socket:[{inode}]"):
                return node
        raise ConnectionAbortedError(f"nobody has the other end of {theirs}: it is gone already")


def _inode(local: int, remote: int) -> str:
    """The number of the socket between these two ports of loopback, as the kernel lists it."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        ports = [int(columns[at].rsplit(":", 1)[1], 16) for at in (1, 2)]
        if ports == [local, remote]:
            return columns[9]
    return "gone"


def _has(pid: int, what: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in names:
        try:
            if os.readlink(f"{folder}/{name}") == what:
                return True
        except OSError:
            continue  # closed meanwhile
    return False
