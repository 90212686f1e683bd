"""One WebSocket connection's conversation: messages in, replies out, and how much of either.

Sans-I/O: bytes of whole WebSocket messages come in by `feed`, encoded replies leave through the
`Wire` that is given. This module decides in which order messages are taken, when the session stops
taking more, and what a message that cannot be understood is told. The service decides the answers.

Invariant: what the session holds is bounded. It takes no message while too many are unanswered or
while its client does not read, and the transport stops reading meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from time import perf_counter as clock
from typing import Any

from peers.core.entry import Dot
from tlru import errors
from tlru.access.grant import EVERYTHING, NOBODY, Grant
from tlru.access.rights import check
from tlru.engine.feeds import Reader
from tlru.node import commands
from tlru.node.access.standing import Standing
from tlru.node.limits import FREE, REFUSED_A_TURN, REFUSED_MAX, REST_S
from tlru.node.outgoing import OUT_BYTES_MAX, SLICE_BYTES, Outgoing
from tlru.node.rests import LARGE_BYTES
from tlru.node.service import CacheService
from tlru.node.session_wire import NOT_AUTHENTICATED, TOO_FAST, Wire
from tlru.node.turns import LEAST_RANK, REQUESTS
from tlru.wire.codec import Codec, FramingError, Message
from tlru.wire.pushes import Push
from tlru.wire.requests import OPS, checked, request_id

logger = logging.getLogger(__name__)

# So many times more requests than one WebSocket message may carry are refused one by one, and then
# nothing more of it is looked at: a message could be two million lines.
ENDLESS = 2

SHARE_MIN = 0.2  # of a slice
UNFORESEEN = "a request failed in a way that nobody foresaw"

Fields = dict[str, Any]
NodeOp = Callable[["Session", Fields], Fields | Coroutine[Any, Any, Fields]]
"""Answers what is asked about the node: at once, or when others have been asked."""


class Session:
    """The node's side of one WebSocket connection."""

    def __init__(
        self, service: CacheService, codec: Codec, wire: Wire, node_ops: dict[str, NodeOp]
    ) -> None:
        self.service = service
        self.codec = codec
        self.client = ""
        self.number = 0  # of the connection, in log lines; the node gives it
        self.standing = Standing(EVERYTHING)  # else whoever makes the session says so
        self.held = False  # until it is known who the client is, nothing of it is taken
        self.waiting: dict[Dot, str] = {}
        self.waits = self.requests = 0
        self.limits = service.limits  # that the client is told; they stay when others take effect
        self.push_bytes = self.limits.push_bytes
        self._outgoing = Outgoing(codec, wire, self.push_bytes)
        self._wire = wire
        # Kept, since to find the loop takes a system call, and this is asked with each request.
        self._time = asyncio.get_running_loop().time
        self._node_ops = node_ops
        self._frames: deque[bytes] = deque()
        self._messages: Iterator[Message | errors.BadRequest] | None = None
        self._taken = 0  # messages of the present frame
        self._unanswered: set[int] = set()
        self._pumping = self._taking = False
        self._share = 1.0  # of a slice, to take messages in: the rest is for what they lead to
        self._room = 0  # requests that may still be taken in this turn
        self.feeds: dict[int, Reader[Push]] = {}
        self.stalled = False  # the client does not read, or has to read older answers first
        self._reading, self._ended = True, False
        self._queued = False  # waits for its turn, until it is called
        self._resting = False  # with a large message, until it is called
        self._refused = self._too_fast = 0  # in this turn; in a row
        self._frame_refusal: errors.TlruError | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._large = self._large_turn = False  # the present frame is; the next has waited for that
        self._large_waits = False  # the next one is, and has to wait for others like it
        self._later: set[asyncio.Task[None]] = set()  # answers that wait for other nodes
        self._when_idle: asyncio.Future[None] | None = None  # only while the node stops

    # -- from the client

    def feed(self, payloads: list[bytes]) -> None:
        """Take the payloads of WebSocket messages that have come together."""
        if not self._ended:
            self._frames.extend(payloads)
            self.pump()

    def pump(self) -> None:
        """Take messages for as long as there are any and the bounds allow it."""
        if self._pumping or self._ended or self._rest is not None or self._resting:
            return
        rank = self._rank
        if self._has_more and (self._queued or not self.service.guard.turns.free(rank)):
            self._wait_for_turn(rank)
        else:
            self._pump(rank)

    def _pump(self, rank: int) -> None:
        self._pumping, self._room, self._refused = True, REQUESTS[rank], 0
        self.service.measure.begin()
        try:
            while self._take_slice(rank):
                pass
        except FramingError as exc:
            self._part(exc.close_code, exc.reason)
        finally:
            self._pumping = False
            self.service.measure.end(self)
        if self.over:
            return
        if self._large_waits:
            self._set_reading(False)
            self._resting = True
            self.service.guard.turns.rests.wait(self._go_on_with_large)
        elif self._refused >= REFUSED_A_TURN:
            self._be_at_rest()
        elif (self._room <= 0 or self._has_more) and not self._full():
            self._wait_for_turn(rank)  # the others have theirs; then we go on
        else:
            # Answers that came while the bound was met have made room for what is left.
            self._set_reading(not self._full())

    def _wait_for_turn(self, rank: int) -> None:
        """It goes on after those like it who wait already, and once they have a part of a turn."""
        self._set_reading(False)
        if not self._queued:
            self._queued = True
            self.service.guard.turns.queue(rank, self._have_turn)

    def _have_turn(self) -> None:
        self._queued = False
        if not (self._ended or self._rest is not None or self._resting):
            self._pump(self._rank)

    def _go_on_with_large(self) -> None:
        self._resting, self._large_waits, self._large_turn = False, False, True
        if not self._ended:
            self._pump(self._rank)  # at once, so that how long it takes is known before the next
        self._large_turn = False

    def _be_at_rest(self) -> None:
        self._refused = 0
        self._set_reading(False)
        self._rest = asyncio.get_running_loop().call_later(REST_S, self._go_on)

    def _go_on(self) -> None:
        self._rest = None
        self.pump()

    def _take_slice(self, rank: int) -> bool:
        """Take messages for a while, answer them, and count it; False: no more in this turn."""
        turns, began = self.service.guard.turns, clock()
        self._large = self._large and self._messages is not None
        until = None if (part := turns.slice_s(rank)) is None else began + part * self._share
        self._taking = True
        try:
            more = self._take_some(until)
            self._taking, taken_s = False, clock() - began
            self.service.flush()
            if until is not None:
                self._share = max(SHARE_MIN, taken_s / (clock() - began))
        finally:
            self._taking = False
            turns.took(rank, clock() - began, large=self._large)
        self._write_out()
        return self._room > 0 and (more or self._outgoing.goes_on) and turns.open(rank)

    def _take_some(self, until: float | None) -> bool:
        """Take messages until a bound is met; False where there is none left to take now."""
        outgoing = self._outgoing
        outgoing.late_bytes = 0
        most = outgoing.said_bytes + (OUT_BYTES_MAX if until is None else SLICE_BYTES)
        while self._room > 0 and not self._full():
            if outgoing.held_back:
                outgoing.say_one()
                self._look_whether_stalled()
            elif (message := self._next()) is not None:
                self._take(message)
            else:
                return False
            self._room -= 1
            if outgoing.said_bytes >= most or (until is not None and clock() >= until):
                return True
        return False

    def send_at_most(self, size: int) -> None:
        """Send WebSocket messages of so many bytes at the most, where that can be."""
        self.push_bytes = self._outgoing.bytes_max = size

    @property
    def over(self) -> bool:
        """Whether nothing more is taken or said."""
        return self._ended

    @property
    def grant(self) -> Grant:
        """What its client may do."""
        return self.standing.grant

    def hold(self, held: bool) -> None:
        """Take nothing more of the client, or go on with it."""
        self.held = held
        if not held:
            self.pump()

    def turn_away(self, error: errors.TlruError) -> None:
        """End the conversation with somebody who is not let in."""
        self._part(NOT_AUTHENTICATED, error.message)

    def leave_for_later(self, error: errors.TlruError) -> None:
        """End the conversation; the client is told, for programs too, when to come back."""
        after = error.facts.get("after", 0.0)
        self._part(TOO_FAST, f"after={after:.3f} {error.message}")

    def _part(self, code: int, reason: str) -> None:
        self.say_all()
        self.end()
        self._set_reading(True)  # else its answer to our goodbye would never be read
        self._wire.close(code, reason)

    def stall(self, stalled: bool) -> None:
        """The client has stopped reading, or reads again."""
        self._outgoing.blocked = stalled
        self._look_whether_stalled()
        if stalled:
            self._set_reading(False)  # also its pings stay unread, whose answers would pile up
        else:
            self.pump()

    def _look_whether_stalled(self) -> None:
        """Whoever has to hear older answers first takes no events meanwhile."""
        before, outgoing = self.stalled, self._outgoing
        self.stalled = self._ended or outgoing.blocked or outgoing.held_back
        if before and not self.stalled:
            self.service.feeds.wake(self)

    def end(self) -> None:
        """The connection is gone."""
        if not self._ended:
            self._ended = True
            if self._rest is not None:
                self._rest.cancel()
            self._frames.clear()
            self._messages = None
            self._unanswered.clear()
            for task in self._later:
                task.cancel()
            self._note_idle()
            self.service.left(self)
            self._outgoing.clear()
            self.stalled = True  # nothing more is written

    @property
    def client_class(self) -> str:
        """Whose limits hold for it."""
        return self.standing.grant.client_class

    @property
    def made_to_wait(self) -> bool:
        """Whether it is the node that reads nothing of the client."""
        return self._queued or self._resting or self._rest is not None

    @property
    def _rank(self) -> int:
        return self.service.guard.rank(self.standing.grant.client_class)

    @property
    def idle(self) -> bool:
        """Whether everything that was asked has been answered."""
        return not self._unanswered and not self._has_more

    @property
    def _has_more(self) -> bool:
        """Whether the client has sent what was not taken yet, or is owed an answer."""
        return bool(self._frames) or self._messages is not None or self._outgoing.goes_on

    def until_idle(self) -> asyncio.Future[None]:
        """Resolves when everything that was asked has been answered, or nobody is left to ask."""
        if self._when_idle is None:
            self._when_idle = asyncio.get_running_loop().create_future()
        self._note_idle()
        return self._when_idle

    def _note_idle(self) -> None:
        waiter = self._when_idle
        if waiter is not None and not waiter.done() and (self._ended or self.idle):
            waiter.set_result(None)

    def _full(self) -> bool:
        outgoing = self._outgoing
        full = self.held or len(self._unanswered) >= self.limits.in_flight
        return outgoing.blocked or (full and not outgoing.held_back)

    def _set_reading(self, on: bool) -> None:
        if on != self._reading:
            self._reading = on
            self._wire.read_on(on)

    def _next(self) -> Message | errors.BadRequest | None:
        while True:
            if self._messages is None:
                if not self._frames:
                    return None
                guard, size = self.service.guard, len(self._frames[0])
                if self._waits_with(size):
                    return None
                frame = self._frames.popleft()
                if size > (most := self.standing.message_bytes(self.limits)):
                    raise FramingError(1009, f"over {most} bytes, and no token yet")
                self._frame_refusal = (
                    guard.arrived(self.client_class, size, self._time()) if guard.watches else None
                )
                self._messages = self.codec.decode(frame)
                self._taken = 0
            message = next(self._messages, None)
            if message is not None:
                self._taken += 1
                if self._taken > ENDLESS * self.limits.batch:
                    raise FramingError(1009, f"over {self._taken - 1} requests in one message")
                return message
            self._messages = None

    def _waits_with(self, size: int) -> bool:
        """Whether a frame has to wait for being large; else it is the present one."""
        large = size >= LARGE_BYTES
        if large and not self._large_turn and self._rank == LEAST_RANK:
            self._large_waits = not self.service.guard.turns.rests.open()
            if self._large_waits:
                return True
        self._large, self._large_turn = large, False
        return False

    def _take(self, message: Message | errors.BadRequest) -> None:
        self.requests += 1
        try:
            if isinstance(message, errors.BadRequest):
                raise message
            request = request_id(message)
            if request is not None and request in self._unanswered:
                raise errors.BadRequest(f"`id` {request} has not been answered yet; use another")
        except errors.BadRequest as error:
            self.push({"id": None, "ok": False, "error": error.to_wire()})
            return
        if request is not None:
            self._unanswered.add(request)
        try:
            self._carry_out(message, request)
        except Exception as exc:
            self._failed(request, exc)

    def _carry_out(self, message: Message, request: int | None) -> None:
        if self._taken > self.limits.batch:
            raise errors.TooLarge(f"one WebSocket message may carry {self.limits.batch} requests")
        if self.service.guard.watches and not self._let_in(message, request):
            return
        name = message.get("op")
        op = OPS.get(name) if isinstance(name, str) else None
        if op is None:
            if "command" in message and "op" not in message:
                commands.take(self, message, request)
                return
            raise errors.UnknownOp(f"there is no operation {str(name)[:40]!r}")
        args = checked(op, message, self.codec.reading)
        if (grant := self.standing.grant) is not EVERYTHING:
            check(grant, op.name, args, time.time())
        node_op = self._node_ops.get(op.name)
        if op.name == "subscribe":
            self.service.subscribe(args, self, request)
        elif op.name == "unsubscribe":
            self.service.unsubscribe(args, self, request)
        elif node_op is None:
            self.service.handle(op, args, self, request)
        else:
            answer = node_op(self, args)
            if isinstance(answer, dict):
                self.reply(request, answer)
            else:
                task = asyncio.get_running_loop().create_task(self._answer_later(request, answer))
                self._later.add(task)
                task.add_done_callback(self._later.discard)

    def _let_in(self, message: Message, request: int | None) -> bool:
        """Whether the limits of its class let a message in; it is told where they do not."""
        if message.get("op") in FREE:
            return True
        error = self._frame_refusal or self.service.guard.operation(self.client_class, self._time())
        if error is None:
            self._too_fast = 0
            return True
        self.refuse(request, error)
        self._refused += 1
        if self._refused >= REFUSED_A_TURN:
            self._room = 0
        self._too_fast += isinstance(error, errors.RateLimited)
        if self._too_fast > REFUSED_MAX:
            self.leave_for_later(error)
        return False

    def _failed(self, request: int | None, exc: Exception) -> None:
        if not isinstance(exc, errors.TlruError):
            logger.exception(UNFORESEEN, extra={"connection": self.number, "request": request})
            exc = errors.Internal("the node failed; its log says how")
        self.refuse(request, exc)
        if self.standing.grant is NOBODY and isinstance(exc, errors.Unauthenticated):
            self.turn_away(exc)

    async def _answer_later(self, request: int | None, answer: Coroutine[Any, Any, Fields]) -> None:
        try:
            self.reply(request, await answer)
        except Exception as exc:
            self._failed(request, exc)

    # -- to the client

    def reply(self, request: int | None, fields: dict[str, Any]) -> None:
        """Answer a request, unless it wanted no answer. The fields become the session's own."""
        if request is not None:
            self._unanswered.discard(request)
            fields["id"] = request
            fields["ok"] = True
            self.push(fields)

    def reply_alike(self, requests: Sequence[int | None], fields: dict[str, Any]) -> None:
        """Answer several requests with the same fields."""
        numbers = [request for request in requests if request is not None]
        self._unanswered.difference_update(numbers)
        if self._ended or not numbers:
            return
        self._outgoing.say_alike(numbers, {**fields, "ok": True})
        if not self._pumping:
            self._wire.flush_later()  # also where all is written: there is room for more requests

    def refuse(self, request: int | None, error: errors.TlruError) -> None:
        """Tell that a request failed, unless it wanted no answer."""
        self.service.rates.errors[error.code] += 1
        if request is not None:
            self._unanswered.discard(request)
            self.push({"id": request, "ok": False, "error": error.to_wire()})

    def say(self, request: int | None, message: Message) -> None:
        """Answer in a form that is not the protocol's own; a request's id goes with it."""
        if request is not None:
            self._unanswered.discard(request)
            message["id"] = request
        self.push(message)

    def deliver(self, push: Push) -> bool:
        """Write what a feed's readers are given: the same bytes to each. What was said before goes
        before it, the answer to `subscribe` above all."""
        if self._outgoing.waits:
            self._write_out()
        if push.final and self._outgoing.held_back:
            self._outgoing.hold(push)  # one of these may be the answer to its `subscribe`
        else:
            self._wire.write_push(push)
        return not self.stalled

    def push(self, message: Message) -> None:
        """Tell the client something, whether or not it has asked for it."""
        if self._ended:
            return
        self._outgoing.say(message, late=not self._taking)
        self.stalled = self.stalled or self._outgoing.held_back
        if not self._pumping:
            self._wire.flush_later()

    def flush(self) -> None:
        """Write what has gathered; answers make room, so whoever had to wait is taken now."""
        self._write_out()
        if not self._reading or self._has_more:
            self.pump()

    def hurry(self) -> None:
        """Write what it was told, unless that is about to be done anyway."""
        if not self._pumping:
            self._write_out()

    def say_all(self) -> None:
        """Say what is still to be said, as far as the client reads: nothing comes after it."""
        self._outgoing.say_all()
        self._note_idle()

    def _write_out(self) -> None:
        if took_s := self._outgoing.write():
            self.service.guard.turns.took(self._rank, took_s)
        self._note_idle()
