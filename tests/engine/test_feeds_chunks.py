"""What is kept for readers that come by the same place is let go when none is behind."""

from __future__ import annotations

from tests.simulation.desk import PlainEncoding, Push
from tlru.engine.events import Event, EventType
from tlru.engine.feeds import Feeds, Since
from tlru.engine.machine import Machine
from tlru.engine.patterns import Pattern

ALL = Pattern.parse("*")


class Shelf:
    """A sink that takes everything, unless it is told not to."""

    def __init__(self) -> None:
        self.stalled = False
        self.told: list[Push] = []

    def deliver(self, data: Push) -> bool:
        self.told.append(data)
        return not self.stalled


def feeds_with_events(count: int) -> Feeds[Push]:
    feeds: Feeds[Push] = Feeds(Machine(), 1 << 20)
    feeds.extend([Event(EventType.SET, f"k{n}", n, n, b"v") for n in range(1, count + 1)])
    feeds.flush(count)
    return feeds


def encoding() -> PlainEncoding:
    return PlainEncoding(200, lambda: 0)


def test_two_that_come_by_the_same_place_are_given_the_same_messages() -> None:
    feeds, shelves = feeds_with_events(20), (Shelf(), Shelf())
    for shelf in shelves:
        feeds.subscribe(ALL, "plain", encoding, shelf, since=Since(0, same_epoch=True))
    while feeds.ready:
        feeds.serve()
    first, second = (shelf.told for shelf in shelves)
    assert len(first) > 5
    assert all(one is other for one, other in zip(first[:-1], second[:-1], strict=True))
    (feed,) = feeds.feeds.values()
    assert len(feed.live) == 2
    assert feed.chunks == {}


def test_what_is_kept_goes_when_the_last_that_was_behind_leaves() -> None:
    """The other one is live, and nothing that it is given was kept."""
    feeds, live, behind = feeds_with_events(20), Shelf(), Shelf()
    feeds.subscribe(ALL, "plain", encoding, live)
    reader, _ = feeds.subscribe(ALL, "plain", encoding, behind, since=Since(0, same_epoch=True))
    feeds.serve()
    (feed,) = feeds.feeds.values()
    assert feed.chunks, "somebody else might come by"
    feeds.unsubscribe(reader)
    assert feed.chunks == {}
