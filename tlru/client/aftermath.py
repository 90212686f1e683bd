"""What becomes of requests that are refused, run out of time, or lose their connection.

It decides what is asked again and what each caller is told; it neither sends nor waits, except for
the pause before a request is asked again.

An error never says more than is known. A write that has left may have been done, until the node
says that it was not; what has never left was certainly not done. A request is asked again only if
it changes nothing, bears a name, or was told not to have been done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from tlru.client import replies
from tlru.client.connection import Connection
from tlru.client.outbox import Outbox
from tlru.client.requests import Kind, Request
from tlru.client.retrying import Retries
from tlru.errors import Retry, Timeout, TlruError, Unavailable, UnknownOutcome


class Aftermath:
    """The ends of requests that did not simply get a reply."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
        retries: Retries,
        ask_again: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._outbox = outbox
        self._retries = retries
        self._ask_again = ask_again
        self._pausing: dict[Request, asyncio.TimerHandle] = {}

    @property
    def pausing(self) -> list[Request]:
        """Those that will be asked again after a pause."""
        return list(self._pausing)

    def refused(self, request: Request, error: TlruError, asked: int) -> None:
        """A node has refused it: it is asked again after a pause, or its caller is told."""
        delay = None
        if not request.settled():
            delay = self._retries.delay(request, error, asked=asked, now=monotonic())
        if delay is None:
            self._outbox.let_go(request)
            if request.may_be_done and error.retry in (Retry.SAME, Retry.OTHER):
                # This node has not done it. Where it was sent before, it may have been.
                request.fail(UnknownOutcome, f"was sent, and its result never came: {error}")
            else:
                request.tell(error)
        else:
            self._pausing[request] = self._loop.call_later(delay, self._again, request)

    def lost(self, connection: Connection, asked: int) -> None:
        """The connection of these has ended; what may be asked again is, before all others."""
        unanswered = list(connection.unanswered.values())
        connection.unanswered.clear()
        why = f"{connection.url}: {connection.end.problem}"
        self._outbox.put_back(each for each in unanswered if self._may_repeat(each, why, asked))

    def late(self, request: Request, connection: Connection) -> None:
        """Its time is up, and it was sent. It stays known, since its reply may still come."""
        known = not request.is_write
        request.fail(Timeout, f"was not answered in time by {connection.url}", outcome_known=known)

    def unsent(self, request: Request, error: TlruError) -> None:
        """Its time is up, or nobody will send it any more, and it is on no connection."""
        self._outbox.let_go(request)
        refusal = None if request.rare is None else request.rare.refusal
        if request.may_be_done:
            request.fail(UnknownOutcome, f"was sent, and its result never came: {error}")
        elif refusal is not None and isinstance(error, Timeout):
            request.tell(refusal)  # it says more than that there was no time left
        else:
            what = request.describe()
            request.tell(replies.retold(error, f"{what} was not done: {error}"))

    def end(self, connections: list[Connection], problem: str) -> None:
        """Nobody will be answered any more."""
        pausing, self._pausing = self._pausing, {}
        for request, handle in pausing.items():
            handle.cancel()
            self.unsent(request, Unavailable(problem))
        for connection in connections:
            for request in connection.unanswered.values():
                kind = UnknownOutcome if request.is_write else Unavailable
                request.fail(kind, f"was sent, and not answered yet: {problem}")

    def _may_repeat(self, request: Request, why: str, asked: int) -> bool:
        if not request.settled() and request.kind is not Kind.PLAIN:
            if self._retries.repeat(request, asked=asked, now=monotonic()):
                return True
            why = f"{why}, as others before it"
        self._outbox.let_go(request)
        kind = UnknownOutcome if request.is_write else Unavailable
        request.fail(kind, f"was sent, and never answered: {why}")
        return False

    def _again(self, request: Request) -> None:
        del self._pausing[request]
        self._outbox.queue.append(request)
        self._ask_again()
