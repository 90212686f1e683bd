"""One link: a connection with one other node, from its first byte to its last.

It decides when the other side is no longer believed alive, and that nothing but the greeting is
taken before both have proved themselves. Which of several links is used is its host's business.

Invariants: the owner's messages go and come only while the link is in use, in order, each once;
what is sent in one turn of the loop leaves in one write; the host hears of the end exactly once.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, cast

from peers.errors import LinkError, WireError
from peers.mesh.ends import REASON_BYTES_MAX, Close, End, reason, shown
from peers.mesh.frames import BINARY, CLOSE, PING, PONG, TEXT, FrameReader, FrameWriter
from peers.mesh.greeting import GREETING_BYTES_MAX, Greeting, Handshake, Side
from peers.mesh.outbox import Outbox
from peers.mesh.pulse import Pulse, ping, pong, read_pong
from peers.mesh.settings import MeshSettings, join_address
from peers.mesh.upgrade import Upgrade

PING_QUEUED_MAX: Final = 64 << 10  # behind more than that, a ping would measure the queue
HALF_OPEN_BYTES_MAX: Final = 4 * GREETING_BYTES_MAX  # taken in all before the greeting is over

READY: Final = b"ready"  # the dialler: you are welcome here too
USE: Final = b"use"  # the node of the lower id: this is the link


class Phase(enum.Enum):
    """How far a link has come."""

    UPGRADE = "upgrade"
    GREETING = "greeting"
    WAITING = "waiting"  # both are welcome; the node of the lower id has not said yet to use it
    IN_USE = "in use"
    CLOSING = "closing"
    GONE = "gone"


class Traffic:
    """What has passed, of one node, over all its links."""

    __slots__ = (
        *("bytes_in", "bytes_out", "dropped", "links", "messages_in", "messages_out", "spoke"),
    )

    def __init__(self) -> None:
        self.messages_in = self.messages_out = self.bytes_in = self.bytes_out = 0
        self.dropped = 0
        self.links = 0  # how many have been in use
        self.spoke = 0.0  # when the last message went or came


class Host(Protocol):
    """Who is told what a link meets, and knows what a link needs."""

    settings: MeshSettings
    on_message: Callable[[str, bytes], None]
    on_turn_end: Callable[[], None]
    clock: Callable[[], float]

    def arrived(self, link: Link) -> None:
        """Somebody is there."""

    def handshake(self, link: Link) -> Handshake:
        """What is to be said to whom."""

    def greeted(self, link: Link) -> None:
        """Both sides have proved themselves and are welcome."""

    def told_to_use(self, link: Link) -> None:
        """The other node says that this is the link."""

    def ended(self, link: Link) -> None:
        """Nothing more will come."""

    def flush_later(self, link: Link) -> None:
        """Call `flush` at the end of this turn."""


class Caller(Protocol):
    """Who has dialled a link."""

    node: str  # who was meant; empty where that is not known

    def up(self, link: Link) -> None:
        """It is in use."""

    def down(self, link: Link, end: End) -> None:
        """It was, and is no more."""


class Link(asyncio.Protocol):
    """A link, from either side."""

    def __init__(
        self, host: Host, side: Side, address: str = "", caller: Caller | None = None
    ) -> None:
        self.side, self.address, self.caller = side, address, caller
        self.phase = Phase.UPGRADE
        self.end: End | None = None
        self.node = ""  # who it is, once it is greeted
        self.version = 0  # of the protocol, likewise
        self.traffic = Traffic()
        self.pulse = Pulse()
        loop = asyncio.get_running_loop()
        self.settled: asyncio.Future[None] = loop.create_future()  # it is in use, or has ended
        self.gone: asyncio.Future[None] = loop.create_future()
        self.since = self.heard = 0.0
        self._host, self._loop, self._timing = host, loop, host.settings.timing
        self._transport: asyncio.Transport | None = None
        self._upgrade: Upgrade | None = None
        self._shake: Handshake | None = None
        dials = side is Side.DIALLER
        self._reader = FrameReader(masked=not dials, bytes_max=GREETING_BYTES_MAX)
        self._half_open_bytes = 0
        self._outbox = Outbox(
            FrameWriter(masked=dials),
            host.settings.send_buffer_bytes_max,
            partial(host.flush_later, self),
        )
        self._timer: asyncio.TimerHandle | None = None
        self._looked = 0.0
        self._doubted: tuple[float, Callable[[], None]] | None = None

    # -- what it is

    @property
    def greeting(self) -> Greeting:
        """What the other side said of itself."""
        assert self._shake is not None
        assert self._shake.theirs is not None, "it has greeted"
        return self._shake.theirs

    @property
    def proved(self) -> bool:
        """Whether the other side knows the secret."""
        return self._shake is not None and self._shake.proved

    @property
    def certificate(self) -> dict[str, Any] | None:
        """What the other side has shown and TLS has checked; None where it was not asked for."""
        assert self._transport is not None, "nobody asks before it is up"
        found: dict[str, Any] | None = self._transport.get_extra_info("peercert")
        return found

    def queued(self) -> int:
        """Bytes that wait to leave."""
        return self._outbox.queued()

    # -- what its host does with it

    def send(self, data: bytes) -> bool:
        """Queue a message; False where there is no room for it, or it is none for any link."""
        if len(data) > self._host.settings.frame_bytes_max:
            return False
        if not self._outbox.put(data):
            return False
        traffic = self.traffic
        traffic.messages_out += 1
        traffic.bytes_out += len(data)
        return True

    def use(self, traffic: Traffic, *, say: bool) -> None:
        """From now on the owner's messages go over this link."""
        assert self.phase is Phase.WAITING, f"a link that is {self.phase} cannot be used"
        self.traffic = traffic
        self.phase = Phase.IN_USE
        if say:
            self._outbox.say(TEXT, USE)
        self._disarm()
        self.since = self._looked = self.heard = time.monotonic()
        self._outbox.still_for(self.since)
        self._look()
        self._settle()

    def doubt(self, alive: Callable[[], None]) -> None:
        """The other node dials again: ask for an answer, and tell when it has come."""
        now = self._host.clock()
        self._doubted = now, alive
        self._outbox.say(TEXT, ping(now))

    def close(self, code: int, sentence: str) -> None:
        """Say goodbye after all that is queued; the other side has a moment to close in turn."""
        if self.phase in (Phase.CLOSING, Phase.GONE):
            return
        speaks = self.phase is not Phase.UPGRADE
        if self.end is None:
            self.end = End(code, sentence, ours=True)
        self.phase = Phase.CLOSING
        self._settle()
        if self._transport is None:
            return
        self._arm(self._timing.close_s, self.abort)
        if speaks:
            self._outbox.say(CLOSE, code.to_bytes(2, "big") + reason(sentence))
        else:
            self._transport.close()

    def abort(self, sentence: str = "it was cut") -> None:
        """End it without a word."""
        if self.end is None:
            self.end = End(Close.ABNORMAL, sentence, ours=True)
        self.phase = Phase.CLOSING if self.phase is not Phase.GONE else Phase.GONE
        self._settle()
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Write what has gathered."""
        self._outbox.flush()

    # -- what the event loop does with it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP (and TLS) is up."""
        self._transport = cast(asyncio.Transport, transport)
        self._outbox.open(self._transport)
        found = transport.get_extra_info("socket")
        if found is not None:
            with suppress(OSError):
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = transport.get_extra_info("peername")
        host = str(name[0]) if name else ""
        if not self.address:
            self.address = join_address(host, name[1]) if name else "?"
        self._arm(self._timing.greeting_s, self._too_slow)
        self._host.arrived(self)
        if self.phase is not Phase.UPGRADE:
            self._transport.abort()
            return
        if not self._host.settings.permits(host):
            self._fail(
                Close.SECRET, "without a cluster secret only this machine is linked: set one"
            )
            return
        tls = transport.get_extra_info("sslcontext") is not None
        self._upgrade = upgrade = Upgrade(self.side, self.address, tls=tls)
        self._transport.write(upgrade.to_send())

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self.heard = time.monotonic()
        if self.phase is Phase.IN_USE:
            self._on_frames(data)
        elif self.phase is not Phase.GONE:
            self._on_half_open(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is gone. Said again, it changes nothing."""
        if self.phase is Phase.GONE:
            return
        self._disarm()
        if self.end is None:
            said = "it ended the connection without a word" if exc is None else f"it broke: {exc}"
            self.end = End(Close.ABNORMAL, said, ours=False)
        self.phase = Phase.GONE
        self._outbox.drop()
        self._settle()
        if not self.gone.done():
            self.gone.set_result(None)
        self._host.ended(self)

    # -- what comes

    def _on_half_open(self, data: bytes) -> None:
        # Once it is welcome, its first messages may come with the last words of its greeting.
        if self.phase is not Phase.CLOSING and not (self._shake and self._shake.done):
            self._half_open_bytes += len(data)
            if self._half_open_bytes > HALF_OPEN_BYTES_MAX:
                self._fail(Close.TOO_BIG, f"more than {HALF_OPEN_BYTES_MAX} bytes of greeting")
                return
        if self.phase is Phase.UPGRADE:
            self._on_upgrade(data)
        else:
            self._on_frames(data)

    def _on_upgrade(self, data: bytes) -> None:
        upgrade, transport = self._upgrade, self._transport
        assert upgrade is not None
        assert transport is not None
        try:
            try:
                upgrade.receive(data)
            finally:
                if answer := upgrade.to_send():
                    transport.write(answer)
            if not upgrade.done:
                return
            self._shake = self._host.handshake(self)
            self.phase = Phase.GREETING
            for message in self._shake.open():
                self._outbox.say(BINARY, message)
        except LinkError as error:
            self._fail(error.code, error.sentence)
        except WireError as error:
            self._fail(Close.GREETING, f"a greeting cannot be written: {error}")

    def _on_frames(self, data: bytes) -> None:
        host, traffic, took = self._host, self.traffic, 0
        try:
            for first, payload in self._reader.feed(data):
                if first == BINARY and self.phase is Phase.IN_USE:
                    took += 1
                    traffic.bytes_in += len(payload)
                    host.on_message(self.node, payload)
                elif self._transport is not None:
                    self._on_other(first, payload)
                    traffic = self.traffic
        except LinkError as error:
            self._fail(error.code, error.sentence)
        finally:
            if took:
                traffic.messages_in += took
                traffic.spoke = self.heard
                host.on_turn_end()

    def _on_other(self, first: int, payload: bytes) -> None:
        if first == CLOSE:
            self._on_close(payload)
        elif self.phase is Phase.CLOSING:
            pass  # it was sent before our goodbye was read
        elif first == BINARY:
            self._on_greeting(payload)
        elif first == TEXT:
            self._on_word(payload)
        elif first == PING and not self._outbox.full:
            self._outbox.say(PONG, payload)

    def _on_greeting(self, message: bytes) -> None:
        shake = self._shake
        assert shake is not None
        finished = shake.done
        if self.phase is not Phase.GREETING or finished:
            raise LinkError(Close.PROTOCOL, "a message came before the link was in use")
        for answer in shake.receive(message):
            self._outbox.say(BINARY, answer)
        if shake.end is not None:
            self.end = shake.end
            # Its sentence has already gone in full, or come.
            self.close(shake.end.code, shake.end.sentence)
        elif shake.done:
            self._reader.bytes_max = self._host.settings.frame_bytes_max
            if self.side is Side.DIALLER:
                self._outbox.say(TEXT, READY)
                self._on_greeted()

    def _on_greeted(self) -> None:
        assert self._shake is not None
        self.phase = Phase.WAITING
        self.node, self.version = self.greeting.node, self._shake.version
        self._host.greeted(self)

    def _on_word(self, text: bytes) -> None:
        word, *rest = text.split(b" ") or [b""]
        if self.phase is Phase.IN_USE and word == b"ping" and len(rest) == 1:
            if not self._outbox.full:
                self._outbox.say(TEXT, pong(rest[0], self._host.clock()))
        elif self.phase is Phase.IN_USE and word == b"pong":
            self._on_pong(*read_pong(rest))
        elif self.phase is Phase.WAITING and word == USE:
            self._host.told_to_use(self)
        elif (
            self.phase is Phase.GREETING
            and word == READY
            and self.side is Side.LISTENER
            and self._shake is not None
            and self._shake.done
        ):
            self._on_greeted()
        elif self.phase is not Phase.IN_USE:
            raise LinkError(Close.PROTOCOL, "a word came that has no place in a greeting")

    def _on_pong(self, sent: float, theirs: float) -> None:
        self.pulse.answered(sent, theirs, self._host.clock())
        if self._doubted is not None and sent >= self._doubted[0] - 1e-6:
            _, alive = self._doubted
            self._doubted = None
            alive()

    def _on_close(self, payload: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if self.end is None:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else Close.NORMAL
            said = shown(payload[2 : 2 + REASON_BYTES_MAX].decode(errors="replace"))
            self.end = End(code, said or "it closed the link", ours=False)
        if self.phase is not Phase.CLOSING:
            self.phase = Phase.CLOSING
            self._outbox.say(CLOSE, payload[:2])
            self._arm(self._timing.close_s, self.abort)
        self._settle()
        self.flush()
        transport.close()

    # -- ends

    def _fail(self, code: int, sentence: str) -> None:
        if self.phase in (Phase.CLOSING, Phase.GONE):
            self.abort()  # what it still sends is none of our business
        else:
            self.close(code, sentence)

    def _too_slow(self) -> None:
        self._fail(Close.SLOW, f"no greeting within {self._timing.greeting_s:g} s")

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    # -- whether it lives

    def _look(self) -> None:
        now, timing = time.monotonic(), self._timing
        if now - self._looked > 2 * timing.ping_s:
            self.heard = now  # this process itself was held up: what has come was not read yet
        self._looked = now
        if now - self.heard >= timing.silent_s:
            self.abort(f"it was silent for {now - self.heard:.1f} s")
        elif self._outbox.still_for(now) >= timing.stalled_s:
            self.abort(f"it has taken nothing for {timing.stalled_s:g} s")
        else:
            if self.queued() < PING_QUEUED_MAX:
                self._outbox.say(TEXT, ping(self._host.clock()))
            self._arm(timing.ping_s, self._look)

    def _arm(self, delay: float, act: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self._loop.call_later(delay, act)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
