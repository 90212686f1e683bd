"""Subscriptions of one cache on this node: the shell of `engine/feeds.py`.

This module decides when: what a turn of the loop has brought leaves at its end, readers that are
behind have a little of every turn, and a feed on which nothing happens says now and then how far it
has come. It knows the requests and the encodings; what a reader gets is decided in the engine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol, cast

from tlru import errors
from tlru.engine.events import Event
from tlru.engine.feeds import Feeds, Reader, Since, Sink
from tlru.engine.machine import Machine
from tlru.engine.patterns import Kind, Pattern
from tlru.node.access.standing import Standing
from tlru.node.asker import Asker
from tlru.node.limits import Guard
from tlru.node.piecemeal import Piecemeal
from tlru.wire.codec import Codec
from tlru.wire.limits import Limits
from tlru.wire.pushes import EventEncoder, Push, PushEncoding
from tlru.wire.requests import WATCHED

Args = dict[str, Any]
Fields = dict[str, Any]

MARK_TICK_S = 1.0
GONE_MAX = 8_192  # feeds of connections that are gone; what is more is forgotten at once
NOT_SERVING_S = 3.0  # of a node that does not serve: then its feeds end

# A frame of events. Of a client that has stopped reading the node holds what its transport's buffer
# takes and one of these.
FRAME_BYTES = 32 << 10


class Subscriber(Asker, Sink[Push], Protocol):
    """A connection that can be told of events."""

    feeds: dict[int, Reader[Push]]
    """What it has subscribed to, by the numbers of the feeds."""

    standing: Standing
    codec: Codec
    limits: Limits
    push_bytes: int


class FeedDesk:
    """Answers `subscribe` and `unsubscribe`, and keeps the feeds going."""

    def __init__(
        self,
        machine: Machine,
        limits: Limits,
        retained_bytes: int,
        epoch: Callable[[], str],
        not_serving: Callable[[], errors.TlruError | None],
        guard: Callable[[], Guard],
    ) -> None:
        self.limits = limits
        self._machine = machine
        self._epoch = epoch
        self._not_serving = not_serving
        self._guard = guard
        self._not_serving_s = 0.0  # for so long already
        self._subscribers: dict[Subscriber, None] = {}
        self.feeds: Feeds[Push] = Feeds(machine, retained_bytes, self._count, self._lets)
        self.events_pushed = 0  # to all subscribers together
        self.bytes_pushed = 0  # before compression
        self._encoders: dict[tuple[str, bool], EventEncoder] = {}
        self._flushing = False
        self._serving = False
        self._next_marks: asyncio.TimerHandle | None = None
        self._marked_at = 0.0
        self._marks = Piecemeal(self._mark, self._mark_later)
        self._gone: deque[Reader[Push]] = deque()  # their connections are
        self._goodbyes = Piecemeal(self._forget)

    # -- what happens

    def applied(self, events: Sequence[Event]) -> None:
        """Events, in order; whoever watches is told at the end of this turn of the loop."""
        self.feeds.extend(events)
        if self.feeds.feeds and not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._tell()
        self._serve_later()

    def _tell(self) -> None:
        self.feeds.flush(self._machine.index)
        self._let_go()

    def _let_go(self) -> None:
        for encoder in self._encoders.values():
            encoder.forget()

    def _lets(self, sink: Sink[Push]) -> bool:
        """Whether somebody is told more now, or lets a more important client go first."""
        guard, standing = self._guard(), cast(Subscriber, sink).standing
        return not guard.turns.gives_way(guard.rank(standing.grant.client_class))

    def take_up(self, machine: Machine) -> None:
        """The state was replaced as a whole."""
        self._machine = machine
        self.feeds.begin_anew(machine, machine.index)
        self._serve_later()

    # -- those that are behind

    def _serve_later(self) -> None:
        if self.feeds.ready and not self._serving:
            self._serving = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._serve)  # once it has looked at its sockets

    def _serve(self) -> None:
        self._serving = False
        self.feeds.flush(self._machine.index)
        self.feeds.serve()
        self._let_go()
        self._serve_later()

    def wake(self, subscriber: Subscriber) -> None:
        """A connection takes more again."""
        for reader in subscriber.feeds.values():
            self.feeds.wake(reader)
        self._serve_later()

    def forget(self, subscriber: Subscriber) -> None:
        """A connection is gone: nothing more is delivered to it."""
        self._gone.extend(subscriber.feeds.values())
        subscriber.feeds.clear()
        self._subscribers.pop(subscriber, None)
        while len(self._gone) > GONE_MAX:
            self.feeds.unsubscribe(self._gone.popleft())
        self._goodbyes.begin()

    def _forget(self) -> Iterator[None]:
        while self._gone:
            self.feeds.unsubscribe(self._gone.popleft())
            yield

    # -- requests

    def subscribe(self, args: Args, subscriber: Subscriber) -> Fields:
        """A new feed for a connection. The reply is written before anything of the feed."""
        pattern = pattern_of(args)
        since = args.get("since")
        if len(subscriber.feeds) >= subscriber.limits.feeds:
            raise errors.TooLarge(
                f"a connection may have {subscriber.limits.feeds} feeds; unsubscribe from one, "
                "or subscribe to a prefix"
            )
        values = args.get("send", "values") == "values"
        name = (subscriber.codec.name, values, min(subscriber.push_bytes, FRAME_BYTES))
        self._refuse_twice(pattern, name, subscriber)
        self._tell()
        reader, resumed = self.feeds.subscribe(
            pattern,
            name,
            lambda: self._encoding(subscriber.codec, *name[1:]),
            subscriber,
            since=None if since is None else Since(since.pos, since.epoch == self._epoch()),
            snapshot=args.get("snapshot", False),
            fold=args.get("fold", False),
        )
        subscriber.feeds[reader.feed.number] = reader
        self._subscribers[subscriber] = None
        self._serve_later()
        if self._next_marks is None and not self._marks.under_way:
            self._marked_at = asyncio.get_running_loop().time()
            self._mark_later()
        return {"feed": reader.feed.number, "upto": reader.upto, "resumed": resumed}

    def _encoding(self, codec: Codec, values: bool, bytes_max: int) -> PushEncoding:
        encoder = self._encoders.get((codec.name, values))
        if encoder is None:
            encoder = self._encoders[codec.name, values] = EventEncoder(codec, values=values)
        return PushEncoding(encoder, bytes_max, self._epoch)

    def _refuse_twice(self, pattern: Pattern, name: Hashable, subscriber: Subscriber) -> None:
        feed = self.feeds.feeds.get((pattern, name))
        if feed is not None and feed.number in subscriber.feeds:
            raise errors.AlreadySubscribed(
                f"this connection has subscribed to {str(pattern)!r} already: feed {feed.number}"
            )

    def unsubscribe(self, args: Args, subscriber: Subscriber) -> Fields:
        """Nothing of the feed comes any more."""
        reader = subscriber.feeds.pop(args["feed"], None)
        if reader is None:
            raise errors.BadRequest(f"this connection has no feed {args['feed']}")
        self.feeds.unsubscribe(reader)
        return {}

    # -- quiet feeds

    def _mark_later(self) -> None:
        self._next_marks = None
        if self.feeds.feeds:
            loop = asyncio.get_running_loop()
            self._next_marks = loop.call_later(self._mark_tick, self._marks.begin)

    @property
    def _mark_tick(self) -> float:
        return min(MARK_TICK_S, self.limits.mark_s / 2)

    def _mark(self) -> Iterator[None]:
        """Each feed that has said nothing for long says how far it has come."""
        now = asyncio.get_running_loop().time()
        passed, self._marked_at = now - self._marked_at, now
        self._tell()
        self._look_whether_it_serves(min(passed, self._mark_tick))
        for feed in list(self.feeds.feeds.values()):
            feed.quiet += passed
            if feed.quiet > self.limits.mark_s - 1.5 * self._mark_tick:
                yield from self.feeds.mark(feed)
            yield

    def _look_whether_it_serves(self, tick: float) -> None:
        """A node that does not serve hears of no change: who watches there is sent elsewhere. Not
        at once, since each change of the leader leaves the others without one for a moment."""
        error = self._not_serving()
        self._not_serving_s = 0.0 if error is None else self._not_serving_s + tick
        if error is None or self._not_serving_s < NOT_SERVING_S:
            return
        told = error.to_wire()
        for subscriber in list(self._subscribers):
            if not subscriber.stalled:  # else it is told once it reads again
                for number, reader in subscriber.feeds.items():
                    message = {"push": "end", "feed": number, "error": told}
                    data = subscriber.codec.encode(message)
                    push = Push(data, self.feeds.upto, resumable=False, final=True)
                    self.feeds.end(reader, push)
                subscriber.feeds.clear()
                del self._subscribers[subscriber]

    def end_beyond(
        self, subscriber: Subscriber, covers: Callable[[Pattern], bool], error: errors.TlruError
    ) -> None:
        """End the feeds of a connection that are not covered (any more), and say why. Also where it
        does not read: what is not allowed does not wait, and a last word for each feed is little.
        """
        told = error.to_wire()
        for number, reader in list(subscriber.feeds.items()):
            if not covers(reader.feed.pattern):
                data = subscriber.codec.encode({"push": "end", "feed": number, "error": told})
                push = Push(data, self.feeds.upto, resumable=False, final=True)
                self.feeds.end(reader, push)
                del subscriber.feeds[number]

    def stop(self) -> None:
        """No timer is left."""
        if self._next_marks is not None:
            self._next_marks.cancel()
            self._next_marks = None
        self._marks.stop()
        self._goodbyes.stop()
        self._gone.clear()

    # -- figures

    def _count(self, push: Push, subscribers: int) -> None:
        self.events_pushed += push.events * subscribers
        self.bytes_pushed += push.size * subscribers

    def retained(self, now: int) -> Fields:
        """How far back a reader can resume."""
        window = self.feeds.retained
        oldest = window.events[0].at if window.events else now
        return {
            "entries": max(0, self._machine.index - window.base),
            "seconds": round(max(0, now - oldest) / 1000, 3),
        }


_BY_FIELD = {kind.value: kind for kind in Kind}


def pattern_of(args: Args) -> Pattern:
    """What is to be watched, said in exactly one way. BadRequest else."""
    said = [name for name in WATCHED if name in args]
    if len(said) != 1:
        raise errors.BadRequest(
            f"one of {', '.join(WATCHED)} says what to watch, not {len(said)} of them"
        )
    (name,) = said
    if name != "pattern":
        return Pattern(_BY_FIELD[name], args[name])
    pattern = Pattern.parse(args[name])
    if pattern.kind.whole and not pattern.text:
        raise errors.BadRequest("`pattern` names an empty key or channel; `*` and `#*` mean all")
    return pattern
