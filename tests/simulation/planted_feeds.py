"""Faults in the feeds: in what is resumed, retained, folded, told of what there is, handed on.

As in `planted`, whose table they are entered into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

from tests.simulation.desk import Desk
from tests.simulation.planting import planted
from tlru.engine import feeds, patterns
from tlru.engine.events import Event, EventType
from tlru.engine.feeds import Feed, Feeds, Reader
from tlru.engine.folding import Folded, fold
from tlru.engine.items import Item
from tlru.engine.retained import Retained

# -- where somebody goes on


@planted("a feed that is resumed leaves one event out", "isolate", "crash")
def resumes_one_too_late() -> Iterator[None]:
    honest = Retained.after

    def after(self: Retained, pos: int) -> int | None:
        number = honest(self, pos)
        return None if number is None else min(number + 1, self.end)

    with patch.object(Retained, "after", after):
        yield


@planted("a feed that is resumed begins with the last that was told", "isolate", "crash")
def tells_the_last_again() -> Iterator[None]:
    honest = Retained.after

    def after(self: Retained, pos: int) -> int | None:
        number = honest(self, pos)
        return None if number is None else max(number - 1, self.first)

    with patch.object(Retained, "after", after):
        yield


@planted("a feed goes on over what is not retained any more", "isolate", "crash")
def resumes_over_a_gap() -> Iterator[None]:
    honest = Retained.after
    with patch.object(Retained, "after", lambda self, pos: honest(self, max(pos, self.base))):
        yield


@planted("where the oldest are let go, the last of them is said to be there", "isolate", "crash")
def cuts_one_too_much() -> Iterator[None]:
    honest = Retained._cut

    def cut(self: Retained) -> None:
        base = self.base
        honest(self)
        if self.base != base:
            self.base -= 1

    with patch.object(Retained, "_cut", cut):
        yield


@planted("whoever was in another epoch goes on in this one", "blackout", "unplug")
def resumes_in_another_epoch() -> Iterator[None]:
    honest = Feeds.subscribe

    def subscribe(self: Feeds[Any], *told: Any, since: Any = None, **more: Any) -> Any:
        known = None if since is None else since._replace(same_epoch=True)
        return honest(self, *told, since=known, **more)

    with patch.object(Feeds, "subscribe", subscribe):
        yield


@planted("who subscribes is said to have been told what this turn has brought", "isolate")
def begins_where_the_node_is() -> Iterator[None]:
    honest = Desk.subscribe

    def subscribe(self: Desk, connection: Any, *told: Any, **more: Any) -> tuple[int, bool]:
        with patch.object(Desk, "_tell", lambda self: None):
            upto, resumed = honest(self, connection, *told, **more)
        if not resumed and connection.reader.live:
            upto = self._machine.index
        return upto, resumed

    with patch.object(Desk, "subscribe", subscribe):
        yield


@planted("nobody is told that the state was replaced", "isolate", "crash")
def goes_on_over_a_snapshot() -> Iterator[None]:
    def begin_anew(self: Feeds[Any], source: Any, upto: int) -> None:
        self._source = source
        self.retained.base = upto
        self.flushed, self.upto = self.retained.end, upto

    with patch.object(Feeds, "begin_anew", begin_anew):
        yield


@planted("who begins anew is not told what there is, though it asked for it", "isolate", "crash")
def resets_without_a_snapshot() -> Iterator[None]:
    honest = Feeds._reset

    def reset(self: Feeds[Any], reader: Reader[Any]) -> None:
        honest(self, reader)
        reader.walk = None

    with patch.object(Feeds, "_reset", reset):
        yield


# -- readers that are behind


@planted("who is behind is given what another was, who came by another place", "isolate")
def gives_what_was_for_another() -> Iterator[None]:
    honest = Feeds._chunk

    def chunk(self: Feeds[Any], reader: Reader[Any]) -> tuple[Sequence[Any], int]:
        chunks = reader.feed.chunks
        later = [each for number, each in chunks.items() if number > reader.number]
        return later[-1] if later and not reader.fold else honest(self, reader)

    with patch.object(Feeds, "_chunk", chunk):
        yield


@planted("who does not read loses what came at that moment", "isolate")
def loses_what_a_stalled_one_missed() -> Iterator[None]:
    honest = Feeds._spread

    def spread(self: Feeds[Any], feed: Feed[Any], pushes: Sequence[Any], start: int) -> None:
        stalled = [reader for reader in feed.live if reader.sink.stalled]
        honest(self, feed, pushes, start)
        for reader in stalled:
            reader.number = self.flushed

    with patch.object(Feeds, "_spread", spread):
        yield


@planted("who took a part of what came is given all of it again", "isolate")
def gives_what_was_taken_again() -> Iterator[None]:
    honest = Feeds._spread

    def spread(self: Feeds[Any], feed: Feed[Any], pushes: Sequence[Any], start: int) -> None:
        with patch.object(Feeds, "_after", lambda self, pos: start):
            honest(self, feed, pushes, start)

    with patch.object(Feeds, "_spread", spread):
        yield


@planted("who lets others go first is taken for told", "isolate")
def forgets_who_waits() -> Iterator[None]:
    honest = Feeds._spread

    def spread(self: Feeds[Any], feed: Feed[Any], pushes: Sequence[Any], start: int) -> None:
        before = list(feed.live)
        honest(self, feed, pushes, start)
        for reader in before:
            if not (reader.live or reader.sink.stalled):
                reader.number = self.flushed

    with patch.object(Feeds, "_spread", spread):
        yield


@planted("who is behind is live again before it has come to the end", "isolate")
def is_live_too_early() -> Iterator[None]:
    def catch_up(self: Feeds[Any], reader: Reader[Any]) -> None:
        if reader.number < self.flushed:
            pushes, reader.number = self._chunk(reader)
            for push in pushes:
                reader.sink.deliver(push)
        self._go_live(reader)

    with patch.object(Feeds, "_catch_up", catch_up):
        yield


@planted("who reads again is not given what has come meanwhile", "isolate")
def wakes_nobody() -> Iterator[None]:
    with patch.object(Desk, "wake", lambda self, connection: None):
        yield


@planted("who is behind is told that it has come as far as the node", "isolate")
def says_too_high_a_position() -> Iterator[None]:
    honest = Feeds._chunk

    def chunk(self: Feeds[Any], reader: Reader[Any]) -> tuple[Sequence[Any], int]:
        with _another_upto(reader.feed, self.upto):
            return honest(self, reader)

    with patch.object(Feeds, "_chunk", chunk):
        yield


def _another_upto(feed: Feed[Any], upto: int) -> Any:
    honest: Callable[..., Any] = feed.encoding.events
    return patch.object(
        feed.encoding, "events", lambda feed, events, _: honest(feed, events, upto), create=True
    )


@planted("what one entry led to is split, where so much was looked at", "isolate")
def splits_a_version() -> Iterator[None]:
    def some(self: Retained, number: int, end: int, limit: int) -> Sequence[Event]:
        return self.events[number - self.first : min(number + limit, end) - self.first]

    with patch.object(Retained, "some", some):
        yield


@planted("a quiet feed says a position of which not all was told", "isolate")
def marks_what_was_not_told() -> Iterator[None]:
    def mark(self: Desk) -> None:
        self.feeds.upto = self._machine.index
        for feed in list(self.feeds.feeds.values()):
            list(self.feeds.mark(feed))

    with patch.object(Desk, "_mark", mark):
        yield


# -- what is watched


@planted("a clear is told to those alone whose prefix is as long", "isolate")
def clears_reach_the_longer_only() -> Iterator[None]:
    honest = patterns._Index.near

    def near(self: patterns._Index[Any], prefix: str) -> Iterator[Any]:
        lengths, self._lengths = self._lengths, {}
        try:
            yield from honest(self, prefix)
        finally:
            self._lengths = lengths

    with patch.object(patterns._Index, "near", near):
        yield


@planted("who leaves takes the length of its prefix with it", "isolate")
def forgets_a_length() -> Iterator[None]:
    honest = patterns._Index.remove

    def remove(self: patterns._Index[Any], pattern: patterns.Pattern, who: Any) -> None:
        self._lengths.setdefault(len(pattern.text), 1)
        honest(self, pattern, who)
        self._lengths.pop(len(pattern.text), None)

    with patch.object(patterns._Index, "remove", remove):
        yield


# -- folding


@planted("a touch takes the place of what set the key", "isolate")
def touches_fold_sets() -> Iterator[None]:
    def folding(events: Iterable[Event]) -> list[Folded]:
        as_deletes = {EventType.TOUCH: EventType.DELETE}
        told = list(events)
        kinds = [event._replace(type=as_deletes.get(event.type, event.type)) for event in told]
        originals = dict(zip(kinds, told, strict=True))
        return [(originals[event], count) for event, count in fold(kinds)]

    with patch.object(feeds, "fold", folding):
        yield


@planted("of several messages the last is told", "isolate")
def folds_messages() -> Iterator[None]:
    def folding(events: Iterable[Event]) -> list[Folded]:
        told = list(events)
        kinds = [
            event._replace(type=EventType.SET) if event.type is EventType.MESSAGE else event
            for event in told
        ]
        originals = dict(zip(kinds, told, strict=True))
        return [(originals[event], count) for event, count in fold(kinds)]

    with patch.object(feeds, "fold", folding):
        yield


@planted("a clear takes in what was said of any key", "isolate")
def clears_fold_everything() -> Iterator[None]:
    def folding(events: Iterable[Event]) -> list[Folded]:
        told = list(events)
        kinds = [
            event._replace(key="") if event.type is EventType.CLEAR else event for event in told
        ]
        originals = dict(zip(kinds, told, strict=True))
        return [(originals[event], count) for event, count in fold(kinds)]

    with patch.object(feeds, "fold", folding):
        yield


# -- what there is


@planted("what has changed since a snapshot began is listed as it is now", "isolate")
def lists_what_has_changed() -> Iterator[None]:
    honest = Feeds._walk

    def walk(self: Feeds[Any], reader: Reader[Any]) -> None:
        upto, reader.upto = reader.upto, 1 << 60
        feed = reader.feed
        listed: Callable[..., Any] = feed.encoding.snapshot
        with patch.object(
            feed.encoding,
            "snapshot",
            lambda feed, _, now, items, last: listed(feed, upto, now, items, last=last),
            create=True,
        ):
            honest(self, reader)
        reader.upto = upto

    with patch.object(Feeds, "_walk", walk):
        yield


@planted("what changed last before a snapshot is not listed", "isolate")
def leaves_out_the_last_change() -> Iterator[None]:
    honest = Feeds._walk

    def walk(self: Feeds[Any], reader: Reader[Any]) -> None:
        feed, upto = reader.feed, reader.upto
        listed: Callable[..., Any] = feed.encoding.snapshot
        reader.upto -= 1
        with patch.object(
            feed.encoding,
            "snapshot",
            lambda feed, _, now, items, last: listed(feed, upto, now, items, last=last),
            create=True,
        ):
            honest(self, reader)
        reader.upto = upto

    with patch.object(Feeds, "_walk", walk):
        yield


@planted("the next part of a snapshot begins behind the next key", "isolate")
def skips_a_key_between_parts() -> Iterator[None]:
    honest = Feeds._items

    def items(self: Feeds[Any], reader: Reader[Any], now: int) -> Iterator[Item]:
        found = honest(self, reader, now)
        if reader.walk:
            next(found, None)
        return found

    with patch.object(Feeds, "_items", items):
        yield


@planted("a snapshot says how far the node is when it ends", "isolate")
def snapshots_move_on() -> Iterator[None]:
    honest = Feeds._walk

    def walk(self: Feeds[Any], reader: Reader[Any]) -> None:
        reader.upto = self.upto
        honest(self, reader)

    with patch.object(Feeds, "_walk", walk):
        yield


@planted("what was only touched since a snapshot began is not listed", "isolate")
def leaves_out_what_was_touched() -> Iterator[None]:
    honest = Feeds._items

    def items(self: Feeds[Any], reader: Reader[Any], now: int) -> Iterator[Item]:
        return (item for item in honest(self, reader, now) if item.changed <= reader.upto)

    with patch.object(Feeds, "_items", items):
        yield
