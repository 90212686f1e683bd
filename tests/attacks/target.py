"""What is attacked: how an attacker reaches it, for how long he goes on, and what he hears."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tlru.wire import frames

CONTINUATION, CLOSE, PING = 0x0, 0x8, 0x9
FINAL, COMPRESSED = 0x80, 0x40
MASK = b"abcd"
HEAD_END = b"\r\n\r\n"

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def frame(first: int, payload: bytes) -> bytes:
    """A client's frame, whatever its first byte says."""
    return frames.frame(payload, first, MASK)


def head(target: str, *lines: str, method: str = "GET") -> bytes:
    """The head of a request."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


def upgrade(*lines: str, codec: str = "tlru.v1.json") -> bytes:
    """The head of a WebSocket's handshake."""
    return head(
        "/ws",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {codec}",
        *lines,
    )


@dataclass
class Target:
    """A node, and how it is to be attacked."""

    port: int
    token: str  # of the least important class
    seconds: float
    mesh: int = 0  # the port where its peers reach it, of a node that has any
    heard: Counter[str] = field(default_factory=Counter)  # what the node answered, and how often
    sockets: list[asyncio.StreamWriter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.end = time.monotonic() + self.seconds

    @property
    def lasts(self) -> bool:
        """Whether the attack goes on."""
        return time.monotonic() < self.end

    async def paced(self, rate: float) -> AsyncIterator[int]:
        """So many turns a second until the attack is over; one that is late is left out."""
        turn, due = 0, time.monotonic()
        while self.lasts:
            yield turn
            turn, due = turn + 1, max(due + 1 / rate, time.monotonic() - 0.05)
            await asyncio.sleep(max(0.0, min(due, self.end) - time.monotonic()))

    async def open(self, tls: ssl.SSLContext | None = None, port: int | None = None) -> Pair:
        """One connection, which stays until the attack is over unless it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port, ssl=tls)
        self.sockets.append(writer)
        return reader, writer

    async def socket(self, *lines: str, codec: str = "tlru.v1.json", known: bool = True) -> Pair:
        """A WebSocket, by default of a client that has said who he is."""
        reader, writer = await self.open()
        if known:
            lines = (*lines, f"Authorization: Bearer {self.token}")
        writer.write(upgrade(*lines, codec=codec))
        await reader.readuntil(HEAD_END)
        return reader, writer

    def drop(self, writer: asyncio.StreamWriter) -> None:
        """One connection less."""
        self.sockets.remove(writer)
        writer.transport.abort()

    def drop_all(self) -> None:
        """The attack is over."""
        for writer in self.sockets:
            writer.transport.abort()

    async def once(self, data: bytes, within_s: float = 2.0, port: int | None = None) -> None:
        """A connection for these bytes; what comes back is noted."""
        try:
            reader, writer = await self.open(port=port)
        except OSError:
            self.heard["no connection"] += 1
            return
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await self.note(reader, within_s)
        self.drop(writer)

    async def note(self, reader: asyncio.StreamReader, within_s: float = 2.0) -> None:
        """Note an answer, of HTTP or of a WebSocket."""
        try:
            async with asyncio.timeout(within_s):
                self.heard[said(await reader.read(1 << 16))] += 1
        except TimeoutError:
            self.heard["nothing"] += 1
        except ConnectionError:
            self.heard["cut"] += 1

    async def count(self, reader: asyncio.StreamReader) -> None:
        """Read on until the end; how it ended is noted."""
        last = b""
        with contextlib.suppress(ConnectionError):
            while more := await reader.read(1 << 16):
                last = more
        self.heard[said(last)] += 1


def said(data: bytes) -> str:
    """What bytes of a node say, in a word."""
    if not data:
        return "cut"
    if data.startswith(b"HTTP/"):
        return data.split(b" ", 2)[1].decode()
    if data[0] == FINAL | CLOSE and len(data) >= 4:
        return f"close {int.from_bytes(data[2:4], 'big')}"
    if (at := data.rfind(b'"code":"')) >= 0:
        return data[at + 8 :].split(b'"', 1)[0].decode()
    return "served" if b'"ok":true' in data else f"frame {data[0]:#x}"


Attack = Callable[[Target], Awaitable[object]]


async def carry_out(attack: Attack, target: Target) -> Counter[str]:
    """Attack until the time is over; what the node answered."""
    try:
        async with asyncio.timeout(target.seconds + 0.5):
            await attack(target)
            while target.lasts:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
        if not isinstance(error, TimeoutError):
            target.heard["cut"] += 1
    finally:
        target.drop_all()
    return target.heard


def incr(number: int) -> bytes:
    """A request that is carried out."""
    return json.dumps({"id": number, "op": "incr", "key": f"attack{number % 50}"}).encode()
