"""Which keys change most: a tally of the last seconds, by the beginnings of keys.

Decides what is counted, and bounds it. Where more changes than `CHANGES_MAX` come within one look,
it stops listening until the next one and says which share of the time it has listened: rates are
counted per second of listening, so they hold all the same. Reads are in no feed, and not counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tlru.errors import TlruError

if TYPE_CHECKING:
    from tlru.client import Cache
    from tlru.client.changes import Change

CHANGES_MAX: Final = 5_000  # counted in one look
PREFIXES_MAX: Final = 1_000  # told apart in one look; the others are one
WINDOW_S: Final = 10.0
LOOKS_MAX: Final = 100
SEPARATORS: Final = ":/"
OTHERS: Final = "(others)"
SET, REMOVED = "set", "removed"


@dataclass(slots=True)
class Look:
    """What was counted between two renewals of the view."""

    began: float
    listened_s: float = 0.0
    lasted_s: float = 0.0
    changes: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, key: str, what: str) -> None:
        """One more change."""
        name = prefix_of(key)
        if name not in self.counts and len(self.counts) >= PREFIXES_MAX:
            name = OTHERS
        self.counts.setdefault(name, Counter())[what] += 1
        self.changes += 1


@dataclass(frozen=True, slots=True)
class Hot:
    """How often keys with one beginning change, a second."""

    prefix: str
    sets: float
    removals: float

    @property
    def changes(self) -> float:
        """All of it."""
        return self.sets + self.removals


def prefix_of(key: str) -> str:
    """The key up to its first separator, or all of it."""
    ends = [end for end in map(key.find, SEPARATORS) if end >= 0]
    return key[: min(ends) + 1] + "*" if ends else key


class Tally:
    """The looks of the last seconds. It listens while `run` does."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque(maxlen=LOOKS_MAX)
        self._next = asyncio.Event()
        self.listening = False
        self.problem = ""  # what keeps it from listening
        self._clock = asyncio.get_running_loop().time

    async def run(self, cache: Cache[bytes]) -> None:
        """Count until cancelled. What cannot be watched just now is watched later."""
        while True:
            try:
                await self._listen(cache)
            except TlruError as problem:
                self.problem = str(problem)
            self.listening = False
            self._next.clear()
            await self._next.wait()

    async def _listen(self, cache: Cache[bytes]) -> None:
        """Until there is more than is counted in one look; the rest of it is not asked for."""
        watch = cache.watch("*", send="keys")
        async with watch:
            since = self._clock()
            self.listening, self.problem = True, ""
            while True:
                batch = await watch.take()
                look = self._look()
                for change in batch:
                    self._count(look, change)
                if look.changes >= CHANGES_MAX:
                    look.listened_s = self._clock() - max(since, look.began)
                    return

    def turn(self) -> None:
        """A look is over; the next one begins."""
        now = self._clock()
        if self._looks:
            last = self._looks[-1]
            last.lasted_s = now - last.began
            last.listened_s = last.listened_s or last.lasted_s
        while self._looks and now - self._looks[0].began > WINDOW_S:
            self._looks.popleft()
        self._looks.append(Look(now))
        self._next.set()

    def hottest(self) -> list[Hot]:
        """Of the looks that are over, the most changed first."""
        over = [look for look in self._looks if look.lasted_s]
        listened = sum(look.listened_s for look in over)
        counts: dict[str, Counter[str]] = {}
        for look in over:
            for prefix, counted in look.counts.items():
                counts.setdefault(prefix, Counter()).update(counted)
        found = [
            Hot(prefix, counted[SET] / listened, counted[REMOVED] / listened)
            for prefix, counted in counts.items()
        ]
        return sorted(found, key=lambda hot: (-hot.changes, hot.prefix))

    def share(self) -> float:
        """Of the time, how much it has listened: less than 1 where more came than is counted."""
        over = [look for look in self._looks if look.lasted_s]
        lasted = sum(look.lasted_s for look in over)
        return sum(look.listened_s for look in over) / lasted if lasted else 1.0

    def _look(self) -> Look:
        if not self._looks:
            self._looks.append(Look(self._clock()))
        return self._looks[-1]

    @staticmethod
    def _count(look: Look, change: Change[bytes]) -> None:
        from tlru.client import changes

        match change:
            case changes.Set() | changes.Touched() | changes.Changed():
                look.add(change.key, SET)
            case changes.Removed():
                look.add(change.key, REMOVED)
