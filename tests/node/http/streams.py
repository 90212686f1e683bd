"""A reader of Server-Sent Events that was written from their specification, over a bare socket.

It takes chunks and lines apart itself, so that it sees when each came, and what a client does not
read stays where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.node.http.visiting import PATIENCE_S
from tlru.node import Node


@dataclass(frozen=True)
class Said:
    """One event, a comment, or the wait that a client is asked to make; the others are empty."""

    id: str | None = None
    data: Any = None
    comment: str | None = None
    retry: int | None = None


class Listening:
    """One stream that is open."""

    def __init__(self, reader: asyncio.StreamReader, head: bytes) -> None:
        line, *rest = head.decode().rstrip("\r\n").split("\r\n")
        self.version, status, _ = line.split(" ", 2)
        self.status = int(status)
        pairs = [each.split(": ", 1) for each in rest]
        self.headers = {name.lower(): text for name, text in pairs}
        self._reader = reader
        self._chunked = self.headers.get("transfer-encoding") == "chunked"
        self._text = b""
        self.over = False  # by its own framing, not only because the connection ended

    async def _more(self) -> bool:
        if not self._chunked:
            data = await self._reader.read(1 << 16)
            self._text += data
            self.over = not data
            return bool(data)
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            self._text += (await self._reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        self.over = not size
        return size > 0

    async def anything(self) -> Said | None:
        """What comes next, whatever it is; None at the end."""
        async with asyncio.timeout(PATIENCE_S):
            while b"\n\n" not in self._text:
                if not await self._more():
                    return None
        block, _, self._text = self._text.partition(b"\n\n")
        found: dict[str, Any] = {}
        for line in block.decode().split("\n"):
            name, _, text = line.partition(":")
            text = text.removeprefix(" ")
            match name:
                case "":
                    found["comment"] = text
                case "retry":
                    found["retry"] = int(text)
                case "data":
                    assert "data" not in found, "a push is one line"
                    found["data"] = json.loads(text)
                case _:
                    assert name == "id", f"no field {name} is expected: messages have no name"
                    found[name] = text
        return Said(**found)

    async def event(self) -> Said:
        """The next event."""
        while True:
            said = await self.anything()
            assert said is not None, "the stream is over"
            if said.data is not None:
                return said

    async def events(self, count: int) -> list[Any]:
        """So many events of pushes of events, each of them once."""
        found: list[Any] = []
        while len(found) < count:
            found += (await self.event()).data.get("events", ())
        return found

    async def rest(self) -> list[Said]:
        """All that comes until the end."""
        found = []
        while (said := await self.anything()) is not None:
            found.append(said)
        return found


@contextlib.asynccontextmanager
async def listening(
    node: Node, query: str, *, version: str = "1.1", limit: int = 1 << 21, **headers: str
) -> AsyncIterator[Listening]:
    """A stream of a node; `Last_Event_ID` is the header Last-Event-ID."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=limit)
    told: Mapping[str, str] = {"Host": f"127.0.0.1:{node.port}", **headers}
    head = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in told.items())
    try:
        writer.write(f"GET /v1/events?{query} HTTP/{version}\r\n{head}\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            yield Listening(reader, await reader.readuntil(b"\r\n\r\n"))
    finally:
        writer.transport.abort()
