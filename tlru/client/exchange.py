"""What is asked and what is answered, on one event loop.

It decides when requests leave, and what becomes of those that run out of time, are refused, or lose
their connection. Which connection there is, the keeper decides; what a message holds, the outbox.

All that is asked in one turn of the event loop leaves as one message. Every request ends in exactly
one way: a reply, an error that says honestly what is known of its outcome, or its caller going
away. What a connection left unanswered is sent again only if it changes nothing or bears a name.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from tlru.client import replies
from tlru.client.connection import Connection, Limits
from tlru.client.deadlines import Deadlines
from tlru.client.keeper import Keeper
from tlru.client.outbox import Outbox
from tlru.client.requests import Kind, Rare, Request, pack_fields, pack_get
from tlru.client.results import Reply
from tlru.client.retrying import Retries
from tlru.client.session import Session
from tlru.client.settings import Settings
from tlru.errors import Timeout, TlruError, Unavailable, UnknownOutcome

logger = logging.getLogger("tlru.client")

TOO_LARGE_MESSAGE: Final = 1009
READ: Final = Kind.READ


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
        self.loop = loop
        self.settings = settings
        self.session = Session()
        self.ended: str | None = None
        self._winding_up = False
        self._on_end = on_end
        self._keeper = Keeper(settings, self, loop, chance)
        self._outbox = Outbox(self.session)
        self._retries = Retries(chance, settings.timing, renewable=callable(settings.token))
        self._later: dict[Request, asyncio.TimerHandle] = {}
        self._deadlines = Deadlines()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = math.inf
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
        return self._enqueue(number, payload, kind, timeout, rare)

    def behind(self) -> bool:
        """Whether the node in service may lack something that this client has seen."""
        connection = self._connection
        return connection is None or self.session.ahead_of(connection.pos, connection.time)

    @property
    def limits(self) -> Limits:
        """What the node in service takes; what nodes usually take, where there is none yet."""
        return Limits() if self._connection is None else self._connection.limits

    def _enqueue(
        self, number: int, payload: bytes, kind: Kind, timeout: float, rare: Rare | None
    ) -> asyncio.Future[Reply]:
        if self._connection is None:
            self._check_open(timeout)
        if not self._turn_open:
            self._begin_turn()
        deadline = self._now + timeout
        if deadline < self._deadlines.due:
            self._watch(deadline)
        future: asyncio.Future[Reply] = self.loop.create_future()
        self._outbox.queue.append(Request(number, future, payload, deadline, kind, rare))
        return future

    def _check_open(self, timeout: float) -> None:
        if self.ended is not None:
            raise Unavailable(self.ended)
        self._keeper.check(timeout)

    # Leaving.

    def _begin_turn(self) -> None:
        self._turn_open = True
        self._now = monotonic()
        self.loop.call_soon(self._flush)

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

    # What connections report.

    def answered(self, connection: Connection) -> None:
        """Replies have come: positions and room may have grown."""
        self.session.saw(connection.epoch, connection.pos, connection.time, connection.heard)
        if self._outbox.queue and not self._turn_open:
            self._begin_turn()
        if connection in self._retired and not connection.unanswered:
            connection.close()
        if self._winding_up:
            self.loop.call_soon(self._end_when_idle)  # after those who have just been answered

    def writable(self, connection: Connection) -> None:
        """What was written has drained."""
        if not self._turn_open:
            self._begin_turn()

    def settle(self, request: Request) -> None:
        """A named write has its answer."""
        self._outbox.let_go(request)

    def refused(self, connection: Connection, request: Request, error: Any) -> None:
        """A request was answered with an error: it is asked again, or its caller is told."""
        exc = replies.error(error)
        if self._keeper.refused(connection, exc):
            self._retire(connection)
        delay = None
        if not request.future.done():
            now = monotonic()
            delay = self._retries.delay(request, exc, asked=self._asked, now=now)
        if delay is None:
            self._outbox.let_go(request)
            request.tell(exc)
        else:
            self._later[request] = self.loop.call_later(delay, self._again, request)

    def pushed(self, connection: Connection, message: Reply) -> None:
        """The node tells of its cluster. What is not known is ignored, as the protocol asks."""
        kind = message.get("push")
        if kind == "goaway":
            self._keeper.go_away(connection, message)
        elif kind == "servers":
            self._keeper.servers.learn(message.get("servers"))
        elif message.get("ok") is False and message.get("id") is None:
            logger.warning("%s could not read a request: %s", connection.url, message.get("error"))

    def lost(self, connection: Connection) -> None:
        """A connection has ended: repeat what may be repeated, tell the others."""
        if connection is self._connection:
            self._connection = None
        self._retired.discard(connection)
        if connection.end.code == TOO_LARGE_MESSAGE:
            self._outbox.split(connection.sent_largest)
        unanswered = list(connection.unanswered.values())
        connection.unanswered.clear()
        if self.ended is not None:
            return
        self._outbox.put_back(r for r in unanswered if self._may_repeat(r, connection))
        self._keeper.lost(connection)
        if self._winding_up:
            self._end_when_idle()
        if self._outbox.queue and not self._turn_open:
            self._begin_turn()

    def _may_repeat(self, request: Request, connection: Connection) -> bool:
        why = f"{connection.url}: {connection.end.problem}"
        if request.future.done():
            self._outbox.let_go(request)
            return False
        if request.kind is Kind.PLAIN:
            request.fail(UnknownOutcome, f"was sent, and never answered: {why}")
            return False
        if self._retries.repeat(request, asked=self._asked, now=monotonic()):
            return True
        self._outbox.let_go(request)
        kind = UnknownOutcome if request.is_write else Unavailable
        request.fail(kind, f"was sent again and again in vain: {why}")
        return False

    @property
    def _asked(self) -> int:
        return self._number - self._own

    def _again(self, request: Request) -> None:
        del self._later[request]
        self._outbox.queue.append(request)
        if not self._turn_open:
            self._begin_turn()

    # What the keeper reports.

    def next_number(self) -> int:
        """A number for a request of the keeper's own."""
        self._number += 1
        self._own += 1
        return self._number

    def take_up(self, connection: Connection) -> None:
        """This connection is in service now; the one before answers what it owes, and closes."""
        if self._connection is not None:
            self._retire(self._connection)
        connection.owner = self
        self.session.enter(connection.epoch)
        self.session.saw(connection.epoch, connection.pos, connection.time, connection.heard)
        connection.keep_alive(pack_fields({"id": self.next_number(), "op": "ping"}))
        self._connection = connection
        if not self._turn_open:
            self._begin_turn()

    def give_up(self, error: TlruError) -> None:
        """Nobody will open a connection for those who wait."""
        while self._outbox.queue:
            self._end_unsent(self._outbox.queue.popleft(), error)

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

    def _watch(self, deadline: float) -> None:
        due = self._deadlines.watch(deadline)
        if due == math.inf or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self.loop.call_later(max(0.0, due - monotonic()), self._look)

    def _look(self) -> None:
        """Tell those whose time is up."""
        self._timer = None
        now = monotonic()
        self._deadlines.look(now)
        for connection in self._connections():
            overdue = self._deadlines.overdue(now, connection.unanswered.values())
            for request in overdue:
                self._end_late(request, connection)
            if overdue:
                self._doubt(connection)
        for request in self._deadlines.overdue(now, self._outbox.queue):
            self._end_unsent(request)
        self._watch(self._deadlines.due)
        if self._winding_up:
            self._end_when_idle()

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
        if self._timer is not None:
            self._timer.cancel()
        for request, handle in self._later.items():
            handle.cancel()
            self._end_unsent(request, Unavailable(problem))
        for connection in self._connections():
            for request in connection.unanswered.values():
                kind = UnknownOutcome if request.is_write else Unavailable
                request.fail(kind, f"was sent, and not answered yet: {problem}")
        self.give_up(Unavailable(problem))
        self._later.clear()
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
        self.loop.call_soon(self._end_when_idle)

    def _end_when_idle(self) -> None:
        connections = self._connections()
        waiting = [*self._outbox.queue, *self._later]
        for connection in connections:
            waiting += connection.unanswered.values()
        if connections and not all(request.settled() for request in waiting):
            return
        self.end("the event loop is shutting down")
        for connection in connections:
            connection.abort()

    def _end_late(self, request: Request, connection: Connection) -> None:
        """Its time is up, and it was sent. It stays known, since its reply may still come."""
        known = not request.is_write
        request.fail(Timeout, f"was not answered in time by {connection.url}", outcome_known=known)

    def _end_unsent(self, request: Request, error: TlruError | None = None) -> None:
        """Its time is up (or nobody will send it), and it is on no connection."""
        self._outbox.let_go(request)
        refusal = None if request.rare is None else request.rare.refusal
        if request.is_write and request.was_sent:
            why = error or "no connection in time to send it again"
            request.fail(UnknownOutcome, f"was sent, and never answered: {why}")
        elif error is not None:
            request.fail(type(error), f"was not done: {error}")
        elif refusal is not None:
            request.tell(refusal)
        elif self._connection is None:
            told = self._keeper.servers.told()
            request.fail(Unavailable, f"was not done: no server in time; {told}")
        else:
            request.fail(Timeout, "was not sent in time; too much was asked", outcome_known=True)

    def _connections(self) -> list[Connection]:
        current = [] if self._connection is None else [self._connection]
        return current + list(self._retired)
