"""A watch: changes as they happen, for as long as somebody takes them.

It decides how much waits for a consumer that is slower than what it watches: `BUFFER_EVENTS` or
`BUFFER_BYTES`, whichever is reached first. The feed then leaves the subscription, and comes back,
from where it was, when half of that is taken. Meanwhile the node keeps what happens, folds it where
that was asked for, and says so with a `Reset` where it could not keep as much.

A snapshot cannot be taken up in the middle, so it is kept whole, up to `SNAPSHOT_BYTES`; one that
is larger ends the watch with an error.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from tlru.client.changes import (
    Change,
    Place,
    Reader,
    Reset,
    Topic,
    events_with_positions,
    items_with_positions,
    place,
)
from tlru.client.client import Client
from tlru.client.feed import Feed
from tlru.client.feeds import Feeds
from tlru.client.results import Reply
from tlru.errors import BadValue, Timeout, TlruError, TooLarge

logger = logging.getLogger("tlru.client")

T = TypeVar("T")
Send: TypeAlias = Literal["values", "keys"]

BUFFER_EVENTS: Final = 10_000
BUFFER_BYTES: Final = 16 << 20
SNAPSHOT_BYTES: Final = 256 << 20
EVENT_BYTES: Final = 200  # of an event beside its value, about
BATCH_MAX: Final = 1000
BATCH_WITHIN_S: Final = 0.1

_Told: TypeAlias = tuple[Reply | Reset, str]


class Buffer:
    """What has come for one consumer and was not taken yet: the sink of its feed."""

    patient = False

    def __init__(self, topic: Topic, *, snapshot: bool) -> None:
        self.full = False  # the feed has left the subscription
        self.begins = False
        self.error: TlruError | None = None
        self.position = ""
        self.news: asyncio.Future[None] | None = None  # somebody waits for more
        self.come_back: Callable[[], None] = _nowhere  # has the feed return
        self._topic = topic
        self._snapshot = snapshot
        self._pieces: deque[tuple[Iterator[_Told], int, int, str]] = deque()
        self._events = 0
        self._bytes = 0

    # The sink.

    def begun(self, place: Place, reset: str | None) -> None:
        """It begins here; anew, where `reset` says why."""
        self.begins = True
        # Behind this point there is something to go on from, unless a snapshot is to come first.
        at = place.within_snapshot if self._snapshot else str(place)
        if reset is not None:
            self._put([(Reset(reset, place.pos, at), at)], 1, EVENT_BYTES, at)
        elif not self._pieces:
            self.position = at
        self._wake()

    def events(self, start: Place, upto: int, events: Sequence[Reply]) -> bool:
        """What happened between these points; whether more is taken for now."""
        here = str(Place(start.epoch, upto))
        if events or self._pieces:
            self._put(events_with_positions(start, upto, events), len(events), _size(events), here)
        else:
            self.position = here
        return self._has_room()

    def items(self, upto: Place, time: int, items: Sequence[Reply], last: bool) -> bool:
        """A part of what there is; whether more is taken for now."""
        told = items_with_positions(upto, items, last=last)
        here = str(upto) if last else upto.within_snapshot
        self._put(told, len(items), _size(items), here)
        if self._bytes > SNAPSHOT_BYTES:
            what = f"the snapshot of {self._topic} is over {SNAPSHOT_BYTES} bytes"
            self.ended(TooLarge(f"{what}; walk it with items(), and watch without a snapshot"))
            return False
        return not last or self._has_room()

    def linked(self, linked: bool) -> None:
        """A watch tells what has happened, whenever it comes to know of it."""

    def ended(self, error: TlruError) -> None:
        """Nothing more will come."""
        if self.error is None:
            self.error = error
        self._wake()

    def forked(self, error: TlruError) -> None:
        """The same in a child of the process, where nobody waits: who does is in the parent."""
        self.error = error

    # The consumer.

    def __iter__(self) -> Iterator[_Told]:
        """What there is, each once, until there is nothing for now."""
        while self._pieces:
            told, events, size, here = self._pieces[0]
            for event, position in told:
                self.position = position
                yield event, position
            # What was put in meanwhile stands behind it.
            self._pieces.popleft()
            self._events -= events
            self._bytes -= size
            self.position = here
            half = self._events <= BUFFER_EVENTS // 2 and self._bytes <= BUFFER_BYTES // 2
            if self.full and half and self.error is None:
                self.full = False
                self.come_back()

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._pieces

    def _put(self, told: Any, events: int, size: int, here: str) -> None:
        self._pieces.append((iter(told), events, size, here))
        self._events += events
        self._bytes += size
        self._wake()

    def _has_room(self) -> bool:
        if self._events < BUFFER_EVENTS and self._bytes < BUFFER_BYTES:
            return True
        self.full = True
        return False

    def _wake(self) -> None:
        if self.news is not None and not self.news.done():
            self.news.set_result(None)


def _nowhere() -> None:
    raise AssertionError("a feed that was never begun cannot be full")


def _size(events: Sequence[Reply]) -> int:
    return sum(EVENT_BYTES + len(event.get("value") or b"") for event in events)


class Watch(Generic[T]):
    """Changes, in order, each once: an async iterator, and a context manager.

    It begins at the first change that is asked for; `async with` begins at once, and what happens
    within it is told. Leave it with `aclose`, or just drop it.
    """

    def __init__(
        self,
        client: Client,
        topic: Topic,
        reader: Reader[T],
        *,
        since: str | None,
        snapshot: bool,
        fold: bool,
        send: Send,
        timeout: float,
    ) -> None:
        if send not in ("values", "keys"):
            raise ValueError(f'a watch sends "values" or "keys", not {send!r}')
        self._client = client
        self._topic = topic
        self._send = send
        self._reader = reader
        self._timeout = timeout
        self._buffer = Buffer(topic, snapshot=snapshot)
        start = None if since is None else place(since)
        self._feed = Feed(self._buffer, since=start, snapshot=snapshot, fold=fold)
        if since is not None:
            self._buffer.position = since
            if start is None:
                self._feed.lose("the position is from the middle of a snapshot")
        self._leave: weakref.finalize[Any, Any] | None = None  # there is one once it has begun
        self._told = iter(self._buffer)
        self._unreadable: BadValue | None = None
        self._over = False

    def __repr__(self) -> str:
        return f"<tlru watch of {self._topic}>"

    @property
    def position(self) -> str:
        """Where a later watch goes on (`since=`) behind all that was taken from this one.

        It also moves while nothing happens, so it is worth being kept now and then.
        """
        return self._buffer.position

    # One after another.

    def __aiter__(self) -> Watch[T]:
        return self

    async def __anext__(self) -> Change[T]:
        while True:
            self._tell_unreadable()
            for event, position in self._told:
                return self._change(event, position)
            if not await self._more():
                raise StopAsyncIteration

    # Many at once.

    async def batches(
        self, max: int = BATCH_MAX, within: float = BATCH_WITHIN_S
    ) -> AsyncIterator[list[Change[T]]]:
        """Changes in lists of up to `max`: those that come within so many seconds of the first."""
        if max < 1:
            raise ValueError(f"a batch is of 1 change or more, not {max}")
        while batch := await self.take(max, within):
            yield batch

    async def take(self, max: int = BATCH_MAX, within: float = 0.0) -> list[Change[T]]:
        """The next changes, at least one; an empty list where the watch is over."""
        batch = self._ready(max)
        while not batch:
            if not await self._more():
                return []
            batch = self._ready(max)
        until = asyncio.get_running_loop().time() + within
        while len(batch) < max and self._unreadable is None:
            left = until - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(left):
                    if left <= 0 or not await self._more():
                        break
            except (TimeoutError, TlruError):
                break  # an error is raised again by the next call
            batch += self._ready(max - len(batch))
        return batch

    def _ready(self, most: int) -> list[Change[T]]:
        """What can be had without waiting. A value that cannot be read is told by itself."""
        self._tell_unreadable()
        batch: list[Change[T]] = []
        while len(batch) < most:
            try:
                event, position = next(self._told)
                batch.append(self._change(event, position))
            except StopIteration:
                break
            except BadValue as exc:
                if not batch:
                    raise
                self._unreadable = exc
                break
        return batch

    # Callbacks.

    def call(self, function: Callable[[Change[T]], Any]) -> Calling:
        """Have this called with every change (and awaited, if it gives an awaitable).

        One call is over before the next begins. What it raises is logged, and so is a value that
        cannot be read back; then comes the next change.
        """
        return Calling(self, function)

    # Beginning and end.

    async def __aenter__(self) -> Watch[T]:
        self._start()
        buffer = self._buffer
        try:
            async with asyncio.timeout(self._timeout):
                while self._feed.place is None and not buffer.begins and buffer.error is None:
                    await self._wait()
        except TimeoutError:
            await self.aclose()
            raise Timeout(
                f"no server has begun to tell of {self._topic} within {self._timeout:g} s",
                outcome_known=True,
            ) from None
        if buffer.error is not None and buffer.empty:
            raise buffer.error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more. Who waits for a change is told that there are none."""
        self._over = True
        if self._leave is not None:
            self._leave()
        self._buffer._wake()

    def _start(self) -> None:
        if self._leave is not None or self._over:
            return
        exchange = self._client.exchange()
        where = (self._topic, self._send, self._feed)
        self._leave = weakref.finalize(self, _leave, exchange.loop, exchange.feeds, *where)
        self._leave.atexit = False
        self._buffer.come_back = partial(exchange.feeds.add, *where)
        self._buffer.come_back()

    # What both ways have in common.

    def _change(self, event: Reply | Reset, position: str) -> Change[T]:
        if isinstance(event, Reset):
            return event
        return self._reader.change(event, position)

    def _tell_unreadable(self) -> None:
        if self._unreadable is not None:
            error, self._unreadable = self._unreadable, None
            raise error

    async def _more(self) -> bool:
        """Wait until there is something to take; False where the watch is over."""
        self._start()
        buffer = self._buffer
        while True:
            if self._over:
                return False
            if not buffer.empty:
                self._told = iter(buffer)
                return True
            if buffer.error is not None:
                raise buffer.error
            await self._wait()

    async def _wait(self) -> None:
        buffer = self._buffer
        if buffer.news is not None:
            raise RuntimeError(f"two take changes from one watch of {self._topic}; make two")
        buffer.news = asyncio.get_running_loop().create_future()
        try:
            await buffer.news
        finally:
            buffer.news = None


def _leave(
    loop: asyncio.AbstractEventLoop, feeds: Feeds, topic: Topic, send: Send, feed: Feed
) -> None:
    """Nobody takes from this feed any more. Garbage may be collected in any thread."""
    try:
        loop.call_soon_threadsafe(feeds.remove, topic, send, feed)
    except RuntimeError:
        return  # the loop has ended, and all feeds with it


class Calling:
    """A function that is called with every change, until `stop`."""

    def __init__(self, watch: Watch[Any], function: Callable[[Change[Any]], Any]) -> None:
        self.watch = watch
        self._function = function
        self._task = asyncio.get_running_loop().create_task(self._run(), name="tlru watch")
        _callings.add(self)
        self._task.add_done_callback(lambda _: _callings.discard(self))

    async def stop(self) -> None:
        """Call it no more. A call that is under way is cancelled."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await self.watch.aclose()

    async def wait(self) -> None:
        """Wait until nothing more will come; raises what has ended it."""
        await asyncio.shield(self._task)

    async def _run(self) -> None:
        while True:
            try:
                async for change in self.watch:
                    await self._call(change)
                return
            except BadValue as exc:
                logger.warning("a change was passed over: %s", exc)

    async def _call(self, change: Change[Any]) -> None:
        try:
            result = self._function(change)
            if inspect.isawaitable(result):
                await result
        except Exception:
            logger.exception("%r has failed on %r", self._function, change)


_callings: set[Calling] = set()  # the loop itself keeps no hold of its tasks
