"""One connection to a node: what was asked of it, and the replies that settle it.

It decides when the other side is no longer believed alive. What happens to requests that it leaves
unanswered, and where the next connection goes, is its owner's business.

A request that was written stays in `unanswered` until its reply has come or the connection is lost;
the owner hears of the loss exactly once, whatever ended it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Protocol, cast

from tlru.client.framing import End, Framing
from tlru.client.pulse import Pulse, Verdict
from tlru.client.requests import Kind, Request
from tlru.client.results import Reply
from tlru.client.settings import Timing

NORMAL: Final = 1000
BAD_DATA: Final = 1007
ABNORMAL: Final = 1006


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node takes, as its `hello` says (the protocol's defaults where it does not)."""

    message_bytes: int = 4 << 20
    batch: int = 1024
    in_flight: int = 4096
    keys: int = 10_000
    scan: int = 1000
    mark_s: int = 5
    key_bytes: int = 1024
    value_bytes: int = 1 << 20


class Owner(Protocol):
    """Who is told what a connection meets."""

    def answered(self, connection: Connection) -> None:
        """Replies have come: positions and room may have grown."""

    def settle(self, request: Request) -> None:
        """A named write has its answer."""

    def refused(self, connection: Connection, request: Request, error: Any) -> None:
        """A request was answered with an error."""

    def pushed(self, connection: Connection, message: Reply) -> None:
        """Something came that answers no request, or one about a feed; in the order sent."""

    def writable(self, connection: Connection) -> None:
        """What was written has drained; more may be."""

    def lost(self, connection: Connection) -> None:
        """Nothing more will come."""


class Connection(asyncio.Protocol):
    """A connection from its first byte to its last."""

    def __init__(
        self,
        url: str,
        framing: Framing,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        timing: Timing,
    ) -> None:
        self.url = url
        self.limits = Limits()
        self.epoch = ""
        self.takes_traces = False
        self.joins_sets = False  # plain ones, of which the node has to refuse none
        # This node has itself answered with these, so it is there.
        self.pos = 0
        self.time = 0
        self.unanswered: dict[int, Request] = {}
        self.paused = False
        self.alive = True
        # By the clock itself: some event loops only look at it once in a turn.
        self.heard = monotonic()
        self.owes_a_word = False  # something was sent, and nothing has been heard since
        self.sent_largest = 0
        self.end = End(ABNORMAL, "the connection was closed")
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.owner = owner
        self._framing = framing
        self._loop = loop
        self._timing = timing
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pulse: Pulse | None = None
        self._ping = b""
        self._held = False

    # What the owner does with it.

    def send(self, parts: Sequence[bytes]) -> None:
        """Send these requests as one message."""
        length = self._framing.message(parts)
        if length > self.sent_largest:
            self.sent_largest = length
        self.owes_a_word = True
        self._write_out()

    @property
    def takes_requests(self) -> bool:
        """Whether it is open, and no goodbye has been said."""
        return self.alive and self._framing.open

    def keep_alive(self, ping: bytes) -> None:
        """From now on ask, with this request, when nothing is heard for long."""
        self._ping = ping
        self._pulse = Pulse(self._timing.ping_after, self._timing.pong_within)
        self._on_pulse()

    def suspect(self, within: float) -> None:
        """Somebody has waited in vain: be heard within so many seconds, or be given up."""
        if self._pulse is not None and self.alive:
            self._obey(*self._pulse.ask(within, self.heard, monotonic()))

    def hold(self) -> None:
        """Read no more until `resume`."""
        if self._transport is not None and not self._held:
            self._held = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on, where it was held."""
        if self._transport is not None and self._held and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye; the node has a moment to close in turn."""
        self._pulse = None
        if self._framing.close(code, reason):
            self._write_out()
            self._arm(self._timing.close, self.abort)
        else:
            self.abort()

    def abort(self) -> None:
        """End it without a word."""
        self._disarm()
        if self._transport is not None:
            self._transport.abort()

    def file_number(self) -> int:
        """The socket's, or -1."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        return -1 if sock is None else int(sock.fileno())

    # What the event loop does with it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP (and TLS) is up: ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        self._write_out()

    def data_received(self, data: bytes) -> None:
        """Bytes have come: settle what they answer."""
        # By the clock itself: some event loops only look at it once in a turn.
        self.heard = monotonic()
        self.owes_a_word = False
        framing = self._framing
        if replies := framing.receive(data):
            self._on_replies(replies)
        self._write_out()
        if not self.upgraded.done():
            self._on_handshake()
        if framing.end is not None and self.alive:
            self._on_end(framing.end)

    def eof_received(self) -> None:
        """The other side will send no more, and takes no more either."""
        self._end_of_stream(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is gone."""
        self._disarm()
        self._end_of_stream(exc)
        if not self.gone.done():
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        """The node reads more slowly than we write."""
        self.paused = True

    def resume_writing(self) -> None:
        """There is room again."""
        self.paused = False
        self.owner.writable(self)

    # Replies.

    def _on_replies(self, replies: list[Reply]) -> None:
        take = self.unanswered.pop
        pos, time, named, feed = self.pos, self.time, Kind.NAMED, Kind.FEED
        rest: list[tuple[Request | None, Reply]] = []
        request: Request | None = None
        try:
            for reply in replies:
                request = take(reply.get("id", -1), None)
                if request is None or reply["ok"] is not True:
                    rest.append((request, reply))
                    continue
                if request.kind is feed:
                    rest.append((None, reply))  # it has its place among the pushes
                    continue
                if reply.get("pos", 0) > pos:
                    pos = reply["pos"]
                if reply.get("time", 0) > time:
                    time = reply["time"]
                if request.kind is named:
                    self.owner.settle(request)
                if not request.future.done():
                    request.future.set_result(reply)
        except (KeyError, TypeError) as exc:
            if request is not None:
                self.unanswered[request.number] = request  # that was no answer
            self._framing.fail(BAD_DATA, f"a reply of it makes no sense: {exc!r}")
        self.pos, self.time = pos, time
        for request, reply in rest:
            if request is None or request.kind is feed:
                self.owner.pushed(self, reply)
            else:
                self.owner.refused(self, request, reply.get("error"))
        self.owner.answered(self)

    # Ends.

    def _on_handshake(self) -> None:
        error = self._framing.handshake_error
        if error is not None:
            self.upgraded.set_exception(error)
            self.upgraded.exception()  # whoever opened it may have given up already
            self.abort()
        elif self._framing.upgraded:
            self.upgraded.set_result(None)

    def _end_of_stream(self, exc: Exception | None) -> None:
        self._framing.receive_eof()
        if self.alive:
            end = self._framing.end
            assert end is not None, "the end of the stream is an end"
            self._lose(end if exc is None else End(ABNORMAL, f"the connection broke: {exc}"))

    def _on_end(self, end: End) -> None:
        if self._transport is not None:
            self._transport.close()
        self._lose(end)

    def _lose(self, end: End) -> None:
        self.alive, self.end = False, end
        self._disarm()
        if not self.upgraded.done():
            self.upgraded.set_exception(ConnectionError(end.problem))
            self.upgraded.exception()  # likewise
        self.owner.lost(self)

    def _write_out(self) -> None:
        out = self._framing.to_send()
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(out)

    # Silence.

    def _on_pulse(self) -> None:
        assert self._pulse is not None, "only a connection that is kept alive has the timer"
        self._obey(*self._pulse.look(self.heard, monotonic()))

    def _obey(self, verdict: Verdict, again: float) -> None:
        if verdict is Verdict.GIVE_UP:
            silent = monotonic() - self.heard
            self.abort()
            self._lose(End(ABNORMAL, f"it has been silent for {silent:.1f} s"))
            return
        if verdict is Verdict.ASK:
            self.send([self._ping])
        self._arm(again, self._on_pulse)

    def _arm(self, delay: float, act: Any) -> None:
        self._disarm()
        self._timer = self._loop.call_later(delay, act)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
