"""What is sent: requests as bytes, and what may be done with one that was not answered.

Pure. A request is packed when it is asked for, so that what cannot be packed fails in the caller's
own frame; what is known only when it leaves (`min`, `once`, `trace`) is added to the bytes then.
"""

from __future__ import annotations

import asyncio
import enum
import math
from typing import Any, Final

import msgpack

from tlru.client.results import Reply
from tlru.errors import BadRequest, TlruError

_FIXMAP: Final = 0x80  # a msgpack map of up to 15 members says how many in its first byte
FIELDS_MAX: Final = 15

_packer = msgpack.Packer()
pack: Final = _packer.pack


class Kind(enum.Enum):
    """What a request is, and so what may be done when its connection dies before the answer."""

    READ = enum.auto()  # sent again, with `min` to a node that may be behind
    ASK = enum.auto()  # sent again; there is no `min` to it
    NAMED = enum.auto()  # a write with a name: sent again under the same name
    PLAIN = enum.auto()  # a write without one: its outcome is not known
    FEED = enum.auto()  # about a subscription, which ends with its connection: never sent again


class Rare:
    """What only some requests need: writes, what is traced, and what was tried before."""

    __slots__ = (
        *("bound", "epoch", "lost", "once", "once_fields"),
        *("refusal", "trace", "tries", "unsure"),
    )

    def __init__(self, epoch: str | None = None, *, bound: bool = False) -> None:
        self.epoch = epoch  # the one it was first sent in, or, if bound, was asked in
        self.bound = bound  # it speaks of versions or positions of that epoch
        self.once = 0  # its number among the named ones, once it has been sent
        self.once_fields: dict[str, Any] | None = None
        self.tries = 0  # how often it was refused
        self.lost = 0  # how many connections died under it
        self.refusal: TlruError | None = None  # why it was refused the last time
        self.unsure = False  # a node has said that the outcome of a try is not known
        self.trace: str | None = None  # that it belongs to, where that is recorded


class Request:
    """One request, from the call until its answer."""

    __slots__ = ("deadline", "future", "kind", "number", "payload", "rare")

    def __init__(
        self,
        number: int,
        future: asyncio.Future[Reply],
        payload: bytes,
        deadline: float,
        kind: Kind,
        rare: Rare | None,
    ) -> None:
        self.number = number
        self.future = future
        self.payload = payload
        self.deadline = deadline
        self.kind = kind
        self.rare = rare

    def pack(self) -> bytes:
        """Its bytes, but for what is known only when it leaves."""
        return self.payload

    def describe(self) -> str:
        """What was asked for, in the words of a message to its caller."""
        return describe(self.payload)

    def settled(self) -> bool:
        """Whether its caller has an answer, or has gone away."""
        return self.future.done()

    def history(self) -> Rare:
        """Its rare part, which is made when it is first needed."""
        if self.rare is None:
            self.rare = Rare()
        return self.rare

    @property
    def is_write(self) -> bool:
        """Whether its outcome matters when no answer comes."""
        return self.kind is Kind.PLAIN or self.kind is Kind.NAMED

    @property
    def may_be_done(self) -> bool:
        """Whether it is a write of which some try may have been done, whatever became of others."""
        rare = self.rare
        return rare is not None and self.is_write and (rare.lost > 0 or rare.unsure)

    def tell(self, error: TlruError) -> None:
        """End it with this error, if its caller still waits."""
        if not self.future.done():
            self.future.set_exception(error)

    def fail(self, kind: type[TlruError], what: str, **facts: Any) -> None:
        """End it with an error that begins with what was asked for."""
        self.tell(kind(f"{self.describe()} {what}", **facts))


def feed_request(number: int, payload: bytes, loop: asyncio.AbstractEventLoop) -> Request:
    """A request whose reply is told in order with what is pushed; nobody waits for it otherwise."""
    nobody: asyncio.Future[Reply] = loop.create_future()
    nobody.set_result({})
    return Request(number, nobody, payload, math.inf, Kind.FEED, None)


def pack_get(number: int, key: str) -> bytes:
    """A `get` of nothing but a key, which is most of what is ever asked."""
    try:
        return b"\x83\xa2op\xa3get\xa2id%b\xa3key%b" % (pack(number), pack(key))
    except (UnicodeEncodeError, OverflowError) as exc:
        raise BadRequest(f"{key!r} cannot be a key: {exc}") from exc


def pack_fields(fields: dict[str, Any]) -> bytes:
    """Any request. Fields that are None are left out: for the protocol they are absent."""
    present = {name: value for name, value in fields.items() if value is not None}
    assert len(present) <= FIELDS_MAX - 2, "room must be left for what is added when it leaves"
    try:
        return bytes(pack(present))
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as exc:
        raise BadRequest(f"the {fields.get('op')} cannot be sent: {exc}") from exc


def with_field(payload: bytes, name: str, value: Any) -> bytes:
    """The packed request with one more field."""
    return b"%c%b%b%b" % (payload[0] + 1, payload[1:], pack(name), pack(value))


def describe(payload: bytes) -> str:
    """What was asked for, in the words of a message to its caller."""
    fields = msgpack.unpackb(payload, strict_map_key=False)
    for name in ("key", "channel", "name", "prefix"):
        if name in fields:
            return f"{fields['op']} {fields[name]!r}"
    return str(fields["op"])
