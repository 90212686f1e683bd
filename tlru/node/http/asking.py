"""An HTTP request as the service knows it: an asker whose answers are waited for.

This module decides nothing. An error is an answer like any other, so that one which nobody waits
for any more is no failure of anybody's.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

from peers.core.entry import Dot
from tlru import errors
from tlru.access.grant import Grant
from tlru.access.rights import check
from tlru.errors import TlruError
from tlru.node.asker import OneByOne
from tlru.node.service import CacheService
from tlru.wire.requests import Op
from tlru.wire.traceparent import Parent

Fields = dict[str, Any]


class Asking(OneByOne):
    """Asks one cache on behalf of one HTTP request; leave it with the request."""

    def __init__(
        self,
        service: CacheService,
        open_ones: set[Asking],
        grant: Grant,
        trace: Parent | None = None,
    ) -> None:
        self.service = service
        self.grant = grant
        self._trace = trace  # that the request belongs to
        self._open_ones = open_ones  # those that the node answers when it stops
        self.waiting: dict[Dot, str] = {}
        self.waits = 0
        self.push_bytes = service.limits.push_bytes
        self._asked: list[tuple[Op, asyncio.Future[Fields | TlruError]]] = []

    def __enter__(self) -> Self:
        self._open_ones.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._open_ones.discard(self)
        self.service.forget(self)

    def ask(self, op: Op, args: dict[str, Any]) -> asyncio.Future[Fields | TlruError]:
        """Carry a checked operation out; its reply, or the error that it failed with."""
        answer: asyncio.Future[Fields | TlruError] = asyncio.get_running_loop().create_future()
        self._asked.append((op, answer))
        try:
            self.check(op, args)
            if refusal := self.service.guard.refusal(self.grant.client_class):
                raise refusal
        except TlruError as error:
            answer.set_result(error)
        else:
            if self._trace is not None and op.writes:
                args.setdefault("trace", self._trace)
            self.service.measure.begin()
            self.service.handle(op, args, self, len(self._asked) - 1)
            self.service.measure.end(self)
        return answer

    def check(self, op: Op, args: dict[str, Any]) -> None:
        """Forbidden or Unauthenticated where the one who asks may not have this carried out."""
        check(self.grant, op.name, args, time.time())

    def give_up(self) -> None:
        """The node stops: whatever is unanswered is answered now."""
        for op, answer in self._asked:
            if not answer.done():
                answer.set_result(_stopping(op))

    def reply(self, request: int | None, fields: Fields) -> None:
        """Hear the reply to a request."""
        self._hear(request, fields)

    def refuse(self, request: int | None, error: TlruError) -> None:
        """Hear that a request failed."""
        self._hear(request, error)

    def _hear(self, request: int | None, answer: Fields | TlruError) -> None:
        assert request is not None, "everything that is asked here is numbered"
        heard = self._asked[request][1]
        if not heard.done():  # else nobody waits for it any more
            heard.set_result(answer)


def _stopping(op: Op) -> TlruError:
    if op.writes:
        return errors.Timeout("the node stops; whether it was done is not known")
    return errors.Unavailable("the node stops", code="draining")
