"""Plain sets that are asked in one turn leave as one `set_many`.

Pure. What a request costs beside its key and value is its way through client and node: a number, a
reply, a look at each field. Sets that ask for nothing but a value under a key, and a life, share
that. A node orders what came together as one entry anyway, so each of them gets the version that it
would have had.

Invariants: of one key there is one set in a message of these, so that each of its versions is told.
Whatever is said of the whole is said to each caller of its own key. Only those are joined to which
the node cannot object for what they hold, by its limits and by what the client may do: asked again
each by itself they would come behind what was asked after them. Where it objects all the same (its
whole cache has no room for one of them) that is what is done, and on that connection nothing is
joined any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from tlru.client.connection import Limits
from tlru.client.replies import retold
from tlru.client.requests import Kind, Request, pack
from tlru.client.results import Reply
from tlru.engine.items import is_reserved
from tlru.errors import BadRequest, Forbidden, TlruError, TooLarge
from tlru.wire.limits import TTL_S_MAX, TTL_S_MIN

# So many that the node still gives way to others in between, and works on one message while the
# next is made.
ROWS_MAX: Final = 128
ROW_BYTES_MAX: Final = (
    16 << 10
)  # whatever is longer is packed once, by itself, and not copied again
BYTES_MAX: Final = 64 << 10

KEY_CHARS_MAX: Final = 256  # of four bytes at the most

CONTENT: Final = (BadRequest, TooLarge, Forbidden)  # what a node says of one of them, to all

_ITEM: Final = b"\x82\xa3key"
_ITEM_WITH_LIFE: Final = b"\x83\xa3key"
_VALUE: Final = b"\xa5value"
_LIFE: Final = b"\xa3ttl"
_SET: Final = b"%c\xa2id%b\xa2op\xa3set\xa7timeout%b%b"
_SET_FIELDS: Final = 0x83  # a map of three, and those of the item
_SET_MANY: Final = b"\x84\xa2id%b\xa2op\xa8set_many\xa7timeout%b\xa5items\xdc%b"
_ITEM_HEAD: Final = 0x80


class PlainSet(Request):
    """A `set` of a key, a value, and perhaps a life."""

    __slots__ = ("alone", "item", "key", "told")

    def __init__(
        self,
        number: int,
        future: asyncio.Future[Reply],
        key: str,
        item: bytes,
        told: bytes,
        deadline: float,
        *,
        alone: bool,
    ) -> None:
        """`item` is from `pack_item`, `told` the packed time that the node has. `alone`: it is not
        to be joined with others."""
        self.number = number
        self.future = future
        self.payload = b""  # made when it leaves by itself
        self.deadline = deadline
        self.kind = Kind.PLAIN
        self.rare = None
        self.key, self.item, self.told = key, item, told
        self.alone = alone

    def pack(self) -> bytes:
        """The request by itself."""
        item = self.item
        fields = _SET_FIELDS + item[0] - _ITEM_HEAD
        return _SET % (fields, pack(self.number), self.told, item[1:])

    def describe(self) -> str:
        """What was asked for, in the words of a message to its caller."""
        return f"set {self.key!r}"


def pack_item(key: str, value: bytes, life: float | None) -> bytes:
    """Key, value and life as they stand in a message."""
    try:
        name: bytes = pack(key)
        content: bytes = pack(value)
        if life is None:
            return _ITEM + name + _VALUE + content
        lasts: bytes = pack(life)
        return _ITEM_WITH_LIFE + name + _VALUE + content + _LIFE + lasts
    except (UnicodeEncodeError, OverflowError, TypeError) as exc:
        raise BadRequest(f"the set cannot be sent: {exc}") from exc


def may_be_refused(key: str, life: float | None) -> bool:
    """Whether a node may object to what a set holds, whoever asks for it."""
    if not key or len(key) > KEY_CHARS_MAX or is_reserved(key):
        return True
    return life is not None and not TTL_S_MIN <= life <= TTL_S_MAX


def may_be_joined(may: Any, limits: Limits) -> bool:
    """Whether a node that says so takes whatever we would join from a client with these rights."""
    write = may.get("write") if isinstance(may, dict) else None
    everything = isinstance(write, list) and "" in write
    room = limits.key_bytes >= 4 * KEY_CHARS_MAX and limits.value_bytes >= ROW_BYTES_MAX
    return everything and room


class Together(Request):
    """Several of them as one request, which is no caller's own."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[PlainSet]) -> None:
        first = parts[0]
        futures: Any = _Futures(parts)  # all that is asked of a future here
        super().__init__(first.number, futures, b"", first.deadline, Kind.PLAIN, None)
        self.parts = parts

    def pack(self) -> bytes:
        """The one request. It is never sent again as it is, so nothing keeps it."""
        first, count = self.parts[0], len(self.parts).to_bytes(2, "big")
        head = _SET_MANY % (pack(first.number), first.told, count)
        return b"".join([head] + [part.item for part in self.parts])

    def tell(self, error: TlruError) -> None:
        """End each of them with this error."""
        for part in self.parts:
            part.tell(retold(error, error.message))

    def fail(self, kind: type[TlruError], what: str, **facts: Any) -> None:
        """End each with an error that begins with its own key."""
        for part in self.parts:
            part.fail(kind, what, **facts)


class _Futures:
    """The futures of all, as if they were one."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[PlainSet]) -> None:
        self._parts = parts

    def done(self) -> bool:
        for part in self._parts:  # noqa: SIM110  compiled, a loop is a third of what `all` is
            if not part.future.done():
                return False
        return True

    def set_result(self, reply: Reply) -> None:
        for part in self._parts:
            if not (future := part.future).done():
                future.set_result(reply)


def run(queue: Iterable[Request], first: PlainSet, rows_max: int, bytes_max: int) -> list[PlainSet]:
    """Those at the beginning of the queue, `first` before all, that may leave together with it."""
    told, deadline, size, most = first.told, first.deadline, 0, min(bytes_max, BYTES_MAX)
    found: dict[str, PlainSet] = {}
    for request in islice(queue, min(rows_max, ROWS_MAX)):
        if (
            type(request) is not PlainSet
            or request.deadline != deadline
            or request.told != told
            or request.key in found
            or not may_join(request)
        ):
            break
        size += len(request.item)
        if size > most:
            break
        found[request.key] = request
    return list(found.values())


def may_join(request: PlainSet) -> bool:
    """Whether it may leave with others: nothing has become of it yet, and its caller waits."""
    return not request.alone and request.rare is None and not request.future.done()
