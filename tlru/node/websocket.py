"""The WebSocket transport of a session: `websockets`' sans-I/O protocol under asyncio.

This module decides framing and the life of the connection: handshake, fragments, pings, closing.
One write for all that gathers in a turn of the loop. What messages say is the session's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import perf_counter as clock
from typing import TYPE_CHECKING, cast

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol

from tlru.access.grant import NOBODY, Grant
from tlru.node import deflate
from tlru.node.access.standing import Standing
from tlru.node.addresses import address_of
from tlru.node.rules import ServerProtocol
from tlru.node.session import Session
from tlru.node.session_wire import NOT_AUTHENTICATED
from tlru.node.unpacking import Damaged, UnpackedTooLarge, Unpacking
from tlru.node.upgrading import Welcome, judge, no_opening, unreadable
from tlru.wire import frames
from tlru.wire.pushes import Push

if TYPE_CHECKING:
    from tlru.node.server import Node

logger = logging.getLogger(__name__)
# It tells of every connection that opens and closes: of use to nobody at the usual level.
logging.getLogger("tlru.websockets").setLevel(logging.WARNING)

BYTES_A_TURN = 64 << 10  # of one connection in one turn of the loop; then it rests
UNPACKED_AT_ONCE = 64 << 10  # of one message that came compressed, for a sixth of a millisecond
EMPTY_FRAGMENTS_MAX = 1_024  # of one message: no size bounds them
CLOSE_S = 2.0  # how long a client may take to close its side before the connection is cut
SILENT_PINGS_MAX = 2
NO_HELLO = 4408  # of the close codes
WRITE_BUFFER_BYTES = 32 << 10  # what is unread beyond this stops the session taking requests

_DEFLATE = deflate.WithoutContext()


class WebSocketConnection(asyncio.Protocol):
    """One client's connection, from its handshake to its end."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._limits = node.limits  # for as long as it lasts
        self._loop = asyncio.get_running_loop()
        self._protocol = ServerProtocol(
            extensions=[_DEFLATE],
            max_size=self._limits.message_bytes,
            logger=logging.getLogger("tlru.websockets"),
        )
        self._shaken = False
        self._class: str | None = None  # that this connection counts for
        self._deflates = False
        self._rest = bytearray()  # may be compressed, and is not taken yet
        self._frames: deque[Frame] = deque()  # taken, and behind one that is being unpacked
        self._unpacking: Unpacking | None = None
        self.session: Session | None = None
        self._fragments = bytearray()
        self._empty = 0  # of these, how many had nothing in them
        self._packed = False  # the message that these are of is compressed
        self._heard = self._loop.time()
        self._pinged = 0.0
        self._began = self._heard
        self._cut: asyncio.TimerHandle | None = None
        self._flushing = False
        self._turn_bytes = 0
        self._resting = False  # it has had its turn
        self._has_turn = False  # to unpack some more, after its equals
        self._wanted = True  # the session takes more
        self._reads = True
        self.gone: asyncio.Future[None] = self._loop.create_future()

    @property
    def unsent(self) -> int:
        """How many bytes the client has yet to take."""
        return self._transport.get_write_buffer_size()

    # -- asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from the door."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._address = address_of(transport)
        if self._node.wary.of(self._address, self._heard):
            self._protocol.available_extensions = []

    def data_received(self, data: bytes) -> None:
        """Bytes of the client: frames, most of them messages for the session."""
        now = self._loop.time()
        if now != self._heard:  # uvloop's clock stands still within a turn
            self._heard, self._turn_bytes = now, 0
        self._note_turn(len(data))
        if self._behind:
            self._rest += data  # it had left the socket when reading was paused
            return
        if not self._shaken:
            # The head comes whole. What follows is read as the answer to it says.
            self._shaken = True
            head, end, data = data.partition(b"\r\n\r\n")
            self._protocol.receive_data(head + end)
            if (answer := unreadable(self._protocol)) is not None:
                self._transport.write(answer.serialize())
                self._transport.close()
                return
            self._take_events()
            if not data:
                return
        if self.session is not None and frames.between_frames(self._protocol):
            payloads = frames.whole(data, self._first, masked=True)
            if payloads and max(map(len, payloads)) <= self._limits.message_bytes:
                self._node.awake.came()
                self.session.feed(payloads)
                self._node.awake.expect()
                return
        if self._deflates:
            self._rest += data
            self._inflate()
        else:
            self._parse(data)

    def _note_turn(self, size: int) -> None:
        self._turn_bytes += size
        if self._turn_bytes > BYTES_A_TURN and not self._resting:
            # uvloop reads one socket many times in a turn; a flood would hold up all others.
            self._rest_for_a_turn()

    def _rest_for_a_turn(self) -> None:
        self._resting = True
        self._set_reading()
        self._loop.call_soon(self._next_turn)

    @property
    def _behind(self) -> bool:
        """Whether something that came is not taken yet; nothing more is read meanwhile."""
        return self._unpacking is not None or bool(self._frames or self._rest)

    def _inflate(self) -> None:
        """Take what may be compressed piece by piece, and no further than the session wants it: a
        few bytes can become very many, all of which would have to be held."""
        while self._behind and self._wanted and not self._resting:
            if self._unpacking is not None:
                self._unpack(self._unpacking)
            elif self._frames:
                self._on_frame(self._frames.popleft())
            else:
                piece = bytes(self._rest[: deflate.PIECE_BYTES])
                del self._rest[: deflate.PIECE_BYTES]
                self._protocol.receive_data(piece)
                self._frames.extend(cast(list[Frame], self._protocol.events_received()))
                self._send()
        self._set_reading()

    def _unpack(self, unpacking: Unpacking) -> None:
        """Make a little more of a message, if those like this client have something left of this
        turn; all of them together are not to make everybody wait."""
        session = self.session
        assert session is not None
        guard = self._service.guard
        rank = guard.rank(session.client_class)
        if not self._has_turn and not guard.turns.free(rank):
            self._resting = True
            self._set_reading()
            guard.turns.queue(rank, self._have_turn)
            return
        self._has_turn = False
        began, made = clock(), unpacking.made
        try:
            message = unpacking.step(UNPACKED_AT_ONCE)
        except (UnpackedTooLarge, Damaged) as exc:
            self._give_up(exc)
            return
        finally:
            guard.turns.took(rank, clock() - began)
        self._note_turn(unpacking.made - made)
        if message is not None:
            self._unpacking = None
            session.feed([message])

    def _give_up(self, problem: UnpackedTooLarge | Damaged) -> None:
        """What came compressed is no message: nothing more is taken."""
        self._unpacking = None
        self._frames.clear()
        if isinstance(problem, Damaged):
            self._protocol.fail(1002, "decompression failed")
        else:
            self._node.wary.note(self._address, self._loop.time())
            self._protocol.fail(1009, "too large when it is unpacked")
        self._send()
        if self.session is not None:
            self.session.end()

    def _parse(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._take_events()

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            else:
                self._shake_hands(cast(Request, event))
        self._send()

    def eof_received(self) -> None:
        """The client will send no more."""
        self._protocol.receive_eof()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, with or without a goodbye."""
        if self._cut is not None:
            self._cut.cancel()
        self._node.left(self)
        self._node.addresses.gone(self._transport)
        if self._class is not None:
            self._service.guard.went(self._class)
            self._service.guard.turns.knocking.forget(self._transport)
        self.gone.set_result(None)
        if self.session is not None:
            self.session.end()
            self.session = None  # else each would keep the other for the collector to find
        self._rest.clear()
        self._frames.clear()
        self._unpacking = None
        self._protocol.parser.close()  # it holds on to the protocol likewise
        # What was wrong holds what it was found in, by its traceback: all of a bomb, unpacked.
        self._protocol.parser_exc = self._protocol.handshake_exc = None

    def pause_writing(self) -> None:
        """The client does not read: take no more of its requests."""
        if self.session is not None:
            self.session.stall(True)

    def resume_writing(self) -> None:
        """The client reads again. That is a sign of life, too: nothing of it was read meanwhile."""
        self._heard = self._loop.time()
        if self.session is not None:
            self.session.stall(False)

    # -- the handshake

    def _shake_hands(self, request: Request) -> None:
        found = judge(self._node, request, self._loop.time())
        if isinstance(found, Welcome):
            self._service, self._codec = found.service, found.codec(self._limits)
            # Offered none: the answer names none either, and JSON is spoken.
            named = [Subprotocol(found.codec.name)] if found.offered else None
            self._protocol.available_subprotocols = named
            found = self._accept(request, found.grant)
        self._protocol.send_response(found)

    def _accept(self, request: Request, grant: Grant) -> Response:
        response = self._protocol.accept(request)
        if response.status_code != 101:
            response = no_opening(request, response)
        else:
            self._first = frames.BINARY if self._codec.binary else frames.TEXT
            self._deflates = bool(self._protocol.extensions)
            self.session = Session(self._service, self._codec, self, self._node.session_ops)
            self.session.standing = Standing(grant, self._node.access)
            self._node.entered(self)
            self._class = self.session.client_class
            self._service.guard.came(self._class)
            self._service.guard.hear(self._transport, self._class)
        return response

    def number(self, number: int) -> None:
        """Be known by this number in the log."""
        if self.session is not None:
            self.session.number = number
        if logger.isEnabledFor(logging.DEBUG):
            extra = {"connection": number, "from": self._address, "cache": self._service.name}
            logger.debug("connection opened", extra=extra)

    # -- frames

    def _on_frame(self, frame: Frame) -> None:
        session = self.session
        if session is None or frame.opcode is Opcode.PING or frame.opcode is Opcode.PONG:
            return
        if frame.opcode is Opcode.CLOSE:
            session.end()
            return
        if frame.opcode is not Opcode.CONT:
            wanted = Opcode.BINARY if self._codec.binary else Opcode.TEXT
            if frame.opcode is not wanted:
                self.close(1003, f"{self._codec.name} wants {wanted.name.lower()} messages")
                session.end()
                return
            self._packed = isinstance(frame, deflate.PackedFrame)
        if not frame.fin:
            self._fragments += frame.data  # their sum is bounded by the protocol's max_size
            self._empty = 0 if frame.opcode is not Opcode.CONT else self._empty + (not frame.data)
            if self._empty > EMPTY_FRAGMENTS_MAX:
                self.close(1008, f"over {EMPTY_FRAGMENTS_MAX} empty fragments in a message")
                session.end()
            return
        data = bytes(frame.data)
        if self._fragments:
            data = bytes(self._fragments) + data
            self._fragments.clear()
        if self._packed and not session.over:
            self._unpacking = Unpacking(data, session.standing.message_bytes(self._limits))
            return
        if self._deflates:
            self._note_turn(len(data))
        session.feed([data])

    # -- what the session asks for

    def write(self, messages: list[bytes]) -> None:
        """Send encoded messages, each in one WebSocket message."""
        if self._protocol.state is State.OPEN:
            self._send()  # what the protocol says by itself, the handshake above all, goes first
            parts = [self._framed(message) for message in messages]
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def write_push(self, push: Push) -> None:
        """Send a push, framed, and compressed, once for all who get it: frames of a node carry no
        mask."""
        protocol = self._protocol
        if protocol.state is State.OPEN:
            if protocol.writes:
                self._send()
            frame = push.frames.get(self._deflates)
            if frame is None:
                frame = push.frames[self._deflates] = self._framed(push.message)
            self._transport.write(frame)

    def _framed(self, message: bytes) -> bytes:
        framed = deflate.frame if self._deflates else frames.frame
        return framed(message, self._first)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye, after all that was said; cut it if the client does not answer."""
        if self.session is not None:
            self.session.say_all()
        try:
            self._protocol.send_close(code, reason[:100])
        except InvalidState:
            return  # it is closing already
        self._send()

    def flush_later(self) -> None:
        """Flush the session when this turn of the loop has done what it has to do."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def read_on(self, on: bool) -> None:
        """Read from the client, or let TCP make it wait."""
        self._wanted = on
        if on and self._behind and not self._resting:
            self._resting = True  # what came before is taken first, and not from in here
            self._loop.call_soon(self._next_turn)
        self._set_reading()

    def _have_turn(self) -> None:
        if self.session is not None:
            self._has_turn = True
            self._next_turn()

    def _next_turn(self) -> None:
        self._turn_bytes = 0
        self._resting = False
        if self._behind:
            self._inflate()
        self._set_reading()

    def _set_reading(self) -> None:
        on = self._wanted and not self._resting and not self._behind
        if on != self._reads and not self._transport.is_closing():
            self._reads = on
            if on:
                self._heard = self._loop.time()  # it could not say anything meanwhile
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def abort(self) -> None:
        """End the connection without another word."""
        self._transport.abort()

    def _flush(self) -> None:
        self._flushing = False
        if self.session is not None:
            self.session.flush()

    def _send(self) -> None:
        """Hand what the protocol wants to send to the transport, in one write."""
        parts = self._protocol.data_to_send()
        if parts:
            if parts[-1] == b"":  # the protocol's word for the end of what we send
                self._transport.write(b"".join(parts))
                self._transport.close()
                return
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._cut is None and self._protocol.close_expected():
            self._cut = self._loop.call_later(CLOSE_S, self._transport.abort)

    # -- the node's housekeeping

    def _count_for_class(self) -> None:
        """Who has said who it is counts for another class; one that is full has no place for it."""
        if self.session is None or self._class is None:
            return
        guard, found = self._service.guard, self.session.client_class
        guard.hear(self._transport, found)  # also since what a class is may have changed
        if found == self._class:
            return
        guard.went(self._class)
        self._class = found
        refusal = guard.connection(found, self._loop.time())
        guard.came(found)
        if refusal is not None:
            self.session.leave_for_later(refusal)

    def tick(self, now: float, ping_s: float) -> None:
        """Ping a silent client; leave one that stays silent."""
        self._look_who_it_is(now)
        self._count_for_class()
        if self.session is not None and self.session.made_to_wait:
            self._heard = now
        silent = now - self._heard
        if silent < ping_s or self._protocol.state is not State.OPEN:
            return
        if silent >= ping_s * (SILENT_PINGS_MAX + 1):
            self.close(1001, "silent")
        elif now - self._pinged >= ping_s:
            self._pinged = now
            self._protocol.send_ping(b"")
            self._send()

    def _look_who_it_is(self, now: float) -> None:
        session = self.session
        if session is None:
            return
        if session.standing.look(self._node.access, session.service, session, now):
            self.close(NOT_AUTHENTICATED, "the token is not good any more, and no other was sent")
        elif session.grant is NOBODY and now - self._began >= self._limits.hello_s:
            self.close(NO_HELLO, "who is it? no token came in time")
