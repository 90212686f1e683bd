"""What a subscriber was told over its whole life, judged by what the log made.

Pure: a recorded stream and the events of one epoch go in, the first `Violation` comes out. The
checker walks along the reference with the subscriber and keeps two states: what the subscriber
makes of what it is told, and what the cache was at that position. Which events belong to a pattern
is said here once more, so that a mistake is not shared with what is judged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from tests.simulation.histories import Violation
from tlru.engine.events import Event, EventType
from tlru.engine.feeds import EVENT_BYTES
from tlru.engine.items import Item, is_reserved
from tlru.engine.operations import Rev
from tlru.engine.patterns import Kind, Pattern


class Held(NamedTuple):
    """What a key holds, as subscribers see it."""

    value: bytes
    version: int
    at: int
    expires: int | None = None
    rev: Rev | None = None
    mime: str | None = None

    @classmethod
    def of_item(cls, item: Item) -> Held:
        """An item, as it is told."""
        return cls(item.value, item.version, item.at, item.expires, item.rev, item.mime)


@dataclass(frozen=True, slots=True)
class Began:
    """The answer to `subscribe`."""

    upto: int
    since: int | None = None
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Pushed:
    """Events; with counts, each stands for so many. `more`: the next message belongs to it; None
    where that does not show."""

    upto: int
    events: tuple[Event, ...] = ()
    counts: tuple[int, ...] | None = None
    more: bool | None = False

    @property
    def size(self) -> int:
        """In bytes, about."""
        return sum(len(each.key) + len(each.value or b"") + EVENT_BYTES for each in self.events)


@dataclass(frozen=True, slots=True)
class Listed:
    """A part of a snapshot; `as_of` is how far the node was when it was made, where it is known."""

    upto: int
    now: int
    items: tuple[tuple[str, Held], ...]
    last: bool
    as_of: int | None = None

    @property
    def size(self) -> int:
        """In bytes, about."""
        return sum(len(key) + len(held.value) for key, held in self.items)


@dataclass(frozen=True, slots=True)
class Reset:
    """The feed goes on from here; what was before is lost."""

    upto: int
    size: ClassVar[int] = 0  # next to nothing


Told = Began | Pushed | Listed | Reset
States = dict[str, Held]


def concerns(pattern: Pattern, event: Event) -> bool:
    """Whether a subscription is told of an event."""
    channels = pattern.kind in (Kind.CHANNEL, Kind.CHANNEL_PREFIX)
    one = pattern.kind in (Kind.KEY, Kind.CHANNEL)
    if event.type is EventType.MESSAGE:
        named = event.key == pattern.text if one else event.key.startswith(pattern.text)
        return channels and named
    if channels or is_reserved(event.key):
        return False
    if event.type is EventType.CLEAR:
        # It may have taken a key that the pattern speaks of.
        shorter, longer = sorted((event.key, pattern.text), key=len)
        return longer.startswith(shorter) and not (one and event.key != shorter)
    return event.key == pattern.text if one else event.key.startswith(pattern.text)


def carry_out(events: Iterable[Event], state: States) -> None:
    """What somebody knows who is told of events."""
    for event in events:
        kind, key = event.type, event.key
        if kind is EventType.SET:
            assert event.value is not None
            state[key] = Held(
                event.value, event.version, event.at, event.expires, event.rev, event.mime
            )
        elif kind is EventType.TOUCH:
            if key in state:
                state[key] = state[key]._replace(expires=event.expires)
        elif kind is EventType.CLEAR:
            for gone in [each for each in state if each.startswith(key)]:
                del state[gone]
        elif kind is not EventType.MESSAGE:
            state.pop(key, None)


def check_stream(
    name: str,
    told: Sequence[Told],
    made: Sequence[Event],
    *,
    snapshot: bool = False,
    whole: bool = False,
) -> Violation | None:
    """Whether a subscriber got each of the events `made` that it is to get, once and in order, and
    knows what the cache holds.

    `snapshot`: it asked for what there is; without, it is taken to know that when it begins.
    `whole`: nothing is under way to it any more.
    """
    follower = _Follower(made, snapshot)
    for number, each in enumerate(told):
        if (fault := follower.follow(each)) is not None:
            evidence = tuple(told[max(0, number - 2) : number + 1])
            return Violation(f"subscriber {name}: {fault}", evidence)
    if whole and (fault := follower.fault_at_the_end()) is not None:
        return Violation(f"subscriber {name}: {fault}", tuple(told[-2:]))
    return None


class _Follower:
    """Walks along the reference with one subscriber."""

    def __init__(self, made: Sequence[Event], snapshot: bool) -> None:
        self.made = made
        self.versions = [event.version for event in made]
        assert self.versions == sorted(self.versions), "the reference is in the order of the log"
        self.ats = [event.at for event in made]
        self.place = {event: place for place, event in enumerate(made)}
        self.snapshot = snapshot
        self.upto = 0
        self.next = 0  # the first of `made` after `upto`
        self.truth: States = {}  # at `upto`
        self.state: States = {}  # as the subscriber knows it
        self.stale: set[str] = set()  # of which an event must still tell
        self.owed = 0  # events that others of the same messages will stand for
        self.listing: States | None = None  # a snapshot of which not all has come
        self.listed = ""  # the last key of it
        self.now = 0
        self.due_reset = False

    def follow(self, told: Told) -> str | None:
        if self.due_reset and not isinstance(told, Reset | Began):
            return f"does not go on from where it was, and is not told so, but {told}"
        match told:
            case Began():
                return self._on_began(told)
            case Reset():
                return self._on_reset(told)
            case Listed():
                return self._on_listed(told)
            case Pushed():
                return self._on_pushed(told)

    def fault_at_the_end(self) -> str | None:
        """What is missing though nothing is under way."""
        if self.due_reset or self.listing is not None:
            return "its beginning never came"
        if self.next < len(self.made):
            return f"never told of {self.made[self.next]}"
        if self.owed:
            return f"folded events stand for {self.owed} too few"
        if self.stale:
            return f"never told what became of {sorted(self.stale)}"
        return None

    # -- where it stands

    def _jump(self, upto: int) -> None:
        """Begin at a position, knowing what there is or waiting to be told."""
        self.upto, self.next, self.truth = upto, self._first_after(upto), {}
        carry_out(self.made[: self.next], self.truth)
        self.stale, self.owed = set(), 0
        self.listing, self.listed = ({} if self.snapshot else None), ""
        self.state = dict(self.truth)

    def _first_after(self, version: int) -> int:
        return bisect_right(self.versions, version)

    def _on_began(self, told: Began) -> str | None:
        self.owed = 0  # the rest of some messages may have been lost
        self.due_reset = False
        if told.resumed:
            if not told.upto == told.since == self.upto:
                return f"goes on from {told.upto}, and was at {self.upto}"
            return None
        if told.since is not None and told.upto < told.since:
            return f"is answered from {told.upto}, and was at {told.since}"
        self._jump(told.upto)
        self.due_reset = told.since is not None
        return None

    def _on_reset(self, told: Reset) -> str | None:
        if told.upto < self.upto:
            return f"reset to {told.upto}, though it was told of all up to {self.upto}"
        self.due_reset = False
        self._jump(told.upto)
        return None

    # -- events

    def _on_pushed(self, told: Pushed) -> str | None:
        if self.listing is not None:
            return f"told of events before all of the snapshot had come: {told}"
        if told.upto < self.upto:
            return f"told of all up to {told.upto} after {self.upto}"
        end = self._first_after(told.upto)
        span = self.made[self.next : end]
        if told.counts is None and told.events != tuple(span):
            return self._difference(told, span)
        if told.counts is not None and (fault := self._fault_of_fold(told, end)) is not None:
            return fault
        carry_out(told.events, self.state)
        self._learn(told.events)
        carry_out(span, self.truth)
        self.upto, self.next = told.upto, end
        differ = self._differ()
        if told.more or (told.more is None and self.owed):
            self.stale |= differ  # what follows tells of it
        elif differ:
            key = min(differ)
            return f"at {told.upto} {key!r} is {self.truth.get(key)}, told {self.state.get(key)}"
        return None

    def _difference(self, told: Pushed, span: Sequence[Event]) -> str:
        for event in told.events:
            place = self.place.get(event)
            if place is None:
                return f"told of {event}, which never happened"
            if place < self.next:
                return f"told of {event} again, or too late: it was told of all up to {self.upto}"
            if event.version > told.upto:
                return f"told of {event}, as of something up to {told.upto}"
        for event, made in zip(told.events, span, strict=False):
            if event != made:
                return f"told of {event}, but not of {made} before it"
        if len(told.events) > len(span):
            return f"told of {told.events[len(span)]} twice"
        return f"told that all up to {told.upto} was told, but not of {span[len(told.events)]}"

    def _fault_of_fold(self, told: Pushed, end: int) -> str | None:
        assert told.counts is not None
        before = self.next - 1
        for event in told.events:
            place = self.place.get(event)
            if place is None:
                return f"told of {event}, which never happened"
            if not before < place < end:
                return f"told of {event} out of its place"
            before = place
        messages = {e for e in self.made[self.next : end] if e.type is EventType.MESSAGE}
        if missing := messages.difference(told.events):
            return f"not told of the message {min(missing, key=lambda each: each.version)}"
        self.owed += end - self.next - sum(told.counts)
        if self.owed < 0 or (self.owed and told.more is False):
            return f"folded events stand for {self.owed} too few up to {told.upto}"
        return None

    def _learn(self, events: Iterable[Event]) -> None:
        if self.stale:
            for event in events:
                if event.type is EventType.CLEAR:
                    self.stale = {key for key in self.stale if not key.startswith(event.key)}
                elif event.type is not EventType.TOUCH or event.key in self.state:
                    self.stale.discard(event.key)  # a touch alone says no value

    def _differ(self) -> set[str]:
        if self.state == self.truth:
            return set()
        keys = self.state.keys() | self.truth.keys()
        return {k for k in keys - self.stale if self.state.get(k) != self.truth.get(k)}

    # -- snapshots

    def _on_listed(self, told: Listed) -> str | None:
        if self.listing is None:
            return f"told of a snapshot that it did not wait for: {told}"
        if told.upto != self.upto:
            return f"told of a snapshot at {told.upto}, having begun at {self.upto}"
        self.now = max(self.now, told.now)
        changed, touched = self._changed_until(told.as_of)
        for key, held in told.items:
            if key <= self.listed:
                return f"{key!r} stands in the snapshot after {self.listed!r}"
            if told.as_of is not None and key in changed:
                return f"{key!r} is listed, though it has changed after {self.upto}"
            was = self.truth.get(key)
            lives = touched.get(key, [])
            if held != was and not (was and held in [was._replace(expires=e) for e in lives]):
                return f"at {self.upto} {key!r} is {was}, and listed as {held}"
            self.listed = key
            self.listing[key] = held
        if told.last:
            return self._end_listing(changed, touched)
        return None

    def _end_listing(self, changed: set[str], touched: dict[str, list[int | None]]) -> str | None:
        assert self.listing is not None
        for key, held in self.truth.items():
            ends = touched[key][-1] if key in touched else held.expires
            is_over = ends is not None and ends <= self.now
            if key not in self.listing and key not in changed and not is_over:
                return f"{key!r} is not listed, though it has not changed after {self.upto}"
        self.state, self.listing = self.listing, None
        # What has changed is told of; of what was touched the new life was listed, which is too.
        self.stale = {k for k, held in self.truth.items() if self.state.get(k) != held}
        return None

    def _changed_until(self, as_of: int | None) -> tuple[set[str], dict[str, list[int | None]]]:
        """The keys that have changed after `upto`, and the lives of those that were touched. Where
        nobody knows how far the node was, it was not beyond the time that it has told."""
        end = bisect_right(self.ats, self.now) if as_of is None else self._first_after(as_of)
        changed: set[str] = set()
        touched: dict[str, list[int | None]] = {}
        for event in self.made[self.next : end]:
            if event.type is EventType.CLEAR:
                changed |= {key for key in self.truth if key.startswith(event.key)}
            elif event.type is EventType.TOUCH:
                touched.setdefault(event.key, []).append(event.expires)
            elif event.type is not EventType.MESSAGE:
                changed.add(event.key)
        return changed, touched
