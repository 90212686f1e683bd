"""What is asked and what is answered, on one event loop.

It decides when requests leave. Which connection there is, the keeper decides; what a message holds,
the outbox; what becomes of requests that get no reply, the aftermath.

All that is asked in one turn of the event loop leaves as one message. Every request ends in exactly
one way: a reply, an error, or its caller going away.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from peers.awake import Awake
from tlru.client import replies
from tlru.client.aftermath import Aftermath
from tlru.client.alarm import Alarm
from tlru.client.connection import Connection, Limits
from tlru.client.feeds import Feeds
from tlru.client.keeper import Keeper
from tlru.client.outbox import Outbox
from tlru.client.requests import Kind, Rare, Request, pack_fields, pack_get
from tlru.client.results import Reply
from tlru.client.retrying import Retries
from tlru.client.session import Session
from tlru.client.settings import Settings
from tlru.client.together import CONTENT, ROWS_MAX, PlainSet, Together, may_be_refused, pack_item
from tlru.errors import Timeout, TlruError, Unavailable

if TYPE_CHECKING:
    from tlru.client.copying import Keeping

logger = logging.getLogger("tlru.client")

TOO_LARGE_MESSAGE: Final = 1009
READ: Final = Kind.READ
WRITES: Final = (Kind.PLAIN, Kind.NAMED)
LONE: Final = 4  # with more of them under way, what wakes the loop is shared by many anyway


class Exchange:
    """The requests of one client on one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        on_end: Callable[[Exchange], None],
    ) -> None:
        # Of the system: a child after a fork must not draw its parent's waits.
        chance = random.SystemRandom().random
        self.loop, self.thread = loop, get_ident()
        self.settings = settings
        self.session = Session()
        self.ended: str | None = None
        self.copies: set[Keeping[Any]] = set()  # those that writes through here are to be seen in
        self._winding_up = False
        self._looks = 0
        self._on_end = on_end
        self._keeper = Keeper(settings, self, loop, chance)
        self._outbox = Outbox(self.session)
        retries = Retries(chance, settings.timing, renewable=callable(settings.token))
        self._aftermath = Aftermath(loop, self._outbox, retries, self._see_to_it)
        self._trace_now = settings.trace_now
        self.feeds = Feeds(
            loop,
            self.session,
            settings.timing,
            chance,
            self.next_number,
            self._keeper.wanted,
            renewable=callable(settings.token),
        )
        self._alarm = Alarm(loop, self._look)
        self._deadlines = self._alarm.deadlines
        self._awake = Awake(loop, settings.stay_awake)
        self._connection: Connection | None = None
        self._retired: set[Connection] = set()
        self._number = 0
        self._own = 0  # of the numbers, those of hello and ping
        self._now = 0.0
        self._turn_open = False
        self._task = loop.create_task(self._keeper.run(), name="tlru client")
        self._task.add_done_callback(self._on_keeper_done)

    # Asking.

    def get(self, key: str, timeout: float) -> asyncio.Future[Reply]:
        """Ask for one key and nothing else: the path that has to be short."""
        number = self._number = self._number + 1
        return self._enqueue(number, pack_get(number, key), READ, timeout, None)

    def ask(
        self, fields: dict[str, Any], timeout: float, kind: Kind = READ, *, bound: bool = False
    ) -> asyncio.Future[Reply]:
        """Ask for anything. `bound`: it speaks of versions or positions of this epoch alone."""
        number = self._number = self._number + 1
        payload = pack_fields({"id": number, **fields})
        rare = Rare(self.session.epoch, bound=True) if bound else None
        if self._trace_now is not None and kind in WRITES and (trace := self._trace_now()):
            rare = rare or Rare()
            rare.trace = trace
        return self._enqueue(number, payload, kind, timeout, rare)

    def set(
        self, key: str, value: bytes, life: float | None, timeout: float, told: bytes
    ) -> asyncio.Future[Reply]:
        """Ask for a plain set, which may leave together with others. `told` is the packed time
        that the node has for it."""
        item = pack_item(key, value, life)
        number = self._number = self._number + 1
        deadline = self._deadline(timeout)
        future: asyncio.Future[Reply] = self.loop.create_future()
        queue = self._outbox.queue
        alone = may_be_refused(key, life)
        queue.append(PlainSet(number, future, key, item, told, deadline, alone=alone))
        if not len(queue) % ROWS_MAX:
            self._flush()  # a whole message: the node works on it while the next is asked for
        return future

    @property
    def limits(self) -> Limits:
        """What the node in service takes; what nodes usually take, where there is none yet."""
        return Limits() if self._connection is None else self._connection.limits

    def _enqueue(
        self, number: int, payload: bytes, kind: Kind, timeout: float, rare: Rare | None
    ) -> asyncio.Future[Reply]:
        deadline = self._deadline(timeout)
        future: asyncio.Future[Reply] = self.loop.create_future()
        self._outbox.queue.append(Request(number, future, payload, deadline, kind, rare))
        return future

    def _deadline(self, timeout: float) -> float:
        """Until when to be patient with what is asked now, which leaves at the end of this turn."""
        if self._connection is None:
            self._check_open(timeout)
        if not self._turn_open:
            self._begin_turn()
        deadline = self._now + timeout
        if deadline < self._deadlines.due:
            self._alarm.watch(deadline)
        return deadline

    def _check_open(self, timeout: float) -> None:
        if self.ended is not None:
            raise Unavailable(self.ended)
        self._keeper.check(timeout)

    # Leaving.

    def _begin_turn(self) -> None:
        self._turn_open = True
        self._now = monotonic()
        self.loop.call_soon(self._flush)

    def _see_to_it(self) -> None:
        """Send what waits, at the end of this turn."""
        if not self._turn_open:
            self._begin_turn()

    def _flush(self) -> None:
        self._turn_open = False
        connection = self._connection
        if connection is None:
            self._outbox.compact()
            return
        while self._outbox.queue and not connection.paused:
            parts = self._outbox.take(connection, self._now)
            if not parts:
                return
            connection.send(parts)
            if len(connection.unanswered) <= LONE:
                self._awake.expect()

    # What connections report.

    def answered(self, connection: Connection) -> None:
        """Replies have come: positions and room may have grown."""
        self._awake.came()
        self.session.saw(connection.epoch, connection.pos, connection.time, connection.heard)
        if self._outbox.queue:
            self._see_to_it()
        if connection in self._retired and not connection.unanswered:
            connection.close()
        if self._winding_up:
            self._look_whether_idle()

    def writable(self, connection: Connection) -> None:
        """What was written has drained."""
        self._see_to_it()

    def settle(self, request: Request) -> None:
        """A named write has its answer."""
        self._outbox.let_go(request)

    def refused(self, connection: Connection, request: Request, error: Any) -> None:
        """A request was answered with an error."""
        exc = replies.error(error)
        self._on_refusal(connection, exc)
        if isinstance(request, Together):
            self._refused_together(connection, request.parts, exc)
        else:
            self._aftermath.refused(request, exc, self._asked)

    def _refused_together(
        self, connection: Connection, parts: list[PlainSet], exc: TlruError
    ) -> None:
        """Whose content the node objects to is found by asking each alone."""
        if isinstance(exc, CONTENT):
            connection.joins_sets = False
            for part in parts:
                part.alone = True
            self._outbox.put_back(parts)
            self._see_to_it()
            return
        for part in parts:
            self._aftermath.refused(part, replies.retold(exc, exc.message), self._asked)

    def _on_refusal(self, connection: Connection, error: TlruError) -> None:
        if self._keeper.refused(connection, error):
            self._retire(connection)

    def pushed(self, connection: Connection, message: Reply) -> None:
        """The node tells of a feed, or of its cluster; what is not known is ignored, as it asks."""
        if self.feeds.pushed(connection, message):
            if message.get("ok") is False:
                self._on_refusal(connection, replies.error(message.get("error")))
            return
        kind = message.get("push")
        if kind == "goaway":
            self._keeper.go_away(connection, message)
        elif kind == "servers":
            self._keeper.learn(message.get("servers"))
        elif message.get("ok") is False and message.get("id") is None:
            logger.warning("%s could not read a request: %s", connection.url, message.get("error"))

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        if connection is self._connection:
            self._connection = None
        self._retired.discard(connection)
        if connection.end.code == TOO_LARGE_MESSAGE:
            self._outbox.split(connection.sent_largest)
        self.feeds.lost(connection)
        if self.ended is not None:
            return
        self._aftermath.lost(connection, self._asked)
        self._keeper.lost(connection)
        if self._winding_up:
            self._look_whether_idle()
        if self._outbox.queue:
            self._see_to_it()

    # What the keeper reports.

    @property
    def _asked(self) -> int:
        """How many requests callers have made."""
        return self._number - self._own

    def next_number(self) -> int:
        """A number for a request of the keeper's own."""
        self._number += 1
        self._own += 1
        return self._number

    def has_left(self, epoch: str) -> bool:
        """Whether this epoch is known to be over."""
        return self.session.has_left(epoch)

    @property
    def watched(self) -> bool:
        """Whether a connection is wanted though nobody asks for anything."""
        return self.feeds.watched

    def opening(self) -> list[Request]:
        """What is to be asked for together with `hello`."""
        return self.feeds.opening()

    def take_up(self, connection: Connection) -> None:
        """This connection is in service now; the one before answers what it owes, and closes."""
        if self._connection is not None:
            self._retire(self._connection)
        connection.owner = self
        self.session.enter(connection.epoch)
        self.session.saw(connection.epoch, connection.pos, connection.time, connection.heard)
        connection.keep_alive(pack_fields({"id": self.next_number(), "op": "ping"}))
        self._connection = connection
        self.feeds.take_up(connection)
        self._see_to_it()

    def give_up(self, error: TlruError) -> None:
        """Nobody will open a connection for those who wait."""
        self.feeds.give_up(error)
        while self._outbox.queue:
            self._aftermath.unsent(self._outbox.queue.popleft(), error)

    def _retire(self, connection: Connection) -> None:
        if connection in self._retired:
            return
        if connection is self._connection:
            self._connection = None
        self._retired.add(connection)
        if connection.unanswered:
            self.loop.call_later(self.settings.timing.drain, connection.close)
        else:
            connection.close()

    # Time.

    def _look(self, now: float) -> None:
        """Tell those whose time is up."""
        deadlines = self._deadlines
        for connection in self._connections():
            overdue = deadlines.overdue(now, connection.unanswered.values())
            for request in overdue:
                self._aftermath.late(request, connection)
            if overdue:
                self._doubt(connection)
        for request in deadlines.overdue(now, self._outbox.queue):
            self._aftermath.unsent(request, self._why_unsent())
        if self._winding_up:
            self._look_whether_idle()

    def _why_unsent(self) -> TlruError:
        if self._connection is None:
            return Unavailable(f"no server in time; {self._keeper.servers.told()}")
        return Timeout("there was no room for it in time", outcome_known=True)

    def _doubt(self, connection: Connection) -> None:
        """Somebody waited in vain; is it the node as a whole?"""
        if connection.owes_a_word:
            connection.suspect(max(self.settings.timing.doubt, self.settings.timeout))
        full = len(connection.unanswered) >= connection.limits.in_flight
        if full and all(request.settled() for request in connection.unanswered.values()):
            connection.abort()  # it answers nothing of all that it may be asked at once

    # Ends.

    def end(self, problem: str) -> None:
        """Tell everybody who waits, and let nobody in any more."""
        if self.ended is not None:
            return
        self.ended = problem
        self._task.cancel()
        self._alarm.stop()
        self._awake.came()
        self._aftermath.end(self._connections(), problem)
        self.feeds.end(Unavailable(problem))
        self.give_up(Unavailable(problem))
        self._on_end(self)

    async def close(self) -> None:
        """End it, and say goodbye to the nodes."""
        connections = self._connections()
        self.end("this client has been closed")
        for connection in connections:
            connection.close()
        leaving = [self._task, *(connection.gone for connection in connections)]
        await asyncio.wait(leaving, timeout=2 * self.settings.timing.close)

    def file_numbers(self) -> list[int]:
        """The sockets that are open."""
        return [connection.file_number() for connection in self._connections()]

    def _on_keeper_done(self, task: asyncio.Task[None]) -> None:
        if self.ended is not None:
            return
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("the client's own task failed", exc_info=exc)
        # Cancelled together with everything else on the loop, which is about to end. Others may
        # still be tidying up: the connection stays for as long as they go on asking.
        self._winding_up = True
        self._look_whether_idle()

    def _look_whether_idle(self) -> None:
        """After those who have just been told something: whoever woke before this turn's end may
        ask on. (One turn would not do: they may come behind us in the next; nor a look that was
        asked for before they were told.)"""
        self._looks += 1
        self.loop.call_soon(self.loop.call_soon, self._end_when_idle, self._looks)

    def _end_when_idle(self, look: int) -> None:
        if look != self._looks:
            return
        connections = self._connections()
        waiting = [*self._outbox.queue, *self._aftermath.pausing]
        for connection in connections:
            waiting += connection.unanswered.values()
        if connections and not all(request.settled() for request in waiting):
            return
        self.end("the event loop is shutting down")
        for connection in connections:
            connection.abort()

    def _connections(self) -> list[Connection]:
        current = [] if self._connection is None else [self._connection]
        return current + list(self._retired)
