"""One watcher's feed: how far it has come, what it is given, what is kept from it.

Pure: pushes go in, and what is new in them goes to a sink. Which subscription they come from is no
business of this module; several may tell the same, one after another or at once.

Everything up to `place` was given, once and in order; nothing behind it was. Where that cannot be
kept, because the point is gone or belongs to another epoch, the sink is told so (`reset`) before
anything else. While a snapshot is being told there is no place: if it is cut off it comes anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tlru.client.changes import Place
from tlru.client.results import Reply
from tlru.errors import TlruError

CUT_OFF = "the snapshot was cut off, and is told anew"


class Sink(Protocol):
    """Who is given a feed."""

    patient: bool
    """It waits on while every server refuses us, rather than to be told so."""

    def begun(self, place: Place, reset: str | None) -> None:
        """It begins here; anew, where `reset` says why."""

    def events(self, start: Place, upto: int, events: Sequence[Reply]) -> bool:
        """What happened between these points; whether more is taken for now."""

    def items(self, upto: Place, time: int, items: Sequence[Reply], last: bool) -> bool:
        """A part of what there is; whether more is taken for now."""

    def linked(self, linked: bool) -> None:
        """Whether a node tells at once what happens, as far as can be known."""

    def ended(self, error: TlruError) -> None:
        """Nothing more will come."""

    def forked(self, error: TlruError) -> None:
        """The same in a child of the process, where nobody waits: who does is in the parent."""


class Feed:
    """The state of one feed."""

    __slots__ = ("_telling", "due", "fold", "lost", "place", "sink", "snapshot")

    def __init__(
        self, sink: Sink, *, since: Place | None = None, snapshot: bool = False, fold: bool = False
    ) -> None:
        self.sink = sink
        self.fold = fold
        self.snapshot = snapshot
        self.place = since
        self.due = snapshot and since is None  # a snapshot has to come before events
        self.lost: str | None = None  # why it has to begin anew, until it is known where
        self._telling = False  # in the middle of a snapshot

    def enter(self, epoch: str) -> None:
        """The node is in this epoch."""
        if self.place is not None and self.place.epoch != epoch:
            self.lose(f"the cache has begun another life since {self.place}")

    def lose(self, reason: str) -> None:
        """What follows its place is not to be had any more."""
        self.lost = reason
        self.place = None
        self.due = self.snapshot
        self._telling = False

    def cut(self) -> None:
        """The subscription is gone; one that is in the middle of a snapshot begins anew."""
        if self._telling:
            self.lose(CUT_OFF)

    def begin(self, place: Place) -> None:
        """It has no place, and goes on from here."""
        assert self.place is None, "it has a place"
        assert not self.due, "a snapshot gives it one"
        self.place = place
        self._say_begun(place)

    def take(self, upto: int, events: Sequence[Reply]) -> bool:
        """All events of a subscription up to a point; whether it takes more for now."""
        place = self.place
        assert place is not None, "who has no place cannot tell what is new"
        if upto <= place.pos:
            return True
        if events and events[0]["version"] <= place.pos:
            events = [event for event in events if event["version"] > place.pos]
        self.place = Place(place.epoch, upto)
        return self.sink.events(place, upto, events)

    def take_items(self, upto: Place, time: int, items: Sequence[Reply], *, last: bool) -> bool:
        """The next part of a snapshot; whether it takes more for now."""
        if not self._telling:
            self._telling = True
            self._say_begun(upto)
        if last:
            self._telling, self.due, self.place = False, False, upto
        return self.sink.items(upto, time, items, last)

    def _say_begun(self, place: Place) -> None:
        reset, self.lost = self.lost, None
        self.sink.begun(place, reset)

    def check(self) -> None:
        """What must hold between any two steps."""
        assert self.place is None or not self.due, "a snapshot is for who has no place"
        assert not self._telling or self.due, "a snapshot is told to who needs one"
