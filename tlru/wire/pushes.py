"""Pushes as bytes: events that are encoded once, however many feeds and subscribers they go to.

Pure. An event's own encoding does not depend on who gets it, so a push is a head and the encodings
of its events joined. Events of one version are never split; beside that, a push is at most as large
as was asked, unless one version alone is larger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tlru.engine.events import Event
from tlru.engine.folding import Folded
from tlru.engine.items import Item
from tlru.wire.codec import Codec, Message

HEAD_BYTES = 64  # of a push of events, beside the events


class Push:
    """A message to subscribers. What a transport makes of it stays with it, for the next one."""

    __slots__ = ("event_streams", "events", "final", "frames", "message", "resumable", "upto")

    def __init__(
        self,
        message: bytes,
        upto: int,
        *,
        events: int = 0,
        resumable: bool = True,
        final: bool = False,
    ) -> None:
        self.message = message
        self.upto = upto
        self.events = events  # so many are in it
        # Whether a reader that was given all up to here has all that it takes to go on from `upto`.
        self.resumable = resumable
        self.final = final  # nothing of the feed comes after it
        self.frames: dict[bool, bytes] = {}  # by whether it is compressed
        self.event_streams: dict[bool, bytes] = {}  # by whether it is a chunk of its answer

    @property
    def size(self) -> int:
        """In bytes, before compression."""
        return len(self.message)


class EventEncoder:
    """Events in one codec, with their values or without."""

    def __init__(self, codec: Codec, *, values: bool) -> None:
        self.codec = codec
        self.values = values
        self._known: dict[int, bytes] = {}  # by the event's identity

    def forget(self) -> None:
        """The events that were encoded may be let go."""
        self._known.clear()

    def shared(self, event: Event) -> bytes:
        """One event, encoded once until `forget`; as long it has to be kept."""
        data = self._known.get(id(event))
        if data is None:
            data = self._known[id(event)] = self.one(event)
        return data

    def one(self, event: Event, folded: int = 0) -> bytes:
        """One event; `folded` earlier ones of its key are left out."""
        return self.codec.encode(shown_event(event, values=self.values, folded=folded))


class PushEncoding:
    """How a feed's pushes are written (`engine.feeds.Encoding`)."""

    def __init__(self, encoder: EventEncoder, bytes_max: int, epoch: Callable[[], str]) -> None:
        self.bytes_max = bytes_max
        self._encoder = encoder
        self._codec = encoder.codec
        self._epoch = epoch

    def events(self, feed: int, events: Sequence[Event], upto: int) -> list[Push]:
        """Events in as few messages as may be; the last of them says `upto`."""
        shared = self._encoder.shared
        return self._messages(feed, [(event.version, shared(event)) for event in events], upto)

    def folded(self, feed: int, events: Sequence[Folded], upto: int) -> list[Push]:
        """The same, of events that stand for several."""
        one = self._encoder.one
        encoded = [(event.version, one(event, stands_for - 1)) for event, stands_for in events]
        return self._messages(feed, encoded, upto)

    def _messages(self, feed: int, encoded: Sequence[tuple[int, bytes]], upto: int) -> list[Push]:
        messages = []
        for version, parts in _parted(encoded, self.bytes_max - HEAD_BYTES):
            last = upto if version is None else version
            message = self._codec.encode_events(feed, last, parts)
            messages.append(Push(message, last, events=len(parts)))
        return messages

    def snapshot(
        self, feed: int, upto: int, now: int, items: Sequence[Item], *, last: bool
    ) -> Push:
        """A part of what there is; lives count from `now`."""
        shown = [
            shown_item(item, now, {"key": item.key}, values=self._encoder.values) for item in items
        ]
        message = {"push": "snapshot", "feed": feed, "upto": upto, "time": now, "items": shown}
        if last:
            message["last"] = True
        return Push(self._codec.encode(message), upto, resumable=last)

    def reset(self, feed: int, reason: str, upto: int) -> Push:
        """The reader begins anew. There may be a snapshot to follow."""
        message = {"push": "reset", "feed": feed, "reason": reason, "epoch": self._epoch()}
        return Push(self._codec.encode({**message, "upto": upto}), upto, resumable=False)


def _parted(
    encoded: Iterable[tuple[int, bytes]], bytes_max: int
) -> Iterator[tuple[int | None, list[bytes]]]:
    """Encoded events as they go together, with the version of the last; None where no more follow.
    A version that began in one part ends in it."""
    parts: list[bytes] = []
    size, begun, at = 0, 0, -1  # `begun`: where the last version begins among the parts
    for version, data in encoded:
        if version != at:
            begun, before, at = len(parts), at, version
        size += len(data) + 1
        if size > bytes_max and begun:
            yield before, parts[:begun]
            parts = parts[begun:]
            size, begun = sum(map(len, parts)) + len(parts) + len(data) + 1, 0
        parts.append(data)
    yield None, parts


def shown_event(event: Event, *, values: bool, folded: int = 0) -> Message:
    """An event by the names of the protocol."""
    kind, key, version, at, value, expires, rev, mime = event
    fields: dict[str, Any] = {"type": kind.value, "key": key, "version": version, "at": at}
    if values and value is not None:
        fields["value"] = value
    if expires is not None:
        fields["ttl"] = (expires - at) / 1000
    if rev is not None:
        fields["rev"] = rev
    if mime is not None:
        fields["mime"] = mime
    if folded:
        fields["folded"] = folded
    return fields


def shown_item(item: Item, now: int, fields: Message, *, values: bool = True) -> Message:
    """An item's fields by the names of the protocol, added to `fields`."""
    if values:
        fields["value"] = item.value
    fields["version"] = item.version
    fields["at"] = item.at
    if item.expires is not None:
        fields["ttl"] = (item.expires - now) / 1000
    if item.rev is not None:
        fields["rev"] = item.rev
    if item.mime is not None:
        fields["mime"] = item.mime
    return fields
