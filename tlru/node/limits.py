"""What clients of one cache may take, by their class: refused is what is over it.

This module decides whether a request, its bytes or a connection is let in, and what its asker is
told. The limits are a setting of the cache (`engine/client_limits.py`); what the node can do at all
is found by `overload.py`. Time is handed in.

Invariant: a refusal is made before anything is done, so whoever is refused may ask again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic
from typing import Final

from peers.resilience import TokenBucket
from tlru import errors
from tlru.access.grant import DEFAULT_CLASS
from tlru.engine.client_limits import RANKS, ClassLimits, parse, usual
from tlru.node.latency import CLASSES_MAX, OTHERS
from tlru.node.overload import Overload
from tlru.node.turns import Turns

# What makes less work, or none: it is taken whatever the limits are.
FREE: Final = frozenset(("hello", "ping", "unsubscribe", "unlock"))

OVERLOAD: Final = "overload"  # the reason, beside the names of the limits
OVERLOADED_S: Final = 0.5  # after this one may ask again, full jitter of the client's own aside
BURST_S: Final = 1.0  # of its rate, where no burst is named
OPEN_S: Final = 5.0  # after this a class that has all its connections may try again

# Whoever is refused more than this in a turn waits: saying no costs time as well. The kernel keeps
# what it sends meanwhile, and TCP makes it wait.
REFUSED_A_TURN: Final = 32
REST_S: Final = 0.05
REFUSED_MAX: Final = 10_000  # for being too fast, one after the other: this client does not listen

STATES_MAX: Final = 1_024  # classes that are known at once; further ones share one place


class _Class:
    """What one class has taken."""

    def __init__(self, limits: ClassLimits) -> None:
        self.limits = limits
        self.buckets: dict[str, TokenBucket] = {}

    def follow(self, limits: ClassLimits, nodes: int) -> None:
        """Go by other limits; of what was taken nothing is given back."""
        self.limits = limits
        parts = nodes if limits.shared else 1
        for what in ("operations", "bytes", "connections"):
            rate = getattr(limits, what)
            if rate is None:
                self.buckets.pop(what, None)
                continue
            burst = max(1.0, (getattr(limits, f"{what}_burst") or rate * BURST_S) / parts)
            if what in self.buckets:
                self.buckets[what].change(rate / parts, burst)
            else:
                self.buckets[what] = TokenBucket(rate / parts, burst)


class Guard:
    """The limits of one cache on this node."""

    def __init__(self, overload: Overload | None = None, turns: Turns | None = None) -> None:
        self.overload = Overload() if overload is None else overload
        self.turns = Turns() if turns is None else turns
        self.watches = False  # whether there is anything to judge by: looked at for every request
        self.asked = [0] * RANKS  # since the overload was last looked at
        self.refused: Counter[tuple[str, str]] = Counter()  # by class and reason
        self._counted: set[str] = set()  # the classes that are counted apart
        self.open: Counter[str] = Counter()
        self._text: str | None = None
        self._nodes = 1
        self._limits: dict[str, ClassLimits] = {}
        self._classes: dict[str, _Class] = {}

    def follow(self, text: str | None, nodes: int) -> None:
        """Go by what the setting says now, among so many active nodes."""
        if (text, nodes) != (self._text, self._nodes):
            self._text, self._nodes = text, nodes
            self._limits = {} if text is None else parse(text)
            for name, state in self._classes.items():
                state.follow(self._limits.get(name, usual(name)), nodes)
        self.watches = bool(self._limits) or self.overload.refuses

    def _class(self, name: str) -> _Class:
        state = self._classes.get(name)
        if state is None:
            if len(self._classes) >= STATES_MAX and name not in self._limits:
                name = DEFAULT_CLASS
                if name in self._classes:
                    return self._classes[name]
            state = self._classes[name] = _Class(usual(name))
            state.follow(self._limits.get(name, usual(name)), self._nodes)
        return state

    def _count(self, name: str, reason: str) -> None:
        if len(self._counted) < CLASSES_MAX:
            self._counted.add(name)
        self.refused[name if name in self._counted else OTHERS, reason] += 1

    def came(self, name: str) -> None:
        """A connection of a class is open."""
        self.open[name] += 1

    def went(self, name: str) -> None:
        """It counts for its class no more."""
        self.open[name] -= 1
        if not self.open[name]:
            del self.open[name]

    @property
    def overloaded(self) -> int:
        """How many requests were refused since there was too much to do."""
        return sum(count for (_, why), count in self.refused.items() if why == OVERLOAD)

    # -- what is judged

    def operation(self, name: str, now: float) -> errors.TlruError | None:
        """What refuses one more request of a class; None lets it in."""
        state = self._class(name)
        return self._strained(name, state) or self._rate(name, state, "operations", 1, now)

    def arrived(self, name: str, size: int, now: float) -> errors.TlruError | None:
        """What refuses so many bytes that a client of a class has sent."""
        state = self._class(name)
        return self._rate(name, state, "bytes", size, now) if state.buckets else None

    def refusal(self, name: str, size: int | None = None) -> errors.TlruError | None:
        """What refuses an HTTP request: as an operation, or for the bytes of its body."""
        if not self.watches:
            return None
        now = monotonic()
        return self.operation(name, now) if size is None else self.arrived(name, size, now)

    def connection(self, name: str, now: float) -> errors.TlruError | None:
        """What refuses one more connection of a class."""
        state = self._class(name)
        limits = state.limits
        if limits.open is not None:
            most = max(1, limits.open // (self._nodes if limits.shared else 1))
            if self.open[name] >= most:
                return self._limited(name, "open", most, OPEN_S)
        return self._rate(name, state, "connections", 1, now)

    def rank(self, name: str) -> int:
        """How important a class is: 0 is refused last."""
        state = self._classes.get(name)
        return (self._class(name) if state is None else state).limits.rank

    def hear(self, transport: asyncio.BaseTransport, name: str) -> None:
        """Have the less important give way to a connection, which counts for this class now."""
        self.turns.knocking.listen(transport, self.rank(name))

    def _rate(
        self, name: str, state: _Class, what: str, amount: int, now: float
    ) -> errors.TlruError | None:
        bucket = state.buckets.get(what)
        if bucket is None or (wait := bucket.take(amount, now)) <= 0:
            return None
        return self._limited(name, what, bucket.rate, wait)

    def _limited(self, name: str, what: str, most: float, after: float) -> errors.RateLimited:
        self._count(name, what)
        each = "" if what == "open" else " a second"
        return errors.RateLimited(
            f"clients of the class {name!r} may have {most:g} {what}{each} here",
            after=max(0.001, round(after, 3)),
            limit=what,
        )

    def _strained(self, name: str, state: _Class) -> errors.Overloaded | None:
        rank = state.limits.rank
        self.asked[rank] += 1
        overload = self.overload
        if not overload.refuses or overload.shares[rank] >= 1.0:
            return None
        if overload.admits(rank, state.limits.share / 100):
            return None
        self._count(name, OVERLOAD)
        return errors.Overloaded(
            f"the node has more to do than it can; the class {name!r} waits", after=OVERLOADED_S
        )
