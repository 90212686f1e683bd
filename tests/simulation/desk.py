"""The subscriptions of one simulated node: `engine/feeds.py`, driven as `node/feeds.py` drives it.

What a turn has brought leaves at its end, readers that are behind have a little of every turn, and
a quiet feed says now and then how far it has come. Of what is large some readers are given nothing
in the turn that brought it, as where more important clients knock. Pushes are Python objects, which
the checker takes as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from tests.simulation.following import Held, Listed, Pushed, Reset
from tlru.engine.events import Event
from tlru.engine.feeds import EVENT_BYTES, Feeds, Reader, Since, Sink
from tlru.engine.folding import Folded
from tlru.engine.items import Item
from tlru.engine.machine import Machine
from tlru.engine.patterns import Pattern
from tlru.engine.retained import EVENT_OVERHEAD_BYTES

MARK_MS = 300
EVENT_SIZE = EVENT_OVERHEAD_BYTES + 8  # of what is retained, about
ALL_OF_IT = 1 << 40  # bytes: nothing is ever let go

Push = Pushed | Listed | Reset


class Subscribed(Sink[Push], Protocol):
    """A connection with one subscription."""

    reader: Reader[Push] | None


class PlainEncoding:
    """Pushes as objects, each of whole versions and of so many bytes at the most, if it can be."""

    def __init__(self, bytes_max: int, index: Callable[[], int]) -> None:
        self.bytes_max = bytes_max
        self._index = index  # how far the node has come

    def events(self, feed: int, events: Sequence[Event], upto: int) -> list[Pushed]:
        """Events in as few messages as may be."""
        parts = self._parted([(event, 1) for event in events])
        last = len(parts) - 1
        return [
            Pushed(upto if place == last else part[-1][0].version, tuple(e for e, _ in part))
            for place, part in enumerate(parts)
        ]

    def folded(self, feed: int, events: Sequence[Folded], upto: int) -> list[Pushed]:
        """The same, of events that stand for several."""
        parts = self._parted(events)
        last = len(parts) - 1
        return [
            Pushed(
                upto if place == last else part[-1][0].version,
                tuple(event for event, _ in part),
                tuple(count for _, count in part),
                more=place < last,
            )
            for place, part in enumerate(parts)
        ]

    def _parted(self, events: Sequence[Folded]) -> list[list[Folded]]:
        parts: list[list[Folded]] = [[]]
        size, version = 0, -1
        for event, count in events:
            if event.version != version and size >= self.bytes_max:
                parts.append([])
                size = 0
            version = event.version
            parts[-1].append((event, count))
            size += len(event.key) + len(event.value or b"") + EVENT_BYTES
        return parts

    def snapshot(
        self, feed: int, upto: int, now: int, items: Sequence[Item], *, last: bool
    ) -> Listed:
        """A part of what there is, and how far the node was when it was looked at."""
        held = tuple((item.key, Held.of_item(item)) for item in items)
        return Listed(upto, now, held, last, self._index())

    def reset(self, feed: int, reason: str, upto: int) -> Reset:
        """The reader begins anew."""
        return Reset(upto)


class Desk:
    """Those who watch one node, in one of its lives."""

    def __init__(self, machine: Machine, kept: int | None, counts: Counter[str]) -> None:
        self._machine = machine
        self._counts = counts
        self.feeds: Feeds[Push] = Feeds(machine, ALL_OF_IT, lets=self._lets)
        self._random = Random(machine.index)
        if machine.index:
            self.feeds.begin_anew(machine, machine.index)
        self.keep(kept)
        self._flushing = False
        self._mark_at = 0

    def keep(self, events: int | None) -> None:
        """Retain about so many events; None: all of this life."""
        self.feeds.retained.bytes_max = ALL_OF_IT if events is None else events * EVENT_SIZE

    def _lets(self, sink: Sink[Push]) -> bool:
        lets = self._random.random() < 0.7
        self._counts["readers that let others go first"] += not lets
        return lets

    # -- what happens

    def applied(self, events: Sequence[Event]) -> None:
        """Events, in order; whoever watches is told at the end of this turn."""
        self.feeds.extend(events)
        if self.feeds.feeds:
            self._flushing = True

    def take_up(self, machine: Machine) -> None:
        """The state was replaced as a whole."""
        self._machine = machine
        self.feeds.begin_anew(machine, machine.index)

    def turn(self, now: int) -> None:
        """The end of a turn."""
        behind = len(self.feeds.ready)
        if now >= self._mark_at:
            self._mark_at = now + MARK_MS
            self._mark()
        if self._flushing:
            self._flushing = False
            self._tell()
        if behind:
            self._counts["turns with readers behind"] += 1
            self._tell()
            self.feeds.serve()

    def _tell(self) -> None:
        self.feeds.flush(self._machine.index)

    def _mark(self) -> None:
        """Each feed that has said nothing for long says how far it has come."""
        self._tell()
        for feed in list(self.feeds.feeds.values()):
            feed.quiet += MARK_MS
            if feed.quiet > MARK_MS:
                self._counts["feeds marked"] += 1
                for _ in self.feeds.mark(feed):
                    pass

    # -- who watches

    def subscribe(
        self,
        connection: Subscribed,
        pattern: Pattern,
        bytes_max: int,
        *,
        since: Since | None,
        snapshot: bool,
        fold: bool,
    ) -> tuple[int, bool]:
        """A new feed for a connection: from where, and whether that is where it was."""
        self._tell()
        reader, resumed = self.feeds.subscribe(
            pattern,
            bytes_max,
            lambda: PlainEncoding(bytes_max, lambda: self._machine.index),
            connection,
            since=since,
            snapshot=snapshot,
            fold=fold,
        )
        connection.reader = reader
        return reader.upto, resumed

    def wake(self, connection: Subscribed) -> None:
        """A connection takes more again."""
        assert connection.reader is not None
        self.feeds.wake(connection.reader)

    def forget(self, connection: Subscribed) -> None:
        """A connection is gone."""
        assert connection.reader is not None
        self.feeds.unsubscribe(connection.reader)
