"""What a critical class keeps while a lesser one floods; by hand:
`python -m tests.benchmarks.flood`.

Three processes: the node, on a core of its own; the flood and this one on another, where this one,
which is the critical class, goes first: so many requests a second, each sent when its time has
come, whether or not those before are answered. First what the node can do is measured; then the
lesser class offers a multiple of that. What TCP does not take from it in time counts as offered and
held back: it is the node that does not read.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.benchmarks.classes import a_classed_node
from tlru.wire import frames

BATCH = 16  # requests in a message of the flood
FRAMES = 320  # that differ: more than may be unanswered, so no number is used twice
TICK_S = 0.01
HELD_BYTES = 256 << 10  # unsent, beyond which the flood's own buffer takes no more
PATIENCE_S = 1.0  # a critical request that takes longer is lost
CAN_S = 3.0  # to see what the node can do
NODE_CORE, CLIENTS_CORE = 0, 1
WARM_S = 1.5  # for a flood to begin, and to be noticed
VALUE = "x" * 64


@dataclass
class Tally:
    """What became of a class's requests."""

    offered: int = 0
    done: int = 0
    refused: int = 0
    took: list[float] = field(default_factory=list)

    def p(self, share: float) -> float:
        """The time within which this share was answered, in seconds."""
        took = sorted(self.took)
        return took[min(len(took) - 1, int(share * len(took)))] if took else float("nan")


class Raw:
    """A WebSocket whose messages are made before they are needed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, token: str) -> Raw:
        """Connect, and say hello with the token of a class."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: tlru.v1.json\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        raw = cls(reader, writer)
        raw.say(json.dumps({"id": 0, "op": "hello", "token": token}).encode())
        assert b'"ok":true' in await raw.receive()
        return raw

    async def receive(self) -> bytes:
        """The next message."""
        while True:
            head = await self.reader.readexactly(2)
            size = head[1]
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            payload = await self.reader.readexactly(size)
            if head[0] & 15 == 1:  # else it is a ping
                return payload

    def say(self, payload: bytes) -> None:
        """One message."""
        self.writer.write(frames.frame(payload, frames.TEXT, b"abcd"))

    @property
    def held(self) -> int:
        """Bytes that TCP has not taken."""
        return self.writer.transport.get_write_buffer_size()


# -- the flood, in a process of its own


async def flood(port: int, token: str, rate: float, seconds: float, connections: int) -> Tally:
    """Offer so many requests a second."""
    tally = Tally()
    sockets = [await Raw.open(port, token) for _ in range(connections)]
    lots = [_frame(number) for number in range(FRAMES)]
    readers = [asyncio.create_task(_count(each, tally)) for each in sockets]
    turn, owed = 0, 0.0
    began = last = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        owed += rate * (now - last) / BATCH
        last = now
        for _ in range(int(owed)):
            socket = sockets[turn % connections]
            tally.offered += BATCH
            if socket.held < HELD_BYTES:
                socket.writer.write(lots[(turn // connections) % FRAMES])
            turn += 1
        owed -= int(owed)
        await asyncio.sleep(TICK_S)
    for reader in readers:
        reader.cancel()
    for each in sockets:
        each.writer.transport.abort()
    return tally


def _frame(number: int) -> bytes:
    first = 1 + number * BATCH
    lines = [
        b'{"id":%d,"op":"set","key":"bulk%d","value":"%b"}' % (n, n, VALUE.encode())
        for n in range(first, first + BATCH)
    ]
    return frames.frame(b"\n".join(lines), frames.TEXT, b"abcd")


async def _count(raw: Raw, tally: Tally) -> None:
    tail, done, refused = b"", b'"ok":true', b'"ok":false'
    with contextlib.suppress(ConnectionError):
        while data := await raw.reader.read(1 << 18):
            data = tail + data
            tally.done += data.count(done)
            tally.refused += data.count(refused)
            tail = data[1 - len(refused) :]
            # What is whole in the tail would be counted again.
            tail = b"" if done in tail else tail


# -- the critical class, in this one


async def critical(
    port: int, token: str, rate: float, seconds: float, connections: int = 4
) -> Tally:
    """Ask so often; reads and writes take turns."""
    tally = Tally()
    sockets = [await Raw.open(port, token) for _ in range(connections)]
    waiting: list[dict[int, float]] = [{} for _ in sockets]
    readers = [
        asyncio.create_task(_hear(raw, mine, tally))
        for raw, mine in zip(sockets, waiting, strict=True)
    ]
    began = time.monotonic()
    while (due := began + tally.offered / rate) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        number = tally.offered = tally.offered + 1
        place = number % connections
        what = {"op": "get"} if number % 2 else {"op": "set", "value": number}
        waiting[place][number] = time.monotonic()
        message = {"id": number, "key": f"critical{number % 100}", **what}
        sockets[place].say(json.dumps(message).encode())
    await asyncio.sleep(PATIENCE_S)
    for reader in readers:
        reader.cancel()
    for each in sockets:
        each.writer.transport.abort()
    return tally


async def _hear(raw: Raw, waiting: dict[int, float], tally: Tally) -> None:
    while True:
        payload, now = await raw.receive(), time.monotonic()
        for line in payload.split(b"\n"):
            reply = json.loads(line)
            if reply.get("id") in waiting:
                took = now - waiting.pop(reply["id"])
                if not reply["ok"]:
                    tally.refused += 1
                elif took <= PATIENCE_S:
                    tally.done += 1
                    tally.took.append(took)


# -- together


@contextlib.contextmanager
def flooding(
    port: int, token: str, rate: float, seconds: float
) -> Iterator[subprocess.Popen[bytes]]:
    """A flood in a process of its own; its tally is what it prints."""
    command = [sys.executable, "-m", "tests.benchmarks.flood", "--port", str(port)]
    command += ["--token", token, "--rate", str(rate), "--seconds", str(seconds)]
    # It shares a core with the critical class's process, whose time must not be its time.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=lambda: os.nice(10))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def tally_of(process: subprocess.Popen[bytes]) -> Tally:
    """What a flood says at its end."""
    out, _ = process.communicate(timeout=60)
    return Tally(**json.loads(out))


@dataclass(frozen=True)
class Found:
    """One run."""

    can: float  # requests a second that the node does of the flood alone
    quiet: Tally
    flooded: Tally
    lesser: Tally


async def measure(name: str, rate: float, seconds: float, times: float) -> Found:
    """Quiet, what the node can do, and the flood."""
    async with a_classed_node(NODE_CORE) as (port, tokens, _):
        quiet = await critical(port, tokens["critical"], rate, seconds)
        with flooding(port, tokens["default"], 400_000, CAN_S) as process:
            alone = await asyncio.to_thread(tally_of, process)
        can = alone.done / CAN_S
        with flooding(port, tokens[name], can * times, seconds + 2 * WARM_S) as process:
            await asyncio.sleep(WARM_S)
            flooded = await critical(port, tokens["critical"], rate, seconds)
            lesser = await asyncio.to_thread(tally_of, process)
    return Found(can, quiet, flooded, lesser)


def show(found: Found, name: str) -> None:
    """A table."""
    print(f"the node alone with the flood: {found.can:,.0f} writes a second")
    print(f"{'class':<22}{'offered':>10}{'done':>10}{'refused':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for label, tally in (
        ("critical, quiet", found.quiet),
        ("critical, flooded", found.flooded),
        (f"{name}, flooding", found.lesser),
    ):
        times = [f"{tally.p(share) * 1000:9.1f}" for share in (0.5, 0.99)] if tally.took else []
        print(
            f"{label:<22}{tally.offered:>10,}{tally.done:>10,}{tally.refused:>10,}{''.join(times)}"
        )
    kept = 100 * found.flooded.done / max(1, found.quiet.done)
    print(f"the critical class kept {kept:.1f} % of its goodput")


def main() -> None:
    """Measure, and print a table; or be the flood."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rate", type=float, default=500.0, help="critical requests a second")
    parser.add_argument("--times", type=float, default=5.0, help="of what the node can do")
    parser.add_argument("--class", dest="name", default="bulk", help="of the flood")
    parser.add_argument("--port", type=int, help="be the flood, of `rate` requests a second, there")
    parser.add_argument("--token", default="", help="that the flood says hello with")
    args = parser.parse_args()
    if args.port is not None:
        tally = asyncio.run(flood(args.port, args.token, args.rate, args.seconds, 8))
        print(json.dumps({"offered": tally.offered, "done": tally.done, "refused": tally.refused}))
        return
    os.sched_setaffinity(0, {CLIENTS_CORE})
    show(asyncio.run(measure(args.name, args.rate, args.seconds, args.times)), args.name)


if __name__ == "__main__":
    main()
