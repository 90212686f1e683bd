"""How long things take: operations from their coming to their answer, entries until they are
committed, the event loop to come round.

This module decides what is one measurement. What comes together is measured together: the reads of
one WebSocket message, and the sets of one group, share two looks at the clock, so that the hottest
path pays an addition for each operation and no more. Each of them counts with the time of all: that
is how long its client waited here.

Invariant: what is kept is bounded, by tables of ours and by `CLASSES_MAX`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from time import perf_counter as clock
from typing import TYPE_CHECKING, Any, Final

from tlru.access.grant import DEFAULT_CLASS, EVERYTHING
from tlru.node.slow import SlowLog

if TYPE_CHECKING:
    from tlru.node.pending import Write

# Upper ends of the buckets, in seconds. A read from memory takes microseconds, a write through the
# log of a region's cluster a millisecond, one over an ocean a quarter of a second.
BOUNDS: Final[tuple[float, ...]] = (
    *(0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_NAMES: Final[tuple[str, ...]] = (*(format(bound, "g") for bound in BOUNDS), "+Inf")

CLASSES_MAX: Final = 32  # classes of clients that are told apart
OTHERS: Final = "other"  # the rest of them


def class_of(asker: object) -> str:
    """The class of whoever asks; that of everybody where nothing was granted to it by name."""
    found: str = getattr(asker, "grant", EVERYTHING).client_class
    return found


class Spread:
    """How often something took how long."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(_NAMES)
        self.seconds = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """It took so long, so many times."""
        self.counts[bisect_left(BOUNDS, seconds)] += times
        self.seconds += seconds * times

    def buckets(self) -> list[tuple[str, float]]:
        """How many took at most so long, by the upper end of each bucket."""
        found, total = [], 0
        for name, count in zip(_NAMES, self.counts, strict=True):
            total += count
            found.append((name, float(total)))
        return found


class Latency:
    """What one node measures."""

    def __init__(self) -> None:
        self.operations: dict[tuple[str, str], Spread] = {}  # by name and class
        self.loop = Spread()
        self.slow = SlowLog()
        self._classes = {DEFAULT_CLASS}

    def add(self, name: str, client_class: str, seconds: float, times: int) -> None:
        """Operations of one class were answered."""
        spread = self.operations.get((name, client_class))
        if spread is None:
            spread = self._spread(name, client_class)
        spread.add(seconds, times)

    def _spread(self, name: str, client_class: str) -> Spread:
        if len(self._classes) < CLASSES_MAX:
            self._classes.add(client_class)
        known = client_class if client_class in self._classes else OTHERS
        return self.operations.setdefault((name, known), Spread())


class Measure:
    """What is measured of one cache."""

    def __init__(self, cache: str, latency: Latency) -> None:
        self.commits = Spread()
        self.at_once: defaultdict[str, int] = defaultdict(int)  # reads that are being answered
        self._cache, self._latency = cache, latency
        self._began = 0.0

    def begin(self) -> float:
        """Requests of one asker are about to be taken, now: the time of the clock."""
        self._began = clock()
        return self._began

    def end(self, asker: object) -> None:
        """They were; those that could be answered at once have been."""
        if self.at_once:
            answered, self.at_once = self.at_once, defaultdict(int)
            self._answered(answered.items(), asker, clock() - self._began)

    def late(self, began: float, asker: object, serve: Callable[[], None]) -> None:
        """Serve a read that had to wait since `began`."""
        others, self.at_once = self.at_once, defaultdict(int)
        try:
            serve()
        finally:
            answered, self.at_once = self.at_once, others
            self._answered(answered.items(), asker, clock() - began)

    def _answered(self, counts: Iterable[tuple[str, int]], asker: object, seconds: float) -> None:
        slow, client_class = self._latency.slow, class_of(asker)
        for name, count in counts:
            self._latency.add(name, client_class, seconds, count)
            if seconds >= slow.after_s:
                about = {"class": client_class, **_who(asker)}
                slow.tell(self._cache, name, seconds, count, about)

    def committed(self, write: Write) -> None:
        """An entry that this node proposed has been applied here."""
        self.commits.add(clock() - write.began)

    def answered(self, write: Write) -> None:
        """A write was answered, whatever became of it."""
        if write.name is None:
            return  # the node's own
        seconds, slow = clock() - write.began, self._latency.slow
        shares: Iterable[tuple[str, int]]
        classes = getattr(write.asker, "classes", None)
        shares = ((class_of(write.asker), 1),) if classes is None else classes().items()
        for client_class, count in shares:
            self._latency.add(write.name, client_class, seconds, count)
            if seconds >= slow.after_s:
                about = {"class": client_class, **_who(write.asker)}
                if write.request is not None:
                    about["request"] = write.request
                slow.tell(self._cache, write.name, seconds, count, about)


def _who(asker: object) -> dict[str, Any]:
    """The connection, where the asker is one, or has one."""
    number = getattr(asker, "number", None)
    return {} if number is None else {"connection": number}
