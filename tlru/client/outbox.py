"""What waits to be sent, and what the next message is.

It does no I/O. The order is that in which requests were asked; a message holds as many of them as
the node's limits allow, and none that nobody waits for any more.

A named write keeps its name from the first sending to the last, and no request that belongs to one
epoch is sent in another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from tlru.client.connection import Connection
from tlru.client.requests import Kind, Rare, Request, with_field
from tlru.client.session import OnceNames, Session
from tlru.client.together import PlainSet, Together, may_join, run
from tlru.errors import TooLarge, UnknownOutcome, WrongEpoch

MESSAGE_BYTES_MIN: Final = 4096  # messages are not split below this, whatever a proxy objects to
COMPACT_AT: Final = 1024  # from this length on, requests whose callers have gone are cleared out
WAIT_MAX_S: Final = 3600.0  # the longest that a node waits until it is where it has to be
TOGETHER_HEAD_BYTES: Final = 64  # of a message of plain sets, before the first of them
READ: Final = Kind.READ


class Outbox:
    """The requests of one client that have not been written to a connection yet."""

    def __init__(self, session: Session) -> None:
        self.queue: deque[Request] = deque()
        self._session = session
        self._once = OnceNames()
        self._compact_at = COMPACT_AT
        self._message_bytes_max: int | None = None

    def put_back(self, requests: Iterable[Request]) -> None:
        """These were sent in vain: they come before all that was not sent yet."""
        self.queue.extendleft(reversed(list(requests)))

    def let_go(self, request: Request) -> None:
        """The request will not be sent again: the node need not remember its result."""
        rare = request.rare
        if rare is not None and rare.once:
            self._once.finish(rare.once)
            rare.once = 0

    def split(self, sent_largest: int) -> None:
        """A message was too large for somebody on the way: send smaller ones."""
        self._message_bytes_max = max(MESSAGE_BYTES_MIN, sent_largest // 2)

    def take(self, connection: Connection, now: float) -> list[bytes]:
        """The next message to this connection; empty where there is nothing, or no room."""
        queue, unanswered, limits = self.queue, connection.unanswered, connection.limits
        room = min(limits.batch, limits.in_flight - len(unanswered))
        most = min(limits.message_bytes, self._message_bytes_max or limits.message_bytes)
        behind = self._session.ahead_of(connection.pos, connection.time)
        parts: list[bytes] = []
        size = 0
        while queue and room > 0:
            request = queue[0]
            if request.future.done():
                self.let_go(queue.popleft())
                continue
            left = 1  # so many leave the queue with it
            if type(request) is PlainSet and connection.joins_sets and may_join(request):
                joined = run(queue, request, limits.keys, most - TOGETHER_HEAD_BYTES)
                if (left := max(1, len(joined))) > 1:
                    request = Together(joined)
            payload = request.pack()
            if behind or request.kind is not READ:
                payload = self._complete(request, payload, connection, now)
            length = len(payload)
            if size + length > most:
                if parts:
                    break
                payload = self._alone(request, payload, limits.message_bytes)
            for _ in range(left):
                queue.popleft()
            if payload:
                size += length
                room -= 1
                unanswered[request.number] = request
                parts.append(payload)
        return parts

    def compact(self) -> None:
        """Clear out what nobody waits for, so that a long outage does not collect the departed."""
        if len(self.queue) < self._compact_at:
            return
        for _ in range(len(self.queue)):
            request = self.queue.popleft()
            if request.future.done():
                self.let_go(request)
            else:
                self.queue.append(request)
        self._compact_at = max(COMPACT_AT, 2 * len(self.queue))

    def _complete(
        self, request: Request, payload: bytes, connection: Connection, now: float
    ) -> bytes:
        """Its bytes with what is known only when it leaves; none where it must not leave."""
        if request.kind is READ:
            told = with_field(payload, "min", self._session.minimum())
            # Half of the caller's time: the other half is for asking elsewhere.
            patience = min((request.deadline - now) / 2, WAIT_MAX_S)
            return with_field(told, "timeout", max(0.0, patience))
        if request.kind is Kind.NAMED:
            request.history()
        if request.rare is not None and not self._fits_epoch(request, request.rare):
            self.let_go(request)
            return b""
        if request.kind is Kind.NAMED:
            payload = with_field(payload, "once", self._name(request.history(), now))
        if request.rare is not None and request.rare.trace and connection.takes_traces:
            payload = with_field(payload, "trace", request.rare.trace)
        return payload

    def _name(self, rare: Rare, now: float) -> dict[str, Any]:
        if rare.once_fields is None:
            rare.once, rare.once_fields = self._once.give(self._session.cluster_ms(now))
        return rare.once_fields

    def _fits_epoch(self, request: Request, rare: Rare) -> bool:
        """Whether it may go to the present epoch; if not, its caller is told why."""
        epoch = self._session.epoch
        unsure = request.may_be_done
        if rare.epoch is None or (rare.epoch != epoch and not rare.bound and not unsure):
            rare.epoch = epoch
        if rare.epoch == epoch:
            return True
        if unsure:
            request.fail(UnknownOutcome, "was sent, and then the cache began another life")
        else:
            request.fail(WrongEpoch, "speaks of another life of the cache; it was not sent")
        return False

    def _alone(self, request: Request, payload: bytes, most: int) -> bytes:
        """A request that is longer than messages should be: as it is, or not at all."""
        if len(payload) <= most:
            return payload
        what = f"makes {len(payload)} bytes, the node takes {most}; it was not sent"
        request.fail(TooLarge, what)
        self.let_go(request)
        return b""
