"""Meshes on loopback, whose owners note what comes; and strangers, who speak byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from peers.core.entry import Epoch
from peers.mesh.ends import End
from peers.mesh.frames import Frame, FrameReader, FrameWriter
from peers.mesh.greeting import Greeting, Side
from peers.mesh.mesh import Mesh
from peers.mesh.settings import Identity, Lineage, MeshSettings, MeshTiming
from peers.mesh.status import PeerState, PeerStatus
from peers.mesh.upgrade import Upgrade
from tests.running import PATIENCE_S
from tests.running import until as until

SECRET = b"the secret of this cluster"
# Short where a test waits for it, long where a slow machine must not be taken for a fault.
QUICK = MeshTiming(
    ping_s=0.05,
    silent_s=2.0,
    stalled_s=1.0,
    greeting_s=5.0,
    doubt_s=1.0,
    close_s=1.0,
    backoff_first_s=0.005,
    backoff_most_s=0.05,
    steady_s=0.2,
    refused_s=0.2,
    breaker_open_s=0.1,
)


def timing(**changes: float) -> MeshTiming:
    """Quick, but for this."""
    return dataclasses.replace(QUICK, **changes)  # type: ignore[arg-type]


class Notes:
    """An owner that notes everything."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.reads: list[int] = []  # how many messages had come at the end of each read
        self.changes: list[tuple[str, bool]] = []
        self.greetings: list[Greeting] = []
        self.copies: list[str] = []
        self.was_copy = 0
        self.refuse: dict[str, str] = {}
        self.seats: dict[str, str] = {}  # the births of members

    def lineage(self) -> Lineage:
        return Lineage(Epoch(2, "two", "one"), ("one",))

    def seat_of(self, node: str) -> str | None:
        return self.seats.get(node)

    def accept(self, greeting: Greeting) -> str | None:
        self.greetings.append(greeting)
        return self.refuse.get(greeting.node)

    def on_message(self, sender: str, data: bytes) -> None:
        self.got.append((sender, data))

    def on_turn_end(self) -> None:
        self.reads.append(len(self.got))

    def on_up(self, node: str) -> None:
        self.changes.append((node, True))

    def on_down(self, node: str, end: End) -> None:
        self.changes.append((node, False))

    def on_copy(self, node: str) -> None:
        self.copies.append(node)

    def on_being_a_copy(self) -> None:
        self.was_copy += 1

    def of(self, sender: str) -> list[bytes]:
        """What came from this node."""
        return [data for node, data in self.got if node == sender]


class Noted(Mesh):
    """A mesh with its notes."""

    notes: Notes

    def peer(self, node: str) -> PeerStatus:
        """How it stands with this node."""
        (found,) = [status for status in self.status() if status.node == node]
        return found

    def linked(self, *nodes: str) -> bool:
        """Whether there are links with all of these."""
        up = {each.node for each in self.status() if each.state is PeerState.CONNECTED}
        return up >= set(nodes)


def mesh(node: str, **options: Any) -> Noted:
    """A mesh that is not started."""
    notes = Notes()
    birth = options.pop("birth", f"birth of {node}")
    identity = Identity(node, birth, options.pop("incarnation", 1))
    made = Noted(identity, MeshSettings(**{"secret": SECRET, "timing": QUICK, **options}), notes)
    made.notes = notes
    return made


@contextlib.asynccontextmanager
async def started(*meshes: Noted) -> AsyncIterator[None]:
    """All of them running."""
    async with contextlib.AsyncExitStack() as stack:
        for each in meshes:
            await stack.enter_async_context(each)
        yield


def introduce(*meshes: Noted) -> None:
    """Each is told of all."""
    nodes = {each.identity.node: [each.address] for each in meshes}
    for each in meshes:
        each.reach(nodes)


async def all_linked(*meshes: Noted) -> None:
    """Wait until each has a link with every other."""
    names = {each.identity.node for each in meshes}
    await until(lambda: all(each.linked(*(names - {each.identity.node})) for each in meshes))


def half_open(one: Noted) -> int:
    """How many connections have not proved themselves."""
    return 0 if one._door is None else one._door.half_open


def run(
    main: Callable[[], Coroutine[Any, Any, None]],
    on: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> None:
    """Run a test on a loop; no task, no timer's callback that fails and no socket may be left."""
    complaints: list[dict[str, Any]] = []

    async def bounded() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        before = sockets()
        async with asyncio.timeout(60):
            await main()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        await until(lambda: sockets() <= before)

    on(bounded())
    assert complaints == []


def sockets() -> int:
    """How many this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


class Stranger:
    """Somebody who dials a mesh and says, frame by frame, what a test wants him to say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader(masked=False, bytes_max=1 << 26)
        self._makes = FrameWriter(masked=True)
        self._read: list[Frame] = []

    async def upgrade(self, address: str) -> None:
        """Become a WebSocket."""
        upgrade = Upgrade(Side.DIALLER, address, tls=False)
        self.writer.write(upgrade.to_send())
        while not upgrade.done:
            upgrade.receive(await self.reader.read(1 << 16))

    def say(self, first: int, payload: bytes) -> None:
        """Send one frame."""
        self.writer.write(b"".join(self._makes.parts(first, payload)))

    async def hear(self) -> Frame:
        """The next frame. EOFError when there will be none."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._read:
                data = await self.reader.read(1 << 16)
                if not data:
                    raise EOFError
                self._read += self._frames.feed(data)
        return self._read.pop(0)

    async def closed(self) -> tuple[int, str]:
        """Wait for the goodbye: its code and sentence."""
        while True:
            first, payload = await self.hear()
            if first == 0x88:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def until_gone(self) -> bytes:
        """Read to the end; gives what came."""
        data = b""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while more := await self.reader.read(1 << 16):
                    data += more
        return data


@contextlib.asynccontextmanager
async def stranger(address: str, *, upgrade: bool = True) -> AsyncIterator[Stranger]:
    """Somebody at the door of a mesh."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    somebody = Stranger(reader, writer)
    try:
        if upgrade:
            await somebody.upgrade(address)
        yield somebody
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def a_greeting(node: str, **said: Any) -> Greeting:
    """What a stranger may say of himself."""
    plain = Greeting(
        marker="tlru-mesh",
        version_min=1,
        version=1,
        node=node,
        birth=f"birth of {node}",
        incarnation=1,
        nonce=secrets.token_hex(8),
        to="",
        secured=True,
        challenge=os.urandom(32),
        epoch=Epoch(2, "two", "one"),
        ancestors=("one",),
        addresses=(),
    )
    return dataclasses.replace(plain, **said)
