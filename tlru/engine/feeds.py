"""Feeds: what has happened, to everyone who asked for it, in order, each once.

Pure: the node's shell and the simulation drive the same code. A pattern in one encoding is a feed.
What came in one turn is encoded once a feed and handed to all of its live readers as it is. A
reader that does not keep up leaves the live feed: it has a place among the retained events and is
given what follows at its own pace, and is live again once it has come to the end. So nobody's
slowness costs another reader time, or the node memory.

Invariants: a live reader has been given everything before `flushed`; one that is behind, all before
its `number`. What a reader gets is never more than one step ahead of what its sink takes. A
snapshot holds what was set by its `upto` and is there; what has happened since follows as events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import count
from typing import Generic, NamedTuple, Protocol, TypeVar

from tlru.engine.chunks import KEPT_MAX, Chunks, Kept
from tlru.engine.events import Event
from tlru.engine.folding import Folded, fold
from tlru.engine.items import Item
from tlru.engine.patterns import Kind, Pattern, Watched
from tlru.engine.retained import Retained

LOOKS_A_STEP = 2_000  # events or items looked at for one reader, before another has its turn
STEPS_A_TURN = 16
SERVED_BYTES_MIN = 128 << 10  # in a turn, whoever else waits; else some would never come to the end
WAITS_OF = 8  # parts of what is retained; nobody is made to wait for more than one
EVENT_BYTES = 64  # of an event in a message, beside key and value

GONE = -1  # the number of no event: the point that the reader stood at is not there


class Push(Protocol):
    """What a reader is given."""

    @property
    def upto(self) -> int:
        """The last version in it, or how far the feed has come."""

    @property
    def size(self) -> int:
        """In bytes."""


D = TypeVar("D", bound=Push)
D_co = TypeVar("D_co", bound=Push, covariant=True)
D_contra = TypeVar("D_contra", bound=Push, contravariant=True)


class Encoding(Protocol[D_co]):
    """How a feed's pushes are written."""

    bytes_max: int

    def events(self, feed: int, events: Sequence[Event], upto: int) -> Sequence[D_co]:
        """Events in as few messages as may be: at least one, of which the last says `upto`."""

    def folded(self, feed: int, events: Sequence[Folded], upto: int) -> Sequence[D_co]:
        """The same, of events that stand for several."""

    def snapshot(
        self, feed: int, upto: int, now: int, items: Sequence[Item], *, last: bool
    ) -> D_co:
        """A part of what there is."""

    def reset(self, feed: int, reason: str, upto: int) -> D_co:
        """The reader begins anew."""


class Sink(Protocol[D_contra]):
    """Where a reader's pushes go."""

    @property
    def stalled(self) -> bool:
        """Whether it takes nothing more for now. Who changes that back wakes its readers."""

    def deliver(self, data: D_contra) -> bool:
        """Take a push; whether it takes more."""


class Source(Protocol):
    """The items of which a snapshot is told: the machine's state."""

    at: int

    def look(self, key: str, now: int) -> Item | None:
        """The item under a key of users, if it is alive; that does not count as a use."""

    def scan(self, prefix: str, after: str | None, now: int) -> Iterator[tuple[str, Item]]:
        """The users' living items with a prefix that follow a key, in the order of their keys."""


class Reader(Generic[D]):
    """One subscription."""

    __slots__ = ("feed", "fold", "live", "number", "queued", "sink", "snapshot", "upto", "walk")

    def __init__(self, feed: Feed[D], sink: Sink[D], *, snapshot: bool, fold: bool) -> None:
        self.feed = feed
        self.sink = sink
        self.snapshot, self.fold = snapshot, fold  # what was asked for
        self.live = False
        self.number = GONE  # the first event that it has not been given; kept while it is behind
        self.upto = 0  # the position of its snapshot
        self.walk: str | None = None  # the last key that the snapshot told of, while it is told
        self.queued = False


class Feed(Generic[D]):
    """A pattern in one encoding, and who reads it."""

    __slots__ = (
        "chunks",
        "encoding",
        "live",
        "name",
        "number",
        "pattern",
        "pending",
        "quiet",
        "readers",
    )

    def __init__(
        self, number: int, name: Hashable, pattern: Pattern, encoding: Encoding[D]
    ) -> None:
        self.number = number
        self.name = name
        self.pattern = pattern
        self.encoding = encoding
        self.readers = 0
        self.live: dict[Reader[D], None] = {}
        self.pending: list[Event] = []  # of this turn
        self.quiet = 0.0  # for so long it has said nothing, as far as somebody counts
        self.chunks: Kept[D] = {}


class Since(NamedTuple):
    """Where a reader was."""

    pos: int
    same_epoch: bool


class Feeds(Generic[D]):
    """All feeds of one cache on one node."""

    def __init__(
        self,
        source: Source,
        bytes_max: int,
        given: Callable[[D, int], None] = lambda push, readers: None,
        lets: Callable[[Sink[D]], bool] = lambda sink: True,
    ) -> None:
        """`given` hears of each push to how many readers it was handed; `lets` is asked where much
        is handed out whether a sink may have it now, or lets somebody more important go first."""
        self.retained = Retained(bytes_max)
        self._given = given
        self._lets = lets
        self._chunks: Chunks[D] = Chunks()
        self._served = 0  # bytes, to those that are behind, in this turn
        self.flushed = 0  # the number of the first event that live readers were not given
        self.upto = 0  # the position that they have come to
        self.ready: deque[Reader[D]] = deque()  # behind, with sinks that took more when last seen
        self.feeds: dict[Hashable, Feed[D]] = {}
        self.resets = 0
        self._source = source
        self._watched: Watched[Feed[D]] = Watched()
        self._numbers = count(1)

    # -- what happens

    def extend(self, events: Sequence[Event]) -> None:
        """More has happened; `flush` tells of it."""
        self.retained.extend(events)

    def flush(self, upto: int) -> None:
        """Give all live readers what has happened since; the log has been applied up to here."""
        retained, start = self.retained, self.flushed
        end = self.flushed = retained.end
        self.upto = upto
        if start == end:
            return
        if not retained.has(start):
            self._leave_behind()
            return
        if not self.feeds:
            return
        touched: list[Feed[D]] = []
        of = self._watched.of
        for event in retained.events[start - retained.first :]:
            for feed in of(event):
                if not feed.pending:
                    touched.append(feed)
                feed.pending.append(event)
        for feed in touched:
            pending, feed.pending = feed.pending, []
            if feed.live:
                self._spread(feed, feed.encoding.events(feed.number, pending, upto), start)

    def _spread(self, feed: Feed[D], pushes: Sequence[D], start: int) -> None:
        """Hand the same messages to every live reader. Those that do not take all fall behind, and
        those that let others go first while a large value is handed out. (Who is behind is given
        less in a turn, so that only what is large is worth it.)"""
        feed.quiet = 0.0
        behind: list[tuple[Reader[D], int]] = []
        final = len(pushes) - 1
        large = self._large(pushes, feed.encoding.bytes_max)
        for reader in feed.live:
            sink = reader.sink
            if sink.stalled or (large and not self._lets(sink)):
                behind.append((reader, start))
                continue
            for place, push in enumerate(pushes):
                if not sink.deliver(push) and place < final:
                    behind.append((reader, self._after(push.upto)))
                    for part in pushes[: place + 1]:
                        self._given(part, 1)
                    break
        for push in pushes:  # counted together: this is what has to be short, with many readers
            self._given(push, len(feed.live) - len(behind))
        for reader, number in behind:
            del feed.live[reader]
            reader.live, reader.number = False, number
        waiting = [reader for reader, _ in behind if not reader.sink.stalled]
        for reader in waiting:
            self.wake(reader)
        if waiting:
            self._keep(feed, pushes, start)

    def _keep(self, feed: Feed[D], pushes: Sequence[D], start: int) -> None:
        """Keep what was made for those who were made to wait for it."""
        for push in pushes[:KEPT_MAX]:
            end = self.flushed if push is pushes[-1] else self._after(push.upto)
            self._chunks.keep(feed.chunks, start, (push,), end)
            start = end

    def _large(self, pushes: Sequence[D], bytes_max: int) -> bool:
        """Whether there is a value among them that is larger than messages are, and yet not so
        large that somebody who waits for it could lose its place."""
        largest = max(push.size for push in pushes)
        return bytes_max < largest < self.retained.bytes_max // WAITS_OF

    def _after(self, pos: int) -> int:
        number = self.retained.after(pos)
        return GONE if number is None else number

    def mark(self, feed: Feed[D]) -> Iterator[None]:
        """Say how far the feed has come, though nothing has happened: a reader at each step, since
        there can be many. What happens between two steps is no harm."""
        feed.quiet = 0.0
        push: D | None = None
        for reader in list(feed.live):
            if reader in feed.live and not reader.sink.stalled:
                if push is None or push.upto != self.upto:
                    (push,) = feed.encoding.events(feed.number, (), self.upto)
                self._give(reader, push)
                yield

    def _give(self, reader: Reader[D], push: D) -> None:
        reader.sink.deliver(push)
        self._served += push.size
        self._given(push, 1)

    def begin_anew(self, source: Source, upto: int) -> None:
        """The state was replaced, and nobody knows by which events: everyone begins anew."""
        self._source = source
        self.retained.begin_anew(upto)
        self.flushed, self.upto = self.retained.end, upto
        self._leave_behind()

    def _leave_behind(self) -> None:
        for feed in self.feeds.values():
            for reader in feed.live:
                reader.live, reader.number = False, GONE
                self.wake(reader)
            feed.live.clear()
            self._chunks.clear(feed.chunks)

    # -- who reads

    def subscribe(
        self,
        pattern: Pattern,
        name: Hashable,
        encoding: Callable[[], Encoding[D]],
        sink: Sink[D],
        *,
        since: Since | None = None,
        snapshot: bool = False,
        fold: bool = False,
    ) -> tuple[Reader[D], bool]:
        """A new reader, and whether it goes on from where it was. `flush` goes before. `name` is
        that of the encoding; nothing is delivered before the caller has said so much."""
        full_name = (pattern, name)
        feed = self.feeds.get(full_name)
        if feed is None:
            feed = Feed(next(self._numbers), full_name, pattern, encoding())
            self.feeds[full_name] = feed
            self._watched.add(pattern, feed)
        feed.readers += 1
        reader = Reader(feed, sink, snapshot=snapshot, fold=fold)
        reader.number, reader.upto = self.flushed, self.upto
        resumed = False
        if since is not None:
            reader.number = self._after(since.pos) if since.same_epoch else GONE
            resumed = reader.number != GONE
            reader.upto = since.pos if resumed else self.upto
        elif snapshot:
            reader.walk = ""
        if reader.number == self.flushed and reader.walk is None and since is None:
            self._go_live(reader)
        else:
            self.wake(reader)
        return reader, resumed

    def unsubscribe(self, reader: Reader[D]) -> None:
        """It reads no more."""
        feed = reader.feed
        feed.live.pop(reader, None)
        reader.live, reader.queued = True, True  # nobody serves it again
        feed.readers -= 1
        if not feed.readers:
            del self.feeds[feed.name]
            self._watched.remove(feed.pattern, feed)
        self._keep_chunks(feed)

    def end(self, reader: Reader[D], push: D) -> None:
        """It reads no more, and is told why."""
        self._give(reader, push)
        self.unsubscribe(reader)

    def wake(self, reader: Reader[D]) -> None:
        """Its sink may take more."""
        if not (reader.live or reader.queued):
            reader.queued = True
            self.ready.append(reader)

    @property
    def readers(self) -> int:
        """How many subscriptions there are."""
        return sum(feed.readers for feed in self.feeds.values())

    @property
    def behind(self) -> int:
        """How many of their readers are served from what is retained."""
        return sum(feed.readers - len(feed.live) for feed in self.feeds.values())

    # -- those that are behind

    def serve(self) -> None:
        """Give readers that are behind a piece each, in turn, as far as one turn goes. `flush` goes
        before."""
        ready, self._served = self.ready, 0
        for _ in range(min(len(ready), STEPS_A_TURN)):
            if self._served > SERVED_BYTES_MIN and not self._lets(ready[0].sink):
                ready.rotate(-1)  # others may be more important
                continue
            reader = ready.popleft()
            if reader.live:
                continue
            reader.queued = False
            if not reader.sink.stalled:
                self._step(reader)
                if not reader.sink.stalled:
                    self.wake(reader)

    def _step(self, reader: Reader[D]) -> None:
        if not self.retained.has(reader.number):
            self._reset(reader)
        elif reader.walk is not None:
            self._walk(reader)
        else:
            self._catch_up(reader)

    def _reset(self, reader: Reader[D]) -> None:
        """The point that it stood at is gone."""
        reader.number, reader.upto = self.flushed, self.upto
        reader.walk = "" if reader.snapshot else None
        feed = reader.feed
        self.resets += 1
        reason = "the events after this position are not retained here"
        self._give(reader, feed.encoding.reset(feed.number, reason, self.upto))
        if reader.walk is None:
            self._go_live(reader)

    def _walk(self, reader: Reader[D]) -> None:
        """The next part of a snapshot. What was set after `upto` is left out: its event follows,
        as it does of what is not there any more. (That of a touch would not bring the value.)"""
        feed = reader.feed
        bytes_max, now, last = feed.encoding.bytes_max // 2, self._source.at, True
        part: list[Item] = []
        size = 0
        for looks, item in enumerate(self._items(reader, now)):
            if looks == LOOKS_A_STEP or (part and size + item.size > bytes_max):
                last = False
                break
            reader.walk = item.key
            if item.version <= reader.upto:
                part.append(item)
                size += item.size
        if part or last:
            message = feed.encoding.snapshot(feed.number, reader.upto, now, part, last=last)
            self._give(reader, message)
        if last:
            reader.walk = None
            if reader.number == self.flushed:
                self._go_live(reader)

    def _items(self, reader: Reader[D], now: int) -> Iterator[Item]:
        pattern, after = reader.feed.pattern, reader.walk or None
        if pattern.kind is Kind.PREFIX:
            yield from (item for _, item in self._source.scan(pattern.text, after, now))
        elif pattern.kind is Kind.KEY:
            item = self._source.look(pattern.text, now)
            if item is not None:
                yield item

    def _catch_up(self, reader: Reader[D]) -> None:
        """What follows, as much as leaves at once; that there is nothing more is said too, since
        whoever resumed wants to know that it has missed nothing."""
        pushes: Sequence[D] = ()
        if reader.number < self.flushed:
            pushes, reader.number = self._chunk(reader)
        feed, at_end = reader.feed, reader.number == self.flushed
        if at_end and not pushes:
            pushes = feed.encoding.events(feed.number, (), self.upto)
        for push in pushes:
            self._give(reader, push)
        if at_end:
            self._go_live(reader)

    def _go_live(self, reader: Reader[D]) -> None:
        reader.live = True
        reader.feed.live[reader] = None
        self._keep_chunks(reader.feed)

    def _keep_chunks(self, feed: Feed[D]) -> None:
        """For as long as anybody is behind; a node with many feeds would keep much for nobody."""
        if len(feed.live) == feed.readers:
            self._chunks.clear(feed.chunks)

    def _chunk(self, reader: Reader[D]) -> tuple[Sequence[D], int]:
        """Messages of the next events, and the number of the first that is not in them."""
        feed, number = reader.feed, reader.number
        if not reader.fold and (known := feed.chunks.get(number)) is not None:
            return known
        some = self.retained.some(number, self.flushed, LOOKS_A_STEP)
        taken, matched = _that_go_together(some, reader)
        end = number + taken
        upto = self.upto if end == self.flushed else some[taken - 1].version
        if not matched:
            return (), end
        if reader.fold:
            return feed.encoding.folded(feed.number, fold(matched), upto), end
        pushes = feed.encoding.events(feed.number, matched, upto)
        if end < self.flushed:
            self._chunks.keep(feed.chunks, number, pushes, end)
        return pushes, end


def _that_go_together(some: Sequence[Event], reader: Reader[D]) -> tuple[int, list[Event]]:
    """How many of the events are looked at, and which of them the reader gets: about as much as is
    one message, in whole versions. Of folded ones, what is left of a key counts once."""
    matches, bytes_max = reader.feed.pattern.matches, reader.feed.encoding.bytes_max
    matched: list[Event] = []
    sizes: dict[str, int] = {}
    total, version = 0, -1
    for taken, event in enumerate(some):
        if event.version != version:
            if total >= bytes_max // 2:
                return taken, matched
            version = event.version
        if matches(event):
            matched.append(event)
            size = len(event.key) + len(event.value or b"") + EVENT_BYTES
            total += size
            if reader.fold:
                total -= sizes.get(event.key, 0)
                sizes[event.key] = size
    return len(some), matched
