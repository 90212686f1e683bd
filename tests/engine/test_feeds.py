"""Feeds under a model: whoever reads, however slowly, sees what has happened, in order, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import tlru.engine.feeds as feeds_module
from tlru.engine.events import Event, EventType
from tlru.engine.feeds import Feeds, Reader, Since
from tlru.engine.folding import Folded
from tlru.engine.items import Item
from tlru.engine.patterns import Pattern

KEYS = ("a", "ab", "abc", "b", "ba", "c")
PATTERNS = ("*", "a*", "ab*", "a", "b", "ba*", "z", "#*", "#a", "#a*")
RETAINED_BYTES = 40_000  # some 130 events: resets do happen


@dataclass
class Told:
    """A push, as nothing but what is in it."""

    kind: str
    upto: int
    events: Sequence[Folded] = ()
    items: dict[str, Item] = field(default_factory=dict)
    last: bool = False

    @property
    def size(self) -> int:
        return sum(len(event.value or b"") for event, _ in self.events)


class Plain:
    """An encoding into `Told`; messages hold two versions, so that there are several."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max

    def events(self, feed: int, events: Sequence[Event], upto: int) -> list[Told]:
        return self.folded(feed, [(event, 1) for event in events], upto)

    def folded(self, feed: int, events: Sequence[Folded], upto: int) -> list[Told]:
        versions = sorted({event.version for event, _ in events})
        told = []
        for first in range(0, max(1, len(versions)), 2):
            part = versions[first : first + 2]
            end = upto if part == versions[-2:][-len(part) :] else part[-1]
            told.append(Told("events", end, [e for e in events if e[0].version in part]))
        told[-1].upto = upto
        return told

    def snapshot(
        self, feed: int, upto: int, now: int, items: Sequence[Item], *, last: bool
    ) -> Told:
        return Told("snapshot", upto, items={item.key: item for item in items}, last=last)

    def reset(self, feed: int, reason: str, upto: int) -> Told:
        return Told("reset", upto)


class Pipe:
    """A sink that takes so many pushes and no more, until it is opened again."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.told: list[Told] = []

    @property
    def stalled(self) -> bool:
        return self.room <= 0

    def deliver(self, push: Told) -> bool:
        assert self.room > -8, "it is given more than one step while it takes nothing"
        self.room -= 1
        self.told.append(push)
        return not self.stalled


class Source:
    """What there is, in a plain dictionary."""

    def __init__(self) -> None:
        self.at = 0
        self.items: dict[str, Item] = {}

    def look(self, key: str, now: int) -> Item | None:
        return self.items.get(key)

    def scan(self, prefix: str, after: str | None, now: int) -> Iterator[tuple[str, Item]]:
        for key in sorted(self.items):
            if key.startswith(prefix) and (after is None or key > after):
                yield key, self.items[key]


def item(event: Event) -> Item:
    """What a set leaves."""
    assert event.value is not None
    version = event.version
    return Item(event.key, event.value, version, version, event.at, event.at, None, None, None)


@dataclass
class Watcher:
    """A reader, and all that it has been told."""

    pattern: Pattern
    reader: Reader[Told]
    pipe: Pipe
    fold: bool
    at: int  # everything up to here it knows, or does not want
    seen: int = 0  # of the pipe, what was judged
    state: dict[str, bytes] | None = None  # what it holds, where it asked for a snapshot
    walking: bool = False


class Watching(RuleBasedStateMachine):
    """Writes and readers, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(feeds_module, "LOOKS_A_STEP", 5)  # so that what is long has many steps
        self.source = Source()
        self._patch.setattr(feeds_module, "SERVED_BYTES_MIN", 500)
        self.feeds: Feeds[Told] = Feeds(self.source, RETAINED_BYTES, lets=self._lets)
        self.marks: list[Iterator[None]] = []
        self.nobody_is_let = False
        self.answers: list[bool] = []  # to those who ask whether they may have more now
        self.history: list[Event] = []
        self.index = 0
        self.watchers: list[Watcher] = []

    # -- what happens

    @rule(
        what=st.lists(
            st.tuples(st.sampled_from(list(EventType)), st.sampled_from(KEYS)),
            min_size=1,
            max_size=6,
        ),
        size=st.sampled_from([1, 1, 1, 4_000]),
    )
    def happen(self, what: list[tuple[EventType, str]], size: int) -> None:
        """One entry with some events."""
        self.index += 1
        events = [self._event(kind, key, size) for kind, key in what]
        self.history += events
        self.feeds.extend(events)

    @rule(count=st.integers(5, 60))
    def happen_often(self, count: int) -> None:
        """A turn that brings much."""
        self.feeds.flush(self.index)
        for n in range(count):
            self.happen([(EventType.SET, KEYS[n % len(KEYS)])], 1)
        self.feeds.flush(self.index)

    def _event(self, kind: EventType, key: str, size: int) -> Event:
        self.source.at += 1
        value = None
        items = self.source.items
        if kind is EventType.TOUCH and key not in items:
            kind = EventType.SET  # what is not there cannot be touched
        if kind in (EventType.SET, EventType.MESSAGE):
            value = b"%d" % self.index * size
        event = Event(kind, key, self.index, self.source.at, value)
        if kind is EventType.SET:
            items[key] = item(event)
        elif kind is EventType.TOUCH:
            old = items[key]
            items[key] = Item(
                key, old.value, old.version, self.index, old.at, old.created, None, None, None
            )
        elif kind is EventType.CLEAR:
            for gone in [each for each in items if each.startswith(key)]:
                del items[gone]
        elif kind is not EventType.MESSAGE:
            items.pop(key, None)
        return event

    @rule()
    def nothing_to_see(self) -> None:
        """An entry without events."""
        self.index += 1

    @rule()
    def end_turn(self) -> None:
        self.feeds.flush(self.index)

    @rule()
    def serve(self) -> None:
        self.feeds.flush(self.index)
        self.feeds.serve()

    def _lets(self, sink: object) -> bool:
        if self.nobody_is_let:
            return False
        return self.answers.pop() if self.answers else True

    @rule(answers=st.lists(st.booleans(), max_size=12))
    def others_go_first(self, answers: list[bool]) -> None:
        """From now on, as often as that is asked."""
        self.answers = answers

    @rule()
    def replace(self) -> None:
        """A snapshot is installed: the state leaps, and by which events nobody knows."""
        self.index += 5
        self.source = Source()
        self.source.at = self.index * 10
        event = Event(EventType.SET, "abc", self.index, self.source.at, b"leapt")
        self.source.items["abc"] = item(event)
        self.feeds.begin_anew(self.source, self.index)

    # -- who reads

    @rule(
        pattern=st.sampled_from(PATTERNS),
        name=st.sampled_from(["one", "two"]),
        snapshot=st.booleans(),
        fold=st.booleans(),
        back=st.one_of(st.none(), st.integers(0, 300)),
        room=st.sampled_from([0, 1, 3, 1_000_000]),
        same_epoch=st.sampled_from([True, True, True, False]),
    )
    def subscribe(
        self,
        pattern: str,
        name: str,
        snapshot: bool,
        fold: bool,
        back: int | None,
        room: int,
        same_epoch: bool,
    ) -> None:
        self.feeds.flush(self.index)
        pipe = Pipe()
        pipe.room = room
        wanted = Pattern.parse(pattern)
        since = None if back is None else Since(max(0, self.index - back), same_epoch)
        reader, resumed = self.feeds.subscribe(
            wanted,
            name,
            lambda: Plain(2_000),
            pipe,
            since=since,
            snapshot=snapshot,
            fold=fold,
        )
        if since is not None and same_epoch:
            base = self.feeds.retained.base
            assert resumed is (since.pos >= base), "it is resumed exactly where all is retained"
        assert pipe.told == [], "nothing comes before the reply"
        watcher = Watcher(wanted, reader, pipe, fold, reader.upto)
        if since is None and snapshot:
            watcher.walking, watcher.state = True, {}
        if since is not None and not resumed:
            watcher.at = -1  # it is told so first
        self.watchers.append(watcher)

    @precondition(lambda self: self.watchers)
    @rule(data=st.data(), room=st.sampled_from([0, 1, 2, 1_000_000]))
    def take(self, data: st.DataObject, room: int) -> None:
        """A reader takes more, or no more."""
        watcher = data.draw(st.sampled_from(self.watchers))
        watcher.pipe.room = room
        if room:
            self.feeds.wake(watcher.reader)

    @precondition(lambda self: self.watchers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        watcher = data.draw(st.sampled_from(self.watchers))
        self.watchers.remove(watcher)
        self.feeds.unsubscribe(watcher.reader)
        told = len(watcher.pipe.told)
        self.feeds.flush(self.index)
        self.feeds.serve()
        assert len(watcher.pipe.told) == told, "nothing comes after the end"

    @precondition(lambda self: self.watchers)
    @rule(data=st.data())
    def mark(self, data: st.DataObject) -> None:
        watcher = data.draw(st.sampled_from(self.watchers))
        self.marks.append(self.feeds.mark(watcher.reader.feed))

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def go_on_marking(self, data: st.DataObject) -> None:
        """One reader more is told how far the feed has come, whatever happened meanwhile."""
        marks = data.draw(st.sampled_from(self.marks))
        if next(marks, self.marks) is self.marks:
            self.marks.remove(marks)

    # -- what must be

    @invariant()
    def all_is_as_it_happened(self) -> None:
        for watcher in self.watchers:
            told = watcher.pipe.told
            for push in told[watcher.seen :]:
                self._judge(watcher, push)
            watcher.seen = len(told)

    def _judge(self, watcher: Watcher, push: Told) -> None:
        if push.kind == "reset":
            assert push.upto <= self.index
            watcher.at = push.upto
            watcher.walking = watcher.reader.snapshot
            watcher.state = {} if watcher.walking else None
            return
        assert watcher.at >= 0, "who cannot go on is told so first"
        if push.kind == "snapshot":
            assert watcher.walking
            assert push.upto == watcher.at
            assert watcher.state is not None
            assert not watcher.state.keys() & push.items.keys()
            assert all(each.version <= push.upto for each in push.items.values())
            watcher.state |= {key: each.value for key, each in push.items.items()}
            watcher.walking = not push.last
            return
        assert not watcher.walking, "events wait for the snapshot"
        assert watcher.at <= push.upto <= self.index
        due = [
            event
            for event in self.history
            if watcher.at < event.version <= push.upto and watcher.pattern.matches(event)
        ]
        if watcher.fold:
            self._judge_folded(watcher, push, due)
        else:
            assert [event for event, _ in push.events] == due
        watcher.at = push.upto
        for event, _ in push.events:
            _follow(watcher.state, event)

    @staticmethod
    def _judge_folded(watcher: Watcher, push: Told, due: list[Event]) -> None:
        """Folded ones may have been due in a later message already; none is made up, and what one
        holds at the end of a turn is judged by `everyone_catches_up`."""
        versions = [event.version for event, _ in push.events]
        assert versions == sorted(versions)
        assert {event for event, _ in push.events} <= set(due)
        messages = [event for event in due if event.type is EventType.MESSAGE]
        assert [e for e, _ in push.events if e.type is EventType.MESSAGE] == messages

    @rule()
    def everyone_catches_up(self) -> None:
        """Whoever takes all has all, and holds what there is, however many go first. Nobody wakes
        those who were only made to wait."""
        self.nobody_is_let = True
        self.feeds.flush(self.index)
        for watcher in self.watchers:
            if watcher.pipe.stalled:
                watcher.pipe.room = 1_000_000
                self.feeds.wake(watcher.reader)
            watcher.pipe.room = 1_000_000
        while self.feeds.ready:
            self.feeds.serve()
        self.nobody_is_let = False
        self.all_is_as_it_happened()
        for watcher in self.watchers:
            assert watcher.reader.live
            if watcher.state is not None and not watcher.walking:
                there = {
                    key: each.value
                    for key, each in self.source.items.items()
                    if not watcher.pattern.kind.of_channels
                    and watcher.pattern.matches(Event(EventType.SET, key, 0, 0))
                }
                assert watcher.state == there

    def teardown(self) -> None:
        try:
            self.everyone_catches_up()
        finally:
            self._patch.undo()


def _follow(state: dict[str, bytes] | None, event: Event) -> None:
    """Do as an event says."""
    if state is None:
        return
    kind, key = event.type, event.key
    if kind is EventType.SET:
        assert event.value is not None
        state[key] = event.value
    elif kind is EventType.CLEAR:
        for gone in [each for each in state if each.startswith(key)]:
            del state[gone]
    elif kind not in (EventType.MESSAGE, EventType.TOUCH):
        state.pop(key, None)


TestWatching: Any = Watching.TestCase
TestWatching.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
