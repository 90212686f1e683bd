"""A subscriber that was written from the protocol's page alone, and the log that judges it.

It takes a subscription from node to node: it goes on by `since` wherever it can, leaves now and
then, reads slowly or not at all for a while, and writes down all that it is told. What is told is
turned into the simulation's records, so that the same checker judges both.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from peers.disk.store import Store
from tests.simulation.following import Began, Held, Listed, Pushed, Reset, Told
from tlru.engine.events import Event, EventType
from tlru.engine.machine import Machine
from tlru.node.seats import LOG_FOLDER, STATE_FOLDER

JSON, MSGPACK = "tlru.v1.json", "tlru.v1.msgpack"
SILENCE_S = 3.0  # then somebody leaves: a node says something more often (`--mark-s`)
CONNECT_S = 3.0
RECEIVE_BYTES = 4 << 10  # the kernel's, of a slow reader
# Of a slow reader, in bytes. On loopback segments are so large that the kernel would take megabytes
# for it that are not read, and its node would never find that it is slow.
SEGMENT = 536
TROUBLES = (OSError, TimeoutError, WebSocketException)


@lru_cache(maxsize=4_096)
def messages_of(data: bytes | str) -> tuple[Any, ...]:
    """What is in a WebSocket message. Many subscribers are sent the same bytes."""
    if isinstance(data, str):
        return tuple(json.loads(line) for line in data.split("\n"))
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return tuple(unpacker)


@lru_cache(maxsize=4_096)
def told_by(data: bytes | str, fold: bool) -> tuple[tuple[int, Told], ...]:
    """The pushes of feeds in a WebSocket message, each with the number of the feed."""
    is_json = isinstance(data, str)
    return tuple(
        (message["feed"], _told(message, is_json, fold))
        for message in messages_of(data)
        if "feed" in message and "push" in message
    )


def _told(message: dict[str, Any], is_json: bool, fold: bool) -> Told:
    upto = message["upto"]
    match message["push"]:
        case "events":
            events = tuple(_event(each, is_json) for each in message["events"])
            if not fold:
                assert not any("folded" in each for each in message["events"])
                return Pushed(upto, events)
            counts = tuple(each.get("folded", 0) + 1 for each in message["events"])
            return Pushed(upto, events, counts, more=None)
        case "snapshot":
            now = message["time"]
            items = tuple((each["key"], _held(each, now, is_json)) for each in message["items"])
            return Listed(upto, now, items, message.get("last", False))
        case "reset":
            return Reset(upto)
        case other:
            raise AssertionError(f"a push of a kind that nobody asked for: {other}")


def _value(value: Any, is_json: bool) -> Any:
    return msgpack.packb(value) if is_json and value is not None else value


def _ends(fields: dict[str, Any], since: int) -> int | None:
    return since + round(fields["ttl"] * 1000) if "ttl" in fields else None


def _event(told: dict[str, Any], is_json: bool) -> Event:
    at = told["at"]
    return Event(
        EventType(told["type"]),
        told["key"],
        told["version"],
        at,
        _value(told.get("value"), is_json),
        _ends(told, at),
        told.get("rev"),
        told.get("mime"),
    )


def _held(told: dict[str, Any], now: int, is_json: bool) -> Held:
    value = _value(told["value"], is_json)
    rev, mime = told.get("rev"), told.get("mime")
    return Held(value, told["version"], told["at"], _ends(told, now), rev, mime)


class Line:
    """A connection, in one encoding or the other."""

    def __init__(self, socket: ClientConnection, codec: str) -> None:
        self._socket = socket
        self.codec = codec
        self._number = 0
        self._before: list[bytes | str] = []  # what came before the answer that was waited for

    async def ask(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Send requests in one WebSocket message; their answers, in the same order."""
        numbered = {self._number + n: each for n, each in enumerate(requests, 1)}
        self._number += len(requests)
        messages = [{"id": number, **each} for number, each in numbered.items()]
        if self.codec == JSON:
            await self._socket.send("\n".join(json.dumps(each) for each in messages))
        else:
            await self._socket.send(b"".join(msgpack.packb(each) for each in messages))
        answers: dict[int, dict[str, Any]] = {}
        async with asyncio.timeout(SILENCE_S):
            while answers.keys() != numbered.keys():
                data = await self._socket.recv()
                for message in messages_of(data):
                    if "id" in message:
                        answers[message["id"]] = message
                self._before.append(data)
        return [answers[number] for number in numbered]

    async def receive(self) -> bytes | str:
        """The next WebSocket message, also those that came with answers."""
        if self._before:
            return self._before.pop(0)
        async with asyncio.timeout(SILENCE_S):
            return await self._socket.recv()


def line_to(url: str, codec: str, *, narrow: bool = False) -> connect:
    """A connection to a node; `narrow`: it takes little that is not read."""
    more: dict[str, Any] = {}
    if narrow:
        target = urlsplit(url)
        assert target.hostname is not None
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        sock.settimeout(CONNECT_S)
        try:
            sock.connect((target.hostname, target.port))
        except OSError:
            sock.close()
            raise
        more["sock"] = sock
    return connect(
        url,
        subprotocols=[Subprotocol(codec)],
        compression=None,
        max_size=None,
        max_queue=2,
        proxy=None,
        open_timeout=CONNECT_S,
        close_timeout=0.2,
        ping_interval=None,
        **more,
    )


@dataclass
class Kind:
    """How somebody subscribes and reads."""

    pattern: str
    codec: str
    snapshot: bool = False
    fold: bool = False
    slow: bool = False


@dataclass
class Follower:
    """One subscription, over many connections."""

    name: str
    kind: Kind
    urls: Sequence[str]
    counts: Counter[str]
    chance: random.Random
    told: list[Told] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    pos: int = 0
    whole: bool = False  # it knows what there is, as far as it asked for that
    hurry: bool = False  # no more standing still
    _leaves_at: float = 0.0

    async def follow(self) -> None:
        """Subscribe somewhere, read until that ends, and again."""
        while True:
            url = self.chance.choice(self.urls)
            try:
                async with line_to(url, self.kind.codec, narrow=self.kind.slow) as socket:
                    line = Line(socket, self.kind.codec)
                    feed = await self._subscribe(line)
                    if feed is not None:
                        await self._read(line, feed)
            except TROUBLES as exc:
                self.counts[f"connections ended by {type(exc).__name__}"] += 1
                await asyncio.sleep(0.1)

    async def _subscribe(self, line: Line) -> int | None:
        kind = self.kind
        wanted = {"pattern": kind.pattern, "snapshot": kind.snapshot, "fold": kind.fold}
        since = None
        if self.epochs and self.whole:
            since = self.pos
            wanted["since"] = {"epoch": self.epochs[-1], "pos": since}
        hello, answer = await line.ask({"op": "hello"}, {"op": "subscribe", **wanted})
        if not answer["ok"]:
            self.counts[f"subscriptions refused: {answer['error']['code']}"] += 1
            await asyncio.sleep(0.1)
            return None
        if hello["epoch"] not in self.epochs:
            self.epochs.append(hello["epoch"])
        self.counts["subscriptions"] += 1
        self.counts["feeds resumed"] += answer["resumed"]
        self._note(Began(answer["upto"], since, answer["resumed"]))
        feed: int = answer["feed"]
        return feed

    async def _read(self, line: Line, feed: int) -> None:
        self._leaves_at = time.monotonic() + self.chance.expovariate(1 / 8)
        while self.hurry or time.monotonic() < self._leaves_at:
            data = await line.receive()
            for number, told in told_by(data, self.kind.fold):
                assert number == feed, f"a push of feed {number}, having subscribed to {feed}"
                self._note(told)
            if self.kind.slow and not self.hurry:
                await self._dawdle()
        self.counts["subscribers moved"] += 1

    async def _dawdle(self) -> None:
        await asyncio.sleep(self.chance.random() * 0.05)
        if self.chance.random() < 0.05:
            self.counts["subscribers that stopped reading"] += 1
            await asyncio.sleep(self.chance.uniform(0.5, 4))

    def _note(self, told: Told) -> None:
        self.told.append(told)
        match told:
            case Began(resumed=True):
                return
            case Began(since=since):
                self.whole = not self.kind.snapshot and since is None
            case Reset():
                self.counts["feeds reset"] += 1
                self.whole = not self.kind.snapshot
            case Listed():
                self.counts["snapshot parts told"] += 1
                self.counts["snapshots told"] += told.last
                self.whole = told.last
            case Pushed(events=events, counts=counts):
                self.counts["events told"] += len(events)
                self.counts["marks told"] += not events
                if counts is not None:
                    self.counts["events folded away"] += sum(counts) - len(counts)
        self.pos = told.upto


def events_of_log(folder: Path) -> Iterator[Event]:
    """What the log in a node's data directory led to, from its first entry on. The node is over."""
    store = Store(folder / STATE_FOLDER, folder / LOG_FOLDER)
    found = store.open()
    with closing(_Closing(store)):
        assert found.log.base.position.index == 0, "the log is there from its beginning"
        machine = Machine()
        for entry in found.log.entries(0, found.log.last.index):
            yield from machine.apply([entry]).events


class _Closing:
    """A store that is looked at, and not stopped in order."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def close(self) -> None:
        self._store.close(clean=False)
