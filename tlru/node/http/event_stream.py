"""One stream of Server-Sent Events: a subscriber whose transport is an HTTP answer.

This module decides how a push stands in the stream, when the stream is over, and how long a client
may take to read. What is sent is decided by the feeds; every subscriber of the same is sent the
same bytes.

Invariant: the node holds of a client that does not read what its transport's buffer takes and one
step of its feed, as of a WebSocket. Here nothing is queued at all: what comes is handed to the
transport, and while that is full the feed gives nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from peers.core.entry import Dot
from tlru import errors
from tlru.access.grant import EVERYTHING
from tlru.engine.feeds import Reader
from tlru.node.access.standing import Standing
from tlru.node.asker import OneByOne
from tlru.node.http.answers import encode
from tlru.node.http.asking import Fields
from tlru.node.http.connection import HttpConnection
from tlru.node.service import CacheService
from tlru.wire.codec import Codec, JsonCodec
from tlru.wire.fields import Min
from tlru.wire.pushes import Push

COMMENT_S = 15.0  # so that what stands between does not take the stream for dead
STUCK_TICKS_MAX = 4  # of `COMMENT_S`, in which a client that is behind has read nothing
WRITE_BUFFER_BYTES = 16 << 10

# When a browser comes back by itself. Not all of those that a node had come in the same moment.
RETRY_MS = (500, 2_000)

_COMMENT = b":\n\n"


class EventStream(OneByOne):
    """A subscription over HTTP."""

    def __init__(self, service: CacheService, streams: set[EventStream]) -> None:
        self.service = service
        self.standing = Standing(EVERYTHING)  # else whoever opens it says so
        self.codec: Codec = JsonCodec(service.limits)
        self.limits = service.limits
        self.push_bytes = self.limits.push_bytes
        self.waiting: dict[Dot, str] = {}
        self.waits = 0
        self.feeds: dict[int, Reader[Push]] = {}
        self.stalled = True  # nothing is sent before the head
        self.epoch = ""
        self._streams = streams
        self._streams.add(self)
        self._answer: asyncio.Future[Fields | errors.TlruError] | None = None
        self._mark: bytes | None = None
        self._connection: HttpConnection | None = None
        self._chunked = False
        self._over = asyncio.Event()

    # -- subscribing

    async def begin(self, args: Fields, minimum: Min | None) -> Fields:
        """Subscribe, once the node has come as far as the asker has been. Raises what refuses it;
        whoever gives the stream up before it is sent ends it."""
        refusal = self.service.guard.refusal(self.standing.grant.client_class)
        if refusal is not None:
            raise refusal
        if minimum is not None:
            await self._asked(
                lambda: self.service.reads.after(
                    minimum, {}, self, None, lambda: self.reply(None, {})
                )
            )
        fields = await self._asked(lambda: self.service.subscribe(args, self, None))
        # Who breaks off before the first event has a place to go on from, too. Who goes on from
        # somewhere, or wants a snapshot, is soon sent something as it is.
        if "since" not in args and not args.get("snapshot", False):
            empty = self.codec.encode_events(fields["feed"], fields["upto"], ())
            self._mark = self._event(Push(empty, fields["upto"]))
        return fields

    async def _asked(self, ask: Callable[[], None]) -> Fields:
        self._answer = asyncio.get_running_loop().create_future()
        ask()
        answer = await self._answer
        if isinstance(answer, errors.TlruError):
            raise answer
        return answer

    def reply(self, request: int | None, fields: dict[str, Any]) -> None:
        """Hear that the node is there, or that the feed begins."""
        self.epoch = str(self.service.log.epoch)
        self._hear(fields)

    def refuse(self, request: int | None, error: errors.TlruError) -> None:
        """Hear that there is no feed."""
        self._hear(error)

    def _hear(self, answer: Fields | errors.TlruError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    # -- sending

    async def send(self, raw: web.BaseRequest, response: web.StreamResponse) -> None:
        """Send the head, and then whatever comes; done when it is over."""
        response.force_close()  # whatever ends a stream, what follows belongs to another connection
        try:
            await response.prepare(raw)
            self._open(cast(HttpConnection, raw.protocol), chunked=raw.version >= (1, 1))
            await self._until_over()
            assert self._connection is not None, "it was opened"
            self._connection.take_back()
            await response.write_eof()
        except ConnectionError:
            pass  # the client has gone; nobody is left to tell
        finally:
            self.end()

    def _open(self, connection: HttpConnection, *, chunked: bool) -> None:
        self._connection, self._chunked = connection, chunked
        self._write(b"retry:%d\n\n" % random.randint(*RETRY_MS))
        if self._mark is not None:
            self._write(self._mark)
        connection.give_to(self.stall, WRITE_BUFFER_BYTES)

    async def _until_over(self) -> None:
        """Say something now and then; leave a client that has not read anything for long."""
        stuck, left = 0, -1
        while not self._over.is_set():
            try:
                async with asyncio.timeout(COMMENT_S):
                    await self._over.wait()
            except TimeoutError:
                if not self.stalled:
                    self._write(_COMMENT)
                before, left = left, self._left()
                stuck = stuck + 1 if self.stalled and before == left else 0
                if stuck >= STUCK_TICKS_MAX:
                    self._abort()

    def _left(self) -> int:
        """How much the transport still has to send."""
        transport = None if self._connection is None else self._connection.transport
        return 0 if transport is None else transport.get_write_buffer_size()

    def stall(self, stalled: bool) -> None:
        """The client is behind with reading, or has caught up."""
        if self._over.is_set():
            return
        self.stalled = stalled
        if not stalled:
            self.service.feeds.wake(self)

    def deliver(self, push: Push) -> bool:
        """Write what a feed's readers are given: the same bytes to each."""
        data = push.event_streams.get(self._chunked)
        if data is None:
            data = push.event_streams[self._chunked] = self._framed(self._event(push))
        self._write_framed(data)
        if push.final:
            self._over.set()  # it has no other feed
        return not self.stalled

    def _event(self, push: Push) -> bytes:
        """A push as an event. It has an id only where a client may go on from there: half of a
        snapshot is no place to go on from."""
        if push.resumable:
            return b"id:%b-%d\ndata:%b\n\n" % (self.epoch.encode(), push.upto, push.message)
        return b"data:%b\n\n" % push.message

    def _write(self, data: bytes) -> None:
        self._write_framed(self._framed(data))

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _write_framed(self, data: bytes) -> None:
        transport = None if self._connection is None else self._connection.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    # -- the end

    def leave(self, message: Fields | None = None) -> None:
        """End the stream: with a last word where the node stops, without one where the cache has
        begun another life. A client that is behind is cut off, since it would hold up either; it
        comes back to where it was."""
        self.service.left(self)
        if message is None:
            self._hear(errors.WrongEpoch("the cache has begun another life: ask anew"))
        else:
            self._hear(errors.Unavailable("the node is about to stop", code="draining"))
        if self._connection is not None and self.stalled:
            self._abort()
        elif message is not None:
            self._write(b"data:%b\n\n" % encode(message))
        self.stalled = True  # nothing comes after the last word
        self._over.set()

    def _abort(self) -> None:
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.abort()
        self._over.set()

    def end(self) -> None:
        """It is over, whichever way."""
        self.service.left(self)
        self._streams.discard(self)
        self._connection = None
        self.stalled = True
