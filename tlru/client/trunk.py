"""One subscription for all feeds of one topic: what is to be asked of the node, and who gets what.

Pure: replies and pushes go in, `next` says what to ask. A connection takes the same subscription
only once, so the feeds of a topic share it. It starts where the one that is furthest behind has to
go on, and each leaves out what it has had already (`feed.py`). Who needs a snapshot has the
subscription alone until it is told; then the others go on from where they were.

A feed whose sink takes no more leaves, and comes back when there is room: it is then behind, and
the subscription starts anew from its place. So nobody is held up by it, nothing waits in memory,
and where the node has not kept that much, it is told.

At most one request is under way. Until a node has confirmed an `unsubscribe` the feed's number may
still bring what was sent before, so a new subscription waits for that.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tlru.client.changes import Place, Topic
from tlru.client.feed import Feed
from tlru.client.results import Reply

NOT_RETAINED: Final = "the changes since then are not kept any more"


class Phase(enum.Enum):
    """How far a subscription is."""

    ASKED = enum.auto()
    RESETTING = enum.auto()  # its point was gone: a push says where it goes on
    SNAPSHOT = enum.auto()
    LIVE = enum.auto()
    LEAVING = enum.auto()


class Subscription:
    """A subscription on one connection, from being asked for."""

    __slots__ = ("epoch", "fold", "number", "phase", "pos", "since", "snapshot", "told", "wanted")

    def __init__(self, since: Place | None, *, snapshot: bool, fold: bool) -> None:
        self.phase = Phase.ASKED
        self.since = since
        self.snapshot = snapshot
        self.fold = fold
        self.told: list[Feed] = []  # to whom a snapshot is told
        self.epoch = ""
        self.number = -1
        self.pos = 0  # everything that follows this point has come, or will
        self.wanted = 0  # the position that it is to come to before it is up to date


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask for a subscription."""

    subscription: Subscription
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Ask for its end."""

    number: int


class Trunk:
    """All feeds of one topic."""

    def __init__(self, topic: Topic, send: str) -> None:
        self.topic = topic
        self.send = send
        self.feeds: list[Feed] = []
        self.subscription: Subscription | None = None

    def add(self, feed: Feed) -> None:
        """One feed more, or one that takes more again."""
        feed.cut()
        self.feeds.append(feed)

    def remove(self, feed: Feed) -> None:
        """One feed less, if it is here."""
        if feed in self.feeds:
            self._leave([feed])

    # What is to be asked.

    def next(self, epoch: str) -> Subscribe | Unsubscribe | None:
        """What is to be asked now of the node in service, which is in this epoch."""
        current = self.subscription
        if current is None:
            if not self.feeds:
                return None
            for feed in self.feeds:
                feed.enter(epoch)
            command = self.offer()
            self.subscription = command.subscription
            return command
        if current.phase in (Phase.LIVE, Phase.SNAPSHOT) and not self._serves(current):
            current.phase = Phase.LEAVING
            return Unsubscribe(current.number)
        return None

    def offer(self) -> Subscribe:
        """The subscription that the feeds need; it is theirs once it is taken up."""
        waiting = [feed for feed in self.feeds if feed.due]
        places = [feed.place for feed in self.feeds if feed.place is not None]
        since = None if waiting or not places else min(places, key=lambda place: place.pos)
        fold = all(feed.fold for feed in self.feeds)
        subscription = Subscription(since, snapshot=bool(waiting), fold=fold)
        subscription.told = waiting
        fields = {
            "op": "subscribe",
            **self.topic.fields,
            "send": None if self.send == "values" else self.send,
            "snapshot": bool(waiting) or None,
            "fold": fold or None,
            "since": None if since is None else since._asdict(),
        }
        return Subscribe(subscription, fields)

    def _serves(self, current: Subscription) -> bool:
        """Whether what is being told is of use to all, or will be in time."""
        if not self.feeds:
            return False
        if current.phase is Phase.SNAPSHOT:
            return any(feed in current.told for feed in self.feeds)
        if current.fold and not all(feed.fold for feed in self.feeds):
            return False
        for feed in self.feeds:
            feed.enter(current.epoch)
            if feed.place is None and not feed.due:
                feed.begin(Place(current.epoch, current.pos))
        return all(map(self._rides, self.feeds))

    def _rides(self, feed: Feed) -> bool:
        """Whether a feed misses nothing if it is given what comes now."""
        current = self.subscription
        place = feed.place
        return (
            current is not None
            and current.phase in (Phase.LIVE, Phase.LEAVING)
            and place is not None
            and place.epoch == current.epoch
            and place.pos >= current.pos
        )

    # What the node answers.

    def subscribed(self, epoch: str, number: int, upto: int, *, resumed: bool) -> None:
        """The subscription is there, on a connection in this epoch."""
        current = self.subscription
        assert current is not None, "it was asked for"
        current.epoch, current.number, current.pos = epoch, number, upto
        for feed in self.feeds:
            feed.enter(epoch)
        if current.snapshot:
            current.phase = Phase.SNAPSHOT
            # While this one was being opened, another may have told it to the end.
            current.told = [feed for feed in current.told if feed.due]
        elif current.since is not None and not resumed:
            current.phase = Phase.RESETTING
        else:
            current.phase = Phase.LIVE
        if resumed and current.since is not None:
            current.pos = current.since.pos
            self._place_newcomers(current)

    def _place_newcomers(self, current: Subscription) -> None:
        """Who has no place begins where the others are, not where the last of them is."""
        places = [feed.place.pos for feed in self.feeds if feed.place is not None]
        here = Place(current.epoch, max(places, default=current.pos))
        for feed in self.feeds:
            if feed.place is None and not feed.due:
                feed.begin(here)

    def unsubscribed(self) -> None:
        """Nothing of it will come any more."""
        self.subscription = None
        for feed in self.feeds:
            feed.cut()

    def refused(self) -> None:
        """The subscription will not be."""
        self.subscription = None

    # What the node tells.

    def events(self, upto: int, events: Sequence[Reply]) -> list[Feed]:
        """What has happened up to a point; those who take no more have left, and are given."""
        current = self.subscription
        assert current is not None, "it comes from one"
        full = [feed for feed in self.feeds if self._rides(feed) and not feed.take(upto, events)]
        current.pos = max(current.pos, upto)
        return self._leave(full)

    def items(self, upto: int, time: int, items: Sequence[Reply], *, last: bool) -> list[Feed]:
        """A part of a snapshot; those who take no more have left, and are given."""
        current = self.subscription
        assert current is not None, "it comes from one"
        if current.phase is not Phase.SNAPSHOT:
            return []
        here = Place(current.epoch, upto)
        full = [
            feed
            for feed in current.told
            if feed in self.feeds and not feed.take_items(here, time, items, last=last)
        ]
        if last:
            current.phase, current.pos = Phase.LIVE, upto
            current.told = []
        return self._leave(full)

    def reset(self, reason: str, upto: int) -> None:
        """The point that it stood at is gone; it goes on from another."""
        current = self.subscription
        assert current is not None, "it comes from one"
        if current.phase is Phase.LEAVING:
            current.pos = upto  # whoever is behind that rides no more, and tries its own place next
            return
        # Where it had just been asked for, only who stood at its very start has lost anything yet:
        # the others try their own places next.
        lost_upto = upto - 1
        if current.phase is Phase.RESETTING and current.since is not None:
            lost_upto = current.since.pos if current.since.epoch == current.epoch else -1
        for feed in self.feeds:
            if feed.place is not None and feed.place.pos <= lost_upto:
                feed.lose(f"{NOT_RETAINED}: {reason}")
            else:
                feed.cut()
        current.pos = upto
        current.phase = Phase.SNAPSHOT if current.snapshot else Phase.LIVE
        current.told = [feed for feed in self.feeds if feed.due]
        if current.phase is Phase.SNAPSHOT:
            for feed in self.feeds:
                if feed.place is None and not feed.due:
                    feed.begin(Place(current.epoch, upto))

    def _leave(self, full: list[Feed]) -> list[Feed]:
        told = [] if self.subscription is None else self.subscription.told
        for feed in full:
            self.feeds.remove(feed)
            if feed in told:
                told.remove(feed)
        return full

    @property
    def coherent(self) -> bool:
        """Whether all is told that the client knows to have happened, and the rest as it does."""
        current = self.subscription
        return (
            current is not None
            and current.phase is Phase.LIVE
            and current.pos >= current.wanted
            and all(map(self._rides, self.feeds))
        )

    def check(self) -> None:
        """What must hold once `next` has been asked."""
        for feed in self.feeds:
            feed.check()
        current = self.subscription
        if current is not None and current.phase is Phase.LIVE:
            assert all(feed.place is not None or feed.due for feed in self.feeds), "all have begun"
