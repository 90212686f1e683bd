"""The two encodings of a connection: messages out of a frame, and replies into bytes.

Pure. Framing that is lost is a `FramingError` with its close code; a single bad line of JSON is
given back as an error in its place, and the lines after it go on. What a sender claims allocates
nothing: lengths are bounded before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import msgpack
import orjson

from tlru import errors
from tlru.wire import strict_json, values
from tlru.wire.fields import Reading, shown
from tlru.wire.limits import Limits

# No message of the protocol is an object of more members, `set_many`'s items included.
FIELDS_MAX = 64

Message = dict[Any, Any]

_SHORT_MAP, _SHORT_MAP_MAX = 0x80, 15  # the head of a map of so many fields at most is one byte

_LINES = re.compile(rb"[^\n]+")
_PACKER = msgpack.Packer(autoreset=True)
_pack: Callable[[Any], bytes] = _PACKER.pack

# The parts of a push of events between which its numbers stand.
_EVENTS_HEAD = b"\x84" + b"".join(map(msgpack.packb, ("push", "events", "feed")))
_UPTO, _EVENTS = msgpack.packb("upto"), msgpack.packb("events")


class FramingError(Exception):
    """The connection cannot be read any further."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code, self.reason = close_code, reason


class Codec(Protocol):
    """How a connection writes and reads."""

    name: ClassVar[str]
    binary: ClassVar[bool]
    separator: ClassVar[bytes]
    reading: Reading

    def decode(self, data: bytes) -> Iterator[Message | errors.BadRequest]:
        """The messages of a frame, one after another."""

    def encode(self, message: Message) -> bytes:
        """One message to the client."""

    def encode_alike(self, ids: Sequence[int], fields: Message) -> list[bytes]:
        """A message for each id, and in all of them the same fields, which are encoded once."""

    def encode_events(self, feed: int, upto: int, events: Sequence[bytes]) -> bytes:
        """A push of events that are encoded already."""


class MsgpackCodec:
    """`tlru.v1.msgpack`: maps one after another; a value is a `bin`."""

    name: ClassVar[str] = "tlru.v1.msgpack"
    binary: ClassVar[bool] = True
    separator: ClassVar[bytes] = b""

    def __init__(self, limits: Limits) -> None:
        self._bytes_max = limits.message_bytes
        # Up to twice what is allowed is read, so that the error can say by how much; beyond, the
        # framing is given up before anything is allocated for it.
        self._array_max = max(2 * limits.keys, 16)
        # A list of things and what is around it: no message has a tree, as a value of JSON can.
        self._containers_max = self._array_max + FIELDS_MAX
        self.reading = Reading(limits, _take_bin)
        self.encode = _pack
        self._lone = True  # the last frame was one map

    def decode(self, data: bytes) -> Iterator[Message | errors.BadRequest]:
        """The maps of a frame. FramingError (1007) where the bytes are not msgpack."""
        if self._lone and len(data) <= self._containers_max:
            # Most frames are. An unpacker for several costs more than to read one.
            try:
                message = msgpack.unpackb(
                    data,
                    max_array_len=self._array_max,
                    max_map_len=FIELDS_MAX,
                    strict_map_key=False,
                )
            except Exception:  # whatever else it is, is found out below
                self._lone = False
            else:
                return iter((message if type(message) is dict else _no_object(message),))
        return self._decode_several(data)

    def _decode_several(self, data: bytes) -> Iterator[Message | errors.BadRequest]:
        count, options = None, {}
        if len(data) > self._containers_max:  # in less there cannot be more
            count = _Containers(self._containers_max)
            options = {"list_hook": count, "object_hook": count}
        unpacker = msgpack.Unpacker(
            None,
            max_buffer_size=self._bytes_max,
            max_array_len=self._array_max,
            max_map_len=FIELDS_MAX,
            strict_map_key=False,
            **options,
        )
        taken = maps = 0  # the end of the last whole map: the unpacker's count runs into a half one
        try:
            unpacker.feed(data)
            for message in unpacker:
                taken, maps = unpacker.tell(), maps + 1
                if count is not None:
                    count.count = 0
                if type(message) is dict:
                    yield message
                else:
                    yield _no_object(message)
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as exc:
            raise FramingError(1007, f"not msgpack: {exc}"[:100]) from exc
        if taken != len(data):
            raise FramingError(1007, "the last map of the message is incomplete")
        self._lone = maps == 1

    def encode_alike(self, ids: Sequence[int], fields: Message) -> list[bytes]:
        """The same map with one more field before the others."""
        assert len(fields) < _SHORT_MAP_MAX, "a map of more has another head"
        pack = self.encode
        rest = pack(fields)[1:]
        head = bytes((_SHORT_MAP | len(fields) + 1,)) + pack("id")
        return [head + pack(id) + rest for id in ids]

    def encode_events(self, feed: int, upto: int, events: Sequence[bytes]) -> bytes:
        """A map of which the last member is the list."""
        pack, size = self.encode, _PACKER.pack_array_header(len(events))
        return b"".join((_EVENTS_HEAD, pack(feed), _UPTO, pack(upto), _EVENTS, size, *events))


class _Containers:
    """Counts the lists and maps of a message, and gives up where they are too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    def __call__(self, found: Any) -> Any:
        self.count += 1
        if self.count > self._most:
            raise ValueError(f"over {self._most} lists and maps in one message")
        return found


def _take_bin(found: Any) -> bytes:
    if type(found) is not bytes:
        raise errors.BadRequest(
            f"a value is {shown(found)}; over msgpack it must be a bin that holds its msgpack bytes"
        )
    return found


class JsonCodec:
    """`tlru.v1.json`: one object a line; a value is JSON with tags."""

    name: ClassVar[str] = "tlru.v1.json"
    binary: ClassVar[bool] = False
    separator: ClassVar[bytes] = b"\n"

    def __init__(self, limits: Limits) -> None:
        self._containers_max = limits.containers
        self.reading = Reading(limits, values.pack)

    def decode(self, data: bytes) -> Iterator[Message | errors.BadRequest]:
        """The objects of a frame. FramingError (1007) where it is not UTF-8."""
        try:
            str(data, "utf-8")
        except UnicodeDecodeError as exc:
            raise FramingError(1007, f"not UTF-8 at byte {exc.start}") from exc
        # One after another: a list of them would be twenty times what came, where they are short.
        for line in _LINES.finditer(data):
            try:
                message = strict_json.parse(line[0], self._containers_max)
            except errors.BadRequest as exc:
                yield exc
            else:
                yield message if type(message) is dict else _no_object(message)

    def encode(self, message: Message) -> bytes:
        """One line; every `bytes` in a message is a value."""
        return orjson.dumps(message, default=_show_value)

    def encode_alike(self, ids: Sequence[int], fields: Message) -> list[bytes]:
        """The same object with one more member before the others."""
        rest = self.encode(fields)[1:]
        return [b'{"id":%d,%b' % (id, rest) for id in ids]

    def encode_events(self, feed: int, upto: int, events: Sequence[bytes]) -> bytes:
        """An object of which the last member is the list."""
        head = b'{"push":"events","feed":%d,"upto":%d,"events":[' % (feed, upto)
        return b"%b%b]}" % (head, b",".join(events))


def _show_value(found: Any) -> Any:
    if isinstance(found, bytes):
        return values.unpack(found)
    raise TypeError(f"a message to a client holds a {type(found).__name__}")


def _no_object(found: Any) -> errors.BadRequest:
    return errors.BadRequest(f"a message is {shown(found)}; it must be an object")


CODECS: tuple[type[MsgpackCodec] | type[JsonCodec], ...] = (MsgpackCodec, JsonCodec)


def choose(offered: Sequence[str]) -> type[MsgpackCodec] | type[JsonCodec] | None:
    """The first subprotocol, in the client's order, that is known; JSON where none is offered."""
    if not offered:
        return JsonCodec
    known = {codec.name: codec for codec in CODECS}
    return next((known[name] for name in offered if name in known), None)
