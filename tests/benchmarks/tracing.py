"""What tracing costs a node, in processor time for each write; by hand:
`python -m tests.benchmarks.tracing`.

Nodes in processes of their own are told to trace nothing, to trace and are sent nothing that is
recorded, and to trace and are sent every write as part of a recorded trace, which they then export
by OTLP to a collector in the benchmark's own process. They take turns, many times over, so that
whatever else the machine does meets all alike; what is told is the time of all rounds together, and
as a ratio to the node that traces nothing. `--beside DIR` has nodes of another checkout take their
turns too, as of the release before.

The time of a node is that of all its threads, so also of the one that exports. Nothing may be lost
on the way: a node that drops spans would look cheap, so those that come are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.benchmarks.processes import running, until_reachable
from tests.collecting import Collector, a_collector
from tests.ports import free_ports
from tests.running import until
from tlru.wire.traceparent import Parent

ROOT: Final = Path(__file__).parents[2]
VALUE: Final = msgpack.packb("x" * 64)
MESSAGE: Final = 64  # writes in one message, where they come together
LESS: Final = 4  # so many times fewer writes, where each costs so much more
# Of one write, by how many nodes there are, at least: a node that only follows may be told of a
# write too late, when it has applied it already, and has no span of it then.
SPANS: Final = {1: 5, 3: 7}
QUIET_S: Final = 0.3
IDLE_S: Final = 0.02  # of processor time in `QUIET_S`: what a node does that has nothing to do
WITHIN_S: Final = 60
ENV: Final = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "1000000",  # else what is exported late is dropped, and costs less
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


@dataclass
class Contender:
    """Nodes that are told the same, and a client of one of them."""

    name: str
    traced: bool  # what its client sends is
    recorded: bool = False
    pids: list[int] = field(default_factory=list)
    socket: ClientConnection | None = None
    spent_s: float = 0.0
    writes: int = 0

    @property
    def each_us(self) -> float:
        """Processor time of a write, in all of its nodes together."""
        return self.spent_s / self.writes * 1e6

    def cpu_s(self) -> float:
        """Of all its nodes, until now."""
        return sum(time.clock_gettime(_clock_of(pid)) for pid in self.pids)

    async def write(self, count: int, at_once: int) -> None:
        """So many writes, so many of which are in one message; wait for all replies."""
        assert self.socket is not None
        for first in range(0, count, at_once):
            numbers = range(first, first + at_once)
            await self.socket.send(b"".join(map(self._set, numbers)))
            waiting = at_once
            while waiting:
                for reply in _unpacked(await self.socket.recv()):
                    if "push" not in reply:
                        assert reply["ok"], reply
                        waiting -= 1

    def _set(self, number: int) -> bytes:
        fields = {"id": number, "op": "set", "key": f"k{number % 1000}", "value": VALUE}
        if self.traced:
            ids = (random.getrandbits(128) | 1, random.getrandbits(64) | 1)
            fields["trace"] = str(Parent(*ids, self.recorded))
        packed: bytes = msgpack.packb(fields)
        return packed


def _clock_of(pid: int) -> int:
    """The clock that goes while any thread of a process has a core, as Linux numbers it: what
    `/proc` tells is in ticks of 10 ms, which is too coarse to compare by."""
    return (~pid << 3) | 2


def _unpacked(data: str | bytes) -> list[dict[str, Any]]:
    unpacker = msgpack.Unpacker()
    assert isinstance(data, bytes)
    unpacker.feed(data)
    return list(unpacker)


@contextlib.asynccontextmanager
async def contending(
    contender: Contender, nodes: int, tracing: bool, checkout: Path, endpoint: str, folder: Path
) -> AsyncIterator[Contender]:
    """Its nodes run; its client is at the last of them, which follows where there are several."""
    ports = free_ports(2 * nodes)
    meshes = [f"127.0.0.1:{port}" for port in ports[nodes:]]
    env = {**ENV, "PYTHONPATH": str(checkout), "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    with contextlib.ExitStack() as stack:
        processes: list[subprocess.Popen[bytes]] = []
        for number, (port, mesh) in enumerate(zip(ports, meshes, strict=False)):
            command = [
                *(sys.executable, "-m", "tlru", "serve", "--id", f"n{number}"),
                *("--listen", f"127.0.0.1:{port}", "--log-level", "error"),
                *(["--tracing"] if tracing else []),
            ]
            if nodes > 1:
                command += ["--mesh", mesh, "--join", ",".join(meshes), "--expect", str(nodes)]
                command += ["--priority", str(100 - number)]
            told = {**env, "TMPDIR": str(folder), "TLRU_TOKEN": "only of this benchmark"}
            processes.append(stack.enter_context(running(command, env=told)))
        contender.pids = [process.pid for process in processes]
        for port in ports[:nodes]:
            await until_reachable(port)
        url = f"ws://127.0.0.1:{ports[nodes - 1]}/ws"
        await _until_led(f"http://127.0.0.1:{ports[nodes - 1]}/v1/nodes", nodes)
        protocol = [Subprotocol("tlru.v1.msgpack")]
        async with connect(url, subprotocols=protocol, compression=None, proxy=None) as socket:
            contender.socket = socket
            yield contender


async def _until_led(url: str, nodes: int) -> None:
    """Wait until the first leads, as all say, and each is heard by the one that is asked: a node
    with which there is no link yet is not told of traces."""
    async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession() as session:
        for _ in itertools.count():
            async with session.get(url) as response:
                said = await response.json()
            heard = [each for each in said.get("nodes", ()) if each["status"] == "active"]
            if len(heard) == nodes and said["leader"] == "n0":
                return
            await asyncio.sleep(0.05)


async def _quiet(contender: Contender, collector: Collector, spans: int) -> None:
    """Wait until all of its spans have come, and its nodes have nothing left to do."""
    await until(lambda: len(collector.spans) >= spans, WITHIN_S)
    async with asyncio.timeout(WITHIN_S):
        before, now = -1.0, contender.cpu_s()
        while now > before + IDLE_S * len(contender.pids):
            await asyncio.sleep(QUIET_S)
            before, now = now, contender.cpu_s()


async def measure(args: argparse.Namespace, nodes: int, at_once: int) -> list[Contender]:
    """All contenders, after all rounds."""
    here = [
        (Contender("tracing off", False), False, ROOT),
        (Contender("tracing off, a second time", False), False, ROOT),
        (Contender("on, nothing recorded", True), True, ROOT),
        (Contender("on, everything recorded", True, recorded=True), True, ROOT),
    ]
    beside = [(Contender(f"of {each.name}", False), False, each.resolve()) for each in args.beside]
    async with a_collector() as collector, contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = [
            await stack.enter_async_context(
                contending(contender, nodes, tracing, checkout, collector.url, folder)
            )
            for contender, tracing, checkout in [*here, *beside]
        ]
        for number in range(args.rounds + 1):
            for contender in random.sample(contenders, len(contenders)):
                writes = args.writes // (LESS if contender.recorded or at_once == 1 else 1)
                expected = writes * SPANS[nodes] if contender.recorded else 0
                collector.spans.clear()
                collector.bodies.clear()
                since = contender.cpu_s()
                await contender.write(writes, at_once)
                await _quiet(contender, collector, expected)
                assert len(collector.spans) >= expected, (contender.name, len(collector.spans))
                if number:  # the first is for warming up
                    contender.spent_s += contender.cpu_s() - since
                    contender.writes += writes
    return contenders


def show(title: str, contenders: Sequence[Contender]) -> None:
    """What came of it."""
    usual = contenders[0].each_us
    print(f"\n{title}: us of processor time a write, and the ratio to tracing off")
    for each in contenders:
        print(f"  {each.name:<28} {each.each_us:8.1f} {each.each_us / usual:8.3f}", flush=True)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--writes", type=int, default=19_200, help="in a round")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], help="another checkout to run, too"
    )
    args = parser.parse_args()
    assert args.writes % (MESSAGE * LESS) == 0, f"--writes is a multiple of {MESSAGE * LESS}"
    for nodes, at_once, title in (
        (1, MESSAGE, f"one node, {MESSAGE} writes a message"),
        (1, 1, "one node, a write at a time"),
        (3, MESSAGE, f"three nodes together, by way of a follower, {MESSAGE} writes a message"),
    ):
        show(title, asyncio.run(measure(args, nodes, at_once)))


if __name__ == "__main__":
    main()
