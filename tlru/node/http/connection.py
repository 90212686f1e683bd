"""One HTTP connection: aiohttp's request handler, bounded, and with errors in our own words.

This module decides how much of a request's head is read, how long an idle connection is kept, and
what a client is told whose request cannot be read at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from tlru import errors
from tlru.node.http.heads import HEAD_BYTES_MAX, HeadBound
from tlru.node.http.problems import PROBLEM_JSON, HeadTooLarge, problem
from tlru.node.limits import Guard

if TYPE_CHECKING:
    from tlru.node.http.side import HttpSide

logger = logging.getLogger(__name__)

LINE_BYTES_MAX = 8_190  # of the request line, and of each header
IDLE_S = 75.0  # a connection without a request, or with part of a head, is closed after this
UNREAD_S = 20.0  # how long an answer may wait for its client to read on
LINGER_S = 2.0  # how long what follows a refused body is read and dropped, so the answer arrives


_STOPPED = problem(errors.Unavailable("the node has stopped", code="draining")).body
_GONE = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: tlru\r\nConnection: close\r\n"
    b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
) % (PROBLEM_JSON.encode(), len(_STOPPED), _STOPPED)


class Refusal(asyncio.Protocol):
    """A connection to a node that has stopped."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so, and close it."""
        closing = cast(asyncio.Transport, transport)
        closing.write(_GONE)
        closing.close()


class HttpConnection(web.RequestHandler):
    """A connection that speaks HTTP/1.1."""

    def __init__(self, side: HttpSide, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None turns it off; aiohttp's type forgets
            auto_decompress=False,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            logger=logger,
        )
        self._parser = HeadBound(self._parser)  # type: ignore[assignment]
        self._side = side
        self.counted: tuple[Guard, str] | None = None  # as whose connection, and by whom
        self.asks: tuple[Guard, str] | None = None  # by whom and as whose the present request goes
        self.large = False  # the body of what is asked just now is
        self._stalled: asyncio.TimerHandle | None = None
        self._stall: Callable[[bool], None] | None = None

    def give_to(self, stall: Callable[[bool], None], write_buffer_bytes: int) -> None:
        """Hand the connection to a stream, which is told whether the client is behind with reading,
        and decides how long it may be."""
        self._read_on()
        self._stall = stall
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=write_buffer_bytes)
        stall(self.writing_paused)

    def take_back(self) -> None:
        """The stream is over: what is left of it has as long to be read as every answer has."""
        self._stall = None
        if self.writing_paused:
            self._be_patient()

    def pause_writing(self) -> None:
        """The client does not read: it has so long to go on."""
        super().pause_writing()
        if self._stall is not None:
            self._stall(True)
        else:
            self._be_patient()

    def _be_patient(self) -> None:
        if self._stalled is None and self.transport is not None:
            loop = asyncio.get_running_loop()
            self._stalled = loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        self._read_on()
        super().resume_writing()
        if self._stall is not None:
            self._stall(False)

    def _read_on(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def count_for(self, guard: Guard, client_class: str, now: float) -> None:
        """Be a connection of this class from now on, until it is gone or somebody else asks on it.
        RateLimited where the class has no place for it. That is judged once: a proxy sends requests
        of many on one connection, and opens none for each."""
        if self.counted != (guard, client_class):
            if self.counted is None and (no := guard.connection(client_class, now)) is not None:
                raise no
            self._count_no_more()
            guard.came(client_class)
            self.counted = guard, client_class
        guard.hear(self._taken, client_class)  # also since what a class is may have changed

    def _count_no_more(self) -> None:
        if self.counted is not None:
            guard, client_class = self.counted
            guard.went(client_class)
            self.counted = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from the door."""
        self._taken = transport  # aiohttp forgets it first
        self._side.connections += 1
        self._side.connections_total += 1
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        super().data_received(data)
        for message, _ in self._messages:
            # What was wrong holds, by its traceback, what it was found in and this connection,
            # which holds it: of many large heads, a hundred megabytes until the collector comes.
            if (wrong := getattr(message, "exc", None)) is not None:
                wrong.__traceback__ = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self._side.connections -= 1
        self._side.node.addresses.gone(self._taken)
        self._side.node.strain.turns.knocking.forget(self._taken)
        self._count_no_more()
        self._read_on()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or whose answer could not be made."""
        error = self._error(status, exc, message)
        # The message may repeat what was sent, a token for one.
        problem = error.code if exc is None else type(exc).__name__
        logger.debug("a request could not be read", extra={"problem": problem})
        if request.writer.output_size > 0:
            raise ConnectionResetError("part of an answer is sent; another cannot follow it")
        response = self._side.answer_unread(error)
        response.force_close()
        return response

    @staticmethod
    def _error(status: int, exc: BaseException | None, message: str | None) -> errors.TlruError:
        if isinstance(exc, LineTooLong):
            return HeadTooLarge(
                f"the request line or a header has over {LINE_BYTES_MAX} bytes, or all together "
                f"have over {HEAD_BYTES_MAX}"
            )
        if status < 500:
            # The lines after the first repeat what was sent.
            words = (message or "it breaks HTTP's rules").partition("\n")[0].rstrip(" :")
            return errors.BadRequest(f"the request cannot be read: {words[:200]}")
        logger.error("an answer failed in a way that nobody foresaw", exc_info=exc)
        return errors.Internal("the node failed; its log says how")
