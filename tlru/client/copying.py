"""What near copies and mirrors have in common: a feed that keeps a copy as it should be.

It decides when a copy is relied on. A node says at least every `mark_s` seconds how far it has told
a feed; a copy that has heard nothing for three times as long, or whose connection is gone, is not
relied on until it has caught up.

Who writes through this client sees what it wrote: a call that writes to keys of a copy ends when
the copy has come to the version of that write, which is a matter of the message behind its reply.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from tlru.client.changes import Place, Topic
from tlru.client.copies import OVER, Copies
from tlru.client.exchange import Exchange
from tlru.client.feed import Feed
from tlru.client.results import Reply
from tlru.errors import TlruError, Unavailable

T = TypeVar("T")
Stale: TypeAlias = Literal["serve", "miss", "raise"]

MARKS_MISSED: Final = 3
SEEN_WITHIN_S: Final = 1.0  # after a write; then the copy is not relied on until it has heard more


class Keeping(Generic[T]):
    """The sink of a copy's feed. It knows nothing of who reads, so that it can outlive them."""

    patient = True

    def __init__(self, copies: Copies[T], topic: Topic, exchange: Exchange) -> None:
        self.copies = copies
        self.topic = topic
        self.error: TlruError | None = None
        self.told: Callable[[str, Place, Sequence[Reply]], None] | None = None
        self.begun_anew: Callable[[str, Place], None] | None = None
        self.doubted: Callable[[str], None] | None = None
        self._exchange = exchange
        self._owed = 0  # the version of a write that its caller did not wait for any longer
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def coherent(self) -> bool:
        """Whether the copy can be relied on now."""
        return self.error is None and monotonic() < self.copies.coherent_until

    # The sink.

    def begun(self, place: Place, reset: str | None) -> None:
        """It begins here; anew, where `reset` says why."""
        self.copies.begin(place, anew=reset is not None)
        self._owed = 0  # it may be of another epoch; and what begins now is not behind it
        if reset is not None and self.begun_anew is not None:
            self.begun_anew(reset, place)

    def events(self, start: Place, upto: int, events: Sequence[Reply]) -> bool:
        """What happened between these points."""
        self.copies.events(Place(start.epoch, upto), events, self.born())
        if events and self.told is not None:
            self.told("events", start, events)
        while self.copies.doubted:
            key = self.copies.doubted.pop()
            if self.doubted is not None:
                self.doubted(key)
        return self._goes_on()

    def items(self, upto: Place, time: int, items: Sequence[Reply], last: bool) -> bool:
        """A part of what there is."""
        self.copies.items(upto, time, items, self.born(), last=last)
        if items and self.told is not None:
            self.told("items", upto, items)
        return self._goes_on()

    def linked(self, linked: bool) -> None:
        """Whether all is told as it happens; said again with everything that comes."""
        place = self.copies.place
        there = linked and place is not None and place.pos >= self._owed
        trusted = MARKS_MISSED * self._exchange.limits.mark_s
        self.copies.trust(monotonic() + trusted if there else OVER)
        self._wake()

    def ended(self, error: TlruError) -> None:
        """Nothing more will come."""
        if self.error is None:
            self.error = error
        self.copies.trust(OVER)
        self._wake()

    def forked(self, error: TlruError) -> None:
        """The same in a child of the process, where nobody waits: who does is in the parent."""
        self.error = error
        self.copies.trust(OVER)

    def _goes_on(self) -> bool:
        if not self.copies.too_large:
            return True
        what = f"there is more under {self.topic} than its mirror may hold"
        self.ended(Unavailable(f"{what}; give it a larger `max_entries`, or mirror less"))
        return False

    # What others need of it.

    def born(self) -> float:
        """The local moment of cluster time 0, as far as is known."""
        now = monotonic()
        return now - self._exchange.session.cluster_ms(now) / 1000

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so that only a push can change."""
        while not holds():
            future: asyncio.Future[None] = self._exchange.loop.create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    def covers(self, fields: dict[str, Any]) -> bool:
        """Whether all keys that a write names are in the copy, so that its event will come."""
        keys: Iterable[str]
        if "key" in fields:
            keys = (fields["key"],)
        elif "items" in fields:
            keys = [item["key"] for item in fields["items"]]
        else:
            keys = fields.get("keys") or ()
        kind, text = self.topic
        named = list(keys)
        return bool(named) and all(
            key == text if kind == "key" else key.startswith(text) for key in named
        )

    async def has_seen(self, version: int) -> None:
        """Wait until the copy has come to a version, as long as it can be relied on."""
        copies = self.copies

        def is_there() -> bool:
            return not self.coherent or copies.place is None or copies.place.pos >= version

        if is_there():
            return
        try:
            async with asyncio.timeout(SEEN_WITHIN_S):
                await self.until(is_there)
        except TimeoutError:
            self._owed = max(self._owed, version)
            copies.trust(OVER)

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


class Copy(Generic[T]):
    """A copy that somebody holds: it is kept up until it is closed, or dropped."""

    def __init__(self, copies: Copies[T], topic: Topic, send: str) -> None:
        self._copies = copies
        self._topic = topic
        self._send = send
        self._keeping: Keeping[T] | None = None
        self._end: weakref.finalize[Any, Any] | None = None

    def _begin(self, exchange: Exchange, *, snapshot: bool) -> Keeping[T]:
        keeping = Keeping(self._copies, self._topic, exchange)
        feed = Feed(keeping, snapshot=snapshot, fold=True)
        end = partial(_end, exchange, self._topic, self._send, feed, keeping)
        self._end = weakref.finalize(self, _in_loop, exchange.loop, end)
        self._end.atexit = False
        self._keeping = keeping
        exchange.copies.add(keeping)
        exchange.feeds.add(self._topic, self._send, feed)
        return keeping

    @property
    def coherent(self) -> bool:
        """Whether the copy is as the cluster is: all has been told, and will be as it happens."""
        return self._keeping is not None and self._keeping.coherent

    @property
    def position(self) -> str | None:
        """How far the copy has come; None before it has begun."""
        place = self._copies.place
        return None if place is None else str(place)

    async def close(self) -> None:
        """Keep it up no more."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None and self._end is not None:
            self._end()
            keeping.ended(Unavailable(f"the copy of {self._topic} has been closed"))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _in_loop(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    """Garbage may be collected in any thread."""
    try:
        loop.call_soon_threadsafe(act)
    except RuntimeError:
        return  # the loop has ended, and all feeds with it


def _end(exchange: Exchange, topic: Topic, send: str, feed: Feed, keeping: Keeping[Any]) -> None:
    exchange.copies.discard(keeping)
    exchange.feeds.remove(topic, send, feed)


async def seen(answer: Awaitable[Reply], keepings: Sequence[Keeping[Any]]) -> Reply:
    """The reply to a write, once the copies that it concerns have come to it."""
    reply = await answer
    version = reply.get("version")
    done = reply.get("applied", True) and reply.get("deleted", 1)
    if version is not None and done:
        for keeping in keepings:
            await keeping.has_seen(version)
    return reply
