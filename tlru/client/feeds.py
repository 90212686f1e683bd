"""All that is watched over one client's connection: the shell around `trunk.py`.

It decides when subscriptions are asked for: in one message with `hello`, again after a refusal and
a pause, and at once where feeds come and go. A connection in service carries them; one that is left
for another tells on until that one has taken over, and what both tell is taken once.

Subscriptions share their connection with requests, so it is read for as long as it lives: whoever
cannot keep up is let go of (`trunk.py`), never waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from peers.resilience import Backoff
from tlru.client import replies
from tlru.client.changes import Topic
from tlru.client.connection import Connection
from tlru.client.feed import Feed
from tlru.client.requests import Request, feed_request, pack_fields
from tlru.client.results import Reply
from tlru.client.session import Session
from tlru.client.settings import Timing
from tlru.client.trunk import Subscribe, Subscription, Trunk
from tlru.errors import RateLimited, Retry, TlruError, Unauthenticated, Unavailable

logger = logging.getLogger("tlru.client")

WITH_HELLO_MAX: Final = 100  # subscriptions in one message with it; the rest follow
FORKED: Final = (
    "watches and copies belong to the process that began them, and this is a child of it; "
    "begin them anew here"
)
PUSHES: Final = frozenset(("events", "snapshot", "reset", "end"))


@dataclass(slots=True)
class _Line:
    """A trunk, and its pauses."""

    trunk: Trunk
    backoff: Backoff
    pause: asyncio.TimerHandle | None = field(default=None)


class _Asked(NamedTuple):
    """A request that is under way."""

    line: _Line
    subscription: Subscription | None  # None: it is to end


class Feeds:
    """The subscriptions of one client on one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: Session,
        timing: Timing,
        chance: Callable[[], float],
        number: Callable[[], int],
        wanted: Callable[[], None],
        *,
        renewable: bool = False,
    ) -> None:
        self._loop = loop
        self._renewable = renewable  # whether another token can be had
        self._session = session
        self._timing = timing
        self._chance = chance
        self._number = number
        self._wanted = wanted
        self._lines: dict[tuple[Topic, str], _Line] = {}
        self._connection: Connection | None = None
        self._asked: dict[int, _Asked] = {}
        self._offered: dict[int, _Asked] = {}  # on a connection that is being opened
        self._numbers: dict[int, _Line] = {}  # of the feeds of this connection
        self._ended: TlruError | None = None

    # Who watches.

    def add(self, topic: Topic, send: str, feed: Feed) -> None:
        """Give this feed what happens, from its place on."""
        if self._ended is not None:
            feed.sink.ended(replies.retold(self._ended, self._ended.message))
            return
        line = self._lines.get((topic, send))
        if line is None:
            timing = self._timing
            backoff = Backoff(self._chance, first=timing.backoff_first, most=timing.backoff_most)
            line = self._lines[topic, send] = _Line(Trunk(topic, send), backoff)
        line.trunk.add(feed)
        self._wanted()
        self._advance(line)

    def remove(self, topic: Topic, send: str, feed: Feed) -> None:
        """Give it nothing more."""
        line = self._lines.get((topic, send))
        if line is not None:
            line.trunk.remove(feed)
            self._advance(line)

    # Connections.

    def opening(self) -> list[Request]:
        """The subscriptions to ask for together with `hello`."""
        self._offered = {}
        requests = []
        for line in list(self._lines.values())[:WITH_HELLO_MAX]:
            feeds = line.trunk.feeds
            epochs = {feed.place.epoch for feed in feeds if feed.place is not None}
            if line.pause is None and feeds and len(epochs) <= 1:
                offer = line.trunk.offer()
                requests.append(self._request(line, offer, self._offered))
        return requests

    def take_up(self, connection: Connection) -> None:
        """This connection is in service now; what was offered on it is to be answered."""
        self._unlink()
        self._connection = connection
        self._asked, self._offered = self._offered, {}
        for number, (line, subscription) in self._asked.items():
            # Whoever had it asked for may have gone since, and another come for the same topic.
            line = self._lines.setdefault((line.trunk.topic, line.trunk.send), line)
            self._asked[number] = _Asked(line, subscription)
            line.trunk.subscription = subscription
        for line in list(self._lines.values()):
            self._advance(line)

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        if connection is self._connection:
            self._connection = None
            self._unlink()

    def give_up(self, error: TlruError) -> None:
        """Every server refuses us. Watchers are told; copies stay, and so it is tried again."""
        for line in list(self._lines.values()):
            leaving = [feed for feed in line.trunk.feeds if not feed.sink.patient]
            for feed in leaving:
                line.trunk.remove(feed)
                feed.sink.ended(replies.retold(error, error.message))
            self._advance(line)

    def end(self, error: TlruError) -> None:
        """The client is closed."""
        self._ended = error
        self._connection = None
        self._unlink()
        lines, self._lines = self._lines, {}
        for line in lines.values():
            self._stop_pause(line)
            for feed in list(line.trunk.feeds):
                feed.sink.ended(replies.retold(error, error.message))

    def forget(self) -> None:
        """This process is a child: what is told is told to its parent."""
        self._ended = Unavailable(FORKED)
        lines, self._lines = self._lines, {}
        for line in lines.values():
            for feed in line.trunk.feeds:
                feed.sink.forked(self._ended)

    def _unlink(self) -> None:
        self._asked = {}
        self._numbers = {}
        for line in self._lines.values():
            line.trunk.unsubscribed()
            self._tell_links(line)

    # What nodes say.

    def pushed(self, connection: Connection, message: Reply) -> bool:
        """Take what is about a feed; False where it is about something else."""
        kind = message.get("push")
        if kind not in PUSHES and message.get("id") is None:
            return False
        if connection is not self._connection:
            return True  # it was left, and its feeds with it
        try:
            if kind is None:
                self._on_reply(message)
            elif (line := self._numbers.get(message["feed"])) is not None:
                self._on_push(connection, line, kind, message)
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            logger.warning("%s says of a feed what makes no sense: %r", connection.url, exc)
            connection.abort()
        return True

    def _on_reply(self, reply: Reply) -> None:
        asked = self._asked.pop(reply["id"], None)
        if asked is None:
            return
        line, trunk = asked.line, asked.line.trunk
        if reply["ok"] is not True:
            self._on_refusal(line, replies.error(reply.get("error")))
        elif asked.subscription is None:
            number = -1 if trunk.subscription is None else trunk.subscription.number
            self._numbers.pop(number, None)
            trunk.unsubscribed()
        else:
            assert self._connection is not None, "it has answered"
            line.backoff.reset()
            self._numbers[reply["feed"]] = line
            resumed = reply.get("resumed") is True
            if resumed:
                # What was missed is on its way; until then there may be news that is not known.
                asked.subscription.wanted = self._session.pos
            trunk.subscribed(self._connection.epoch, reply["feed"], reply["upto"], resumed=resumed)
        self._advance(line)

    def _on_push(self, connection: Connection, line: _Line, kind: str, push: Reply) -> None:
        trunk = line.trunk
        if kind == "end":
            self._numbers.pop(push["feed"], None)
            trunk.unsubscribed()
            self._on_refusal(line, replies.error(push.get("error")))
            self._advance(line)
            return
        upto = push["upto"]
        at = push.get("time", 0)
        if kind == "events":
            events = push["events"]
            trunk.events(upto, events)
            at = events[-1]["at"] if events else 0
        elif kind == "snapshot":
            trunk.items(upto, at, push["items"], last=push.get("last") is True)
        else:
            trunk.reset(str(push.get("reason", "")), upto)
        # Who has been told of something will not read an older state.
        connection.pos = max(connection.pos, upto)
        connection.time = max(connection.time, at)
        self._session.saw(connection.epoch, upto, at, connection.heard)
        self._advance(line)

    def _on_refusal(self, line: _Line, error: TlruError) -> None:
        line.trunk.unsubscribed()
        # A token that has run out ends its feeds; asked for again, they are refused, and by that
        # the keeper hears of it and goes on with another one.
        renews = self._renewable and isinstance(error, Unauthenticated)
        if error.retry is Retry.NO and not renews:
            logger.warning("%s cannot be watched: %s", line.trunk.topic, error)
            feeds = list(line.trunk.feeds)
            line.trunk.feeds.clear()
            for feed in feeds:
                feed.sink.ended(replies.retold(error, error.message))
            return
        wait = line.backoff.wait()
        if isinstance(error, RateLimited):
            wait = max(wait, error.after)
        self._stop_pause(line)
        line.pause = self._loop.call_later(wait, self._on_pause_over, line)

    def _on_pause_over(self, line: _Line) -> None:
        line.pause = None
        self._advance(line)

    # What is asked of them.

    def _advance(self, line: _Line) -> None:
        """Ask for what the trunk needs next, and tell its feeds how they stand."""
        connection, trunk = self._connection, line.trunk
        if connection is not None and connection.alive and line.pause is None:
            command = trunk.next(connection.epoch)
            if isinstance(command, Subscribe):
                self._send(connection, self._request(line, command, self._asked))
            elif command is not None:
                fields = {"op": "unsubscribe", "feed": command.number}
                self._send(connection, self._pack(fields, _Asked(line, None), self._asked))
        self._tell_links(line)
        if not trunk.feeds and trunk.subscription is None:
            self._stop_pause(line)
            self._lines.pop((trunk.topic, trunk.send), None)

    def _request(self, line: _Line, command: Subscribe, asked: dict[int, _Asked]) -> Request:
        command.subscription.wanted = self._session.pos
        return self._pack(command.fields, _Asked(line, command.subscription), asked)

    def _pack(self, fields: dict[str, Any], why: _Asked, asked: dict[int, _Asked]) -> Request:
        number = self._number()
        asked[number] = why
        return feed_request(number, pack_fields({"id": number, **fields}), self._loop)

    def _send(self, connection: Connection, request: Request) -> None:
        connection.unanswered[request.number] = request
        connection.send([request.payload])

    def _tell_links(self, line: _Line) -> None:
        coherent = self._connection is not None and line.trunk.coherent
        for feed in line.trunk.feeds:
            feed.sink.linked(coherent)

    def _stop_pause(self, line: _Line) -> None:
        if line.pause is not None:
            line.pause.cancel()
            line.pause = None

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._lines)
