"""Many subscribers on plain sockets, and one who publishes; for `fan_out.py`.

The crowd only counts a mark that every message has, so it is faster than any client, and costs the
same whatever server it listens to.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgpack

from tests.benchmarks.processes import installed

MARK = b"<mark-1>"  # too long to be met in the head of a frame by chance
CARRY = len(MARK) - 1  # of it may have come with the read before
PAYLOAD_BYTES = 128
PAYLOAD = MARK + b"x" * (PAYLOAD_BYTES - len(MARK))
KEYS_MAX = 128  # whatever is written in one burst has keys of its own
ROOM = 1 << 20
PATIENCE_S = 20.0
POLL_S = 1.0


@dataclass(frozen=True)
class System:
    """How a server is started, subscribed to and published to, byte for byte."""

    name: str
    command: Callable[[dict[str, int]], list[str]]  # from the ports that it may have
    hello: bytes  # of a subscriber
    subscribe: bytes
    subscribed: bytes  # by this the answer is known
    publisher_hello: bytes
    publish: Callable[[int], bytes]
    subscribers_come: str = "port"  # at which of the ports
    rival: bool = True
    ours: bool = False


def frame(data: bytes, *, text: bool) -> bytes:
    """A masked WebSocket frame; its mask is zero, which changes nothing."""
    size, first = len(data), 0x81 if text else 0x82
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2)
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8)
    return head + bytes(4) + data


def upgrade(path: str, subprotocol: str = "") -> bytes:
    """What opens a WebSocket."""
    offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    key = base64.b64encode(bytes(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"{offer}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def _tlru(codec: str) -> System:
    text = codec == "json"
    hello = upgrade("/ws", f"tlru.v1.{codec}")

    def written(number: int) -> bytes:
        if text:
            return f'{{"op":"set","key":"p:{number}","value":"{PAYLOAD.decode()}"}}\n'.encode()
        packed: bytes = msgpack.packb({"op": "set", "key": f"p:{number}", "value": PAYLOAD})
        return packed

    writes = [written(number) for number in range(KEYS_MAX)]
    subscribe = (
        b'{"id":1,"op":"subscribe","prefix":"p:"}'
        if text
        else msgpack.packb({"id": 1, "op": "subscribe", "prefix": "p:"})
    )
    return System(
        f"tlru, {codec}",
        lambda ports: [
            *(sys.executable, "-m", "tlru", "serve", "--listen", f"127.0.0.1:{ports['port']}"),
            *("--log-level", "error", "--connections", "20000"),
        ],
        hello,
        frame(subscribe, text=text),
        b"resumed",
        hello,
        lambda count: frame(b"".join(writes[:count]).rstrip(b"\n"), text=text),
        rival=False,
        ours=True,
    )


def _floors() -> list[System]:
    """What is left where a server does nothing but send: by one system call a subscriber, and by
    one for all of them."""
    folder = tempfile.mkdtemp(prefix="tlru-floor-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source, built = Path(__file__).with_name("bare_sender.c"), f"{folder}/bare_sender"
    subprocess.run([installed("gcc", "gcc"), "-O2", "-o", built, str(source)], check=True)

    def sized(count: int) -> bytes:
        data = PAYLOAD * count
        return len(data).to_bytes(4) + data

    def floor(name: str, *how: str) -> System:
        return System(
            name,
            lambda ports: [built, str(ports["port"]), *how],
            *(b"", b"s", b"subscribed"),
            *(b"p", sized),
            rival=False,
        )

    return [floor("a bare sender in C"), floor("the same by io_uring", "ring")]


def systems() -> list[System]:
    """Those that are compared; what is missing is installed, if we may."""
    redis = installed("redis-server", "redis-server")
    nats = installed("nats-server", "nats-server")
    length = len(PAYLOAD)
    resp = b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$%d\r\n%b\r\n" % (length, PAYLOAD)
    pub = b"PUB news %d\r\n%b\r\n" % (length, PAYLOAD)

    def nats_config(ports: dict[str, int]) -> list[str]:
        config = f'listen: "127.0.0.1:{ports["port"]}"\n'
        config += f'websocket {{ listen: "127.0.0.1:{ports["other"]}", no_tls: true }}\n'
        return [nats, "-c", _written(config, ports["port"])]

    connect = b'CONNECT {"verbose":false}\r\n'
    return [
        _tlru("msgpack"),
        _tlru("json"),
        System(
            "Redis",
            lambda ports: [
                *(redis, "--port", str(ports["port"]), "--save", "", "--appendonly", "no"),
            ],
            b"",
            b"SUBSCRIBE news\r\n",
            b":1\r\n",
            b"",
            lambda count: resp * count,
        ),
        System(
            "NATS over WebSocket",
            nats_config,
            upgrade("/"),
            frame(connect + b"SUB news 1\r\nPING\r\n", text=False),
            b"PONG\r\n",
            connect,
            lambda count: pub * count,
            subscribers_come="other",
        ),
        *_floors(),
    ]


def _written(config: str, port: int) -> str:
    with tempfile.NamedTemporaryFile("w", prefix=f"nats-{port}-", delete=False) as file:
        file.write(config)
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return file.name


class Crowd:
    """All subscribers, and one who publishes."""

    def __init__(self, system: System, ports: dict[str, int], subscribers: int) -> None:
        self.size = subscribers
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(subscribers):
            sock = connected(ports[system.subscribers_come], system.hello)
            sock.sendall(system.subscribe)
            read_until(sock, system.subscribed)
            sock.setblocking(False)
            self._poll.register(sock, select.EPOLLIN)
            self._sockets[sock.fileno()] = sock
        self._publisher = connected(ports["port"], system.publisher_hello)
        self._publisher.setblocking(False)
        self._poll.register(self._publisher, select.EPOLLIN)
        self._buffer = bytearray(ROOM)
        self._room = memoryview(self._buffer)[CARRY:]
        self._carried = dict.fromkeys(self._sockets, bytes(CARRY))
        self._unsent = b""

    def close(self) -> None:
        """Let all of them go."""
        for sock in (*self._sockets.values(), self._publisher):
            sock.close()
        self._poll.close()

    def burst(self, data: bytes, messages: int) -> list[float]:
        """Publish so many messages, and wait until all have come to all; how long after the
        publishing each read was that brought some, once for each message."""
        began = time.perf_counter()
        self._publish(data)
        wanted = messages * self.size
        after: list[float] = []
        while len(after) < wanted:
            came = self._read()
            passed = time.perf_counter() - began
            after += [passed] * came
            if passed > PATIENCE_S:
                raise SystemExit(f"{wanted - len(after):,} of {wanted:,} messages never came")
        assert len(after) == wanted, f"{len(after) - wanted:,} messages too many"
        return after

    def _publish(self, data: bytes) -> None:
        self._unsent += data
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self._publisher.send(self._unsent) :]

    def _read(self) -> int:
        """How many messages have come in the meantime."""
        if self._unsent:
            self._publish(b"")
        came, buffer = 0, self._buffer
        for number, _ in self._poll.poll(POLL_S):
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


def connected(port: int, hello: bytes) -> socket.socket:
    """A connection, upgraded where the hello asks for that."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    if hello:
        sock.sendall(hello)
        if hello.startswith(b"GET"):
            read_until(sock, b"\r\n\r\n")
    return sock


def read_until(sock: socket.socket, end: bytes) -> None:
    """Read on until this has come."""
    data = b""
    while end not in data:
        more = sock.recv(ROOM)
        if not more:
            raise SystemExit(f"the server said {data[:200]!r} and closed")
        data += more
