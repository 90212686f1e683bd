"""The mesh between two processes over loopback, beside a bare asyncio protocol.

    python -m tests.benchmarks.mesh_speed [--seconds 1.0] [--rounds 5] [--plain-loop]

Each process has a core of its own. Rounds alternate between what is compared, so that whatever else
the machine does meets both; a figure is the median of the rounds. "Masked" is what the side that
dialled sends: RFC 6455 wants that, and the other side of the table says what it costs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from peers.core.entry import NO_EPOCH
from peers.mesh.ends import End as LinkEnd
from peers.mesh.frames import FrameWriter
from peers.mesh.greeting import Greeting
from peers.mesh.mesh import Mesh
from peers.mesh.settings import Identity, Lineage, MeshSettings

FAR_CORE, NEAR_CORE = 0, 1
SECRET = b"a secret for measuring"
ECHO, COUNT = b"e", b"c"
SMALL, LARGE = COUNT + bytes(63), COUNT + bytes((1 << 20) - 1)
BURST = 256  # small messages that gather in one turn
IN_FLIGHT_BYTES = 8 << 20

RATES = (("small", SMALL, BURST), ("single", SMALL, 1), ("large", LARGE, 4))
ROWS = (
    ("bare", "lone round trip, bare protocol", "us", 1.0),
    ("mesh", "lone round trip, mesh", "us", 1.0),
    ("small", f"64 bytes, {BURST} in a turn", "thousand/s", 1e-3),
    ("single", "64 bytes, one in a turn", "thousand/s", 1e-3),
    ("large", "1 MiB", "MB/s", len(LARGE) / 1e6),
)


class End:
    """The owner on either side: echoes, or counts and tells the count at the end of each read."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.mesh: Mesh | None = None
        self.counted = self.told = 0
        self.waits: asyncio.Future[bytes] | None = None  # for an answer; None on the far side
        self.up = asyncio.Event()

    def lineage(self) -> Lineage:
        return Lineage(NO_EPOCH, ())

    def seat_of(self, node: str) -> str | None:
        """Nobody is a member of anything."""
        return None

    def accept(self, _: Greeting) -> str | None:
        return None

    def on_message(self, sender: str, data: bytes) -> None:
        if self.waits is not None:
            if data[:1] != ECHO:
                self.told = int.from_bytes(data, "big")
            if not self.waits.done():
                self.waits.set_result(data)
        elif data[:1] == ECHO:
            assert self.mesh is not None
            self.mesh.send(sender, data)
        else:
            self.counted += 1

    def on_turn_end(self) -> None:
        if self.waits is None and self.counted != self.told:
            self.told = self.counted
            assert self.mesh is not None
            self.mesh.send(self.peer, self.counted.to_bytes(8, "big"))

    def on_up(self, _: str) -> None:
        self.up.set()

    def on_down(self, _: str, end: LinkEnd) -> None: ...

    def on_copy(self, _: str) -> None: ...

    def on_being_a_copy(self) -> None: ...


class Echo(asyncio.Protocol):
    """The bare protocol: what comes goes back."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.waits: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        if self.waits is None:
            self.transport.write(data)
        else:
            self.waits.set_result(data)


def a_mesh(node: str, peer: str) -> tuple[Mesh, End]:
    """A mesh and its owner."""
    end = End(peer)
    end.mesh = Mesh(Identity(node, f"birth of {node}", 1), MeshSettings(secret=SECRET), end)
    return end.mesh, end


async def far(dial: str) -> None:
    """The other process: a bare echo, and a mesh that dials if it is told an address."""
    loop = asyncio.get_running_loop()
    bare = await loop.create_server(Echo, "127.0.0.1", 0)
    mesh, _ = a_mesh("b", "a")
    async with mesh:
        mesh.reach({"a": [dial] if dial else []})
        print(bare.sockets[0].getsockname()[1], mesh.address, flush=True)
        await bare.serve_forever()


class Near:
    """This process, linked with the other one."""

    def __init__(self, mesh: Mesh, end: End, bare: Echo) -> None:
        self.mesh, self.end, self.bare = mesh, end, bare
        self.sent = 0

    async def bare_round_trip(self) -> None:
        self.bare.waits = asyncio.get_running_loop().create_future()
        self.bare.transport.write(SMALL)
        await self.bare.waits

    async def round_trip(self) -> None:
        self.end.waits = asyncio.get_running_loop().create_future()
        self.mesh.send("b", ECHO + SMALL[1:])
        await self.end.waits

    async def burst(self, message: bytes, count: int) -> None:
        """Send so many in one turn; wait while too much is on its way."""
        for _ in range(count):
            self.mesh.send("b", message)
        self.sent += count
        await asyncio.sleep(0)
        await self.until(self.sent - IN_FLIGHT_BYTES // max(len(message), 1 << 10))

    async def until(self, counted: int) -> None:
        """Wait until the other side has counted so many."""
        while self.end.told < counted:
            self.end.waits = asyncio.get_running_loop().create_future()
            await self.end.waits


@contextlib.asynccontextmanager
async def near(*, dials: bool, loop_flag: list[str]) -> AsyncIterator[Near]:
    """Both processes at work."""
    mesh, end = a_mesh("a", "b")
    async with mesh:
        command = [sys.executable, "-m", "tests.benchmarks.mesh_speed", *loop_flag, "--far"]
        process = await asyncio.create_subprocess_exec(
            *command,
            "" if dials else mesh.address,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {FAR_CORE}),
        )
        loop = asyncio.get_running_loop()
        try:
            assert process.stdout is not None
            port, address = (await process.stdout.readline()).decode().split()
            mesh.reach({"b": [address] if dials else []})
            async with asyncio.timeout(20):
                await end.up.wait()
            transport, bare = await loop.create_connection(Echo, "127.0.0.1", int(port))
            end.waits = loop.create_future()
            yield Near(mesh, end, bare)
            transport.abort()
        finally:
            process.kill()
            await process.wait()


async def lone(trip: Callable[[], Awaitable[None]], seconds: float) -> float:
    """The median of lone round trips, in microseconds."""
    took = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await trip()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


async def rate(side: Near, message: bytes, count: int, seconds: float) -> float:
    """Messages a second."""
    began, before = time.perf_counter(), side.sent
    while time.perf_counter() - began < seconds:
        await side.burst(message, count)
    await side.until(side.sent)
    return (side.sent - before) / (time.perf_counter() - began)


async def measure(seconds: float, rounds: int, loop_flag: list[str]) -> None:
    """Print the table."""
    figures: list[dict[str, list[float]]] = [{}, {}]
    async with (
        near(dials=True, loop_flag=loop_flag) as masked,
        near(dials=False, loop_flag=loop_flag) as plain,
    ):
        sides = (masked, plain)
        for _ in range(rounds):
            for side, column in zip(sides, figures, strict=True):
                for name, trip in (("bare", side.bare_round_trip), ("mesh", side.round_trip)):
                    column.setdefault(name, []).append(await lone(trip, seconds / 2))
        for _ in range(rounds):
            for side, column in zip(sides, figures, strict=True):
                for name, message, count in RATES:
                    column.setdefault(name, []).append(await rate(side, message, count, seconds))
    print(f"{'':34}{'masked':>10}{'unmasked':>10}")
    for name, label, unit, scale in ROWS:
        cells = "".join(f"{statistics.median(column[name]) * scale:10.1f}" for column in figures)
        print(f"{label:34}{cells}  {unit}")
    ratios = [
        statistics.median(m / b for m, b in zip(column["mesh"], column["bare"], strict=True))
        for column in figures
    ]
    print(f"{'mesh to bare, neighbouring rounds':34}" + "".join(f"{each:10.2f}" for each in ratios))


def masking() -> None:
    """What making a frame of 1 MiB costs, with a mask and without."""
    for masked in (True, False):
        writer, best = FrameWriter(masked=masked), float("inf")
        for _ in range(50):
            began = time.perf_counter()
            writer.parts(0x82, LARGE)
            best = min(best, time.perf_counter() - began)
        print(
            f"{'a frame of 1 MiB, ' + ('masked' if masked else 'plain'):34}{best * 1e6:10.1f}  us"
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plain-loop", action="store_true", help="asyncio's own, not uvloop")
    parser.add_argument("--far", help=argparse.SUPPRESS)
    args = parser.parse_args()
    run: Callable[[Coroutine[Any, Any, None]], None] = (
        asyncio.run if args.plain_loop else uvloop.run
    )
    if args.far is not None:
        run(far(args.far))
        return
    os.sched_setaffinity(0, {NEAR_CORE})
    run(measure(args.seconds, args.rounds, ["--plain-loop"] if args.plain_loop else []))
    masking()


if __name__ == "__main__":
    main()
