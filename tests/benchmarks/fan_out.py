"""Messages to many subscribers: a node, real Redis and real NATS, in turn on the same cores.

    python -m tests.benchmarks.fan_out [--subscribers 200] [--burst 200] [--seconds 2] [--rounds 3]

The server runs on one core. On the other, this process publishes in bursts and reads the sockets of
all subscribers; it only counts a mark that every message has, so it is faster than any client. A
delivery is one message at one subscriber. At most four bursts are under way. The order of the
systems is turned from round to round, and the ratios are of one round.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import select
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.benchmarks.processes import cpu_s, free_port, installed, running, until_reachable

SERVER_CORE, CLIENT_CORE = 0, 1
MARK = b"<mark-1>"  # too long to be met in the head of a frame by chance
CARRY = len(MARK) - 1  # of it may have come with the read before
PAYLOAD = MARK.decode() + "x" * 56
UNDER_WAY = 4
ROOM = 1 << 20
PATIENCE_S = 20


@dataclass(frozen=True)
class System:
    """How a server is started, subscribed to and published to, byte for byte."""

    name: str
    command: Callable[[int], list[str]]
    hello: bytes
    subscribe: bytes
    subscribed: bytes  # by this the answer is known
    publish: Callable[[int], bytes]


def _frame(text: str) -> bytes:
    """A masked WebSocket frame; its mask is zero, which changes nothing."""
    data = text.encode()
    size = len(data)
    head = bytes((0x81, 0x80 | 126)) + size.to_bytes(2) if size < 65_536 else b""
    head = head or bytes((0x81, 0x80 | 127)) + size.to_bytes(8)
    return head + bytes(4) + data


_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_PUBLISH = f'{{"op":"publish","channel":"news","value":"{PAYLOAD}"}}'
_RESP = f"*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n${len(PAYLOAD)}\r\n{PAYLOAD}\r\n".encode()
_NATS = f"PUB news {len(PAYLOAD)}\r\n{PAYLOAD}\r\n".encode()


def systems() -> list[System]:
    """Those that are compared; what is missing is installed, if we may."""
    redis = installed("redis-server", "redis-server")
    nats = installed("nats-server", "nats-server")
    return [
        System(
            "tlru",
            lambda port: [
                *(sys.executable, "-m", "tlru", "serve", "--listen", f"127.0.0.1:{port}"),
            ],
            _UPGRADE,
            _frame('{"id":1,"op":"subscribe","channel":"news"}'),
            b'"resumed"',
            lambda count: _frame("\n".join([_PUBLISH] * count)),
        ),
        System(
            "Redis",
            lambda port: [redis, "--port", str(port), "--save", "", "--appendonly", "no"],
            b"",
            b"SUBSCRIBE news\r\n",
            b":1\r\n",
            lambda count: _RESP * count,
        ),
        System(
            "NATS",
            lambda port: [nats, "-a", "127.0.0.1", "-p", str(port)],
            b'CONNECT {"verbose":false}\r\n',
            b"SUB news 1\r\nPING\r\n",
            b"PONG\r\n",
            lambda count: _NATS * count,
        ),
    ]


class Crowd:
    """All subscribers, and one who publishes, on plain sockets."""

    def __init__(self, system: System, port: int, subscribers: int) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(subscribers):
            sock = self._connected(system, port)
            sock.sendall(system.subscribe)
            _read_until(sock, system.subscribed)
            sock.setblocking(False)
            self._poll.register(sock, select.EPOLLIN)
            self._sockets[sock.fileno()] = sock
        self._publisher = self._connected(system, port)
        self._publisher.setblocking(False)
        self._poll.register(self._publisher, select.EPOLLIN)
        self._buffer = bytearray(ROOM)
        self._room = memoryview(self._buffer)[CARRY:]
        self._carried = dict.fromkeys(self._sockets, bytes(CARRY))
        self._unsent = b""

    @staticmethod
    def _connected(system: System, port: int) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        if system.hello:
            sock.sendall(system.hello)
            if system.hello.startswith(b"GET"):
                _read_until(sock, b"\r\n\r\n")
        return sock

    def close(self) -> None:
        """Let all of them go."""
        for sock in (*self._sockets.values(), self._publisher):
            sock.close()
        self._poll.close()

    def publish(self, data: bytes) -> None:
        """Send, as far as there is room; the rest goes with what is read next."""
        self._unsent += data
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self._publisher.send(self._unsent) :]

    def read(self) -> int:
        """How many messages have come in the meantime."""
        if self._unsent:
            self.publish(b"")
        came, buffer = 0, self._buffer
        for number, _ in self._poll.poll(1):
            sock = self._sockets.get(number)
            try:
                size = (sock or self._publisher).recv_into(self._room)
            except BlockingIOError:
                continue
            if not size:
                raise SystemExit("the server has closed a connection")
            if sock is not None:
                buffer[:CARRY] = self._carried[number]
                came += buffer.count(MARK, 0, CARRY + size)
                self._carried[number] = bytes(buffer[size : CARRY + size])
        return came


def _read_until(sock: socket.socket, end: bytes) -> None:
    data = b""
    while end not in data:
        more = sock.recv(ROOM)
        if not more:
            raise SystemExit(f"the server said {data[:200]!r} and closed")
        data += more


def deliveries_per_s(system: System, port: int, subscribers: int, burst: int, s: float) -> float:
    """Publish for so long, and count until all has come."""
    crowd = Crowd(system, port, subscribers)
    data, each = system.publish(burst), burst * subscribers
    try:
        came = asked = 0
        start = time.perf_counter()
        while time.perf_counter() - start < s or came < asked:
            if time.perf_counter() - start < s and asked - came < UNDER_WAY * each:
                crowd.publish(data)
                asked += each
            came += crowd.read()
            if time.perf_counter() - start > s + PATIENCE_S:
                raise SystemExit(f"{system.name}: {asked - came:,} of {asked:,} never came")
        assert came == asked, f"{system.name}: {came - asked:,} too many"
        return came / (time.perf_counter() - start)
    finally:
        crowd.close()


@contextlib.contextmanager
def served(system: System) -> Iterator[tuple[int, int]]:
    """The server, its port and its process."""
    port = free_port()
    with running(system.command(port), core=SERVER_CORE) as process:
        asyncio.run(until_reachable(port))
        yield port, process.pid


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument("--burst", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    known = systems()
    found: dict[str, list[float]] = {system.name: [] for system in known}
    cost: dict[str, list[float]] = {system.name: [] for system in known}
    for turn in range(args.rounds):
        for system in known[turn % 3 :] + known[: turn % 3]:
            with served(system) as (port, pid):
                before = cpu_s(pid)
                rate = deliveries_per_s(system, port, args.subscribers, args.burst, args.seconds)
                cost[system.name].append((cpu_s(pid) - before) / (rate * args.seconds) * 1e9)
            found[system.name].append(rate)
            print(f"round {turn + 1}: {system.name:6} {rate:13,.0f} deliveries/s", flush=True)
    print(f"\n{args.subscribers} subscribers, bursts of {args.burst}, {len(PAYLOAD)} bytes each")
    for system in known:
        rates = found[system.name]
        ratio = statistics.median(a / b for a, b in zip(found["tlru"], rates, strict=True))
        print(
            f"{system.name:6} {statistics.median(rates):13,.0f} deliveries/s, "
            f"{statistics.median(cost[system.name]):6.0f} ns of the server's core each; "
            f"tlru does {ratio:.1f} times as many"
        )


if __name__ == "__main__":
    main()
