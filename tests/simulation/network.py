"""The network of a simulation: every directed link may be slow, lossy, doubling, or cut.

One heap of what is under way, ordered by when it arrives and then by when it was sent, so that a
run is the same every time. Nothing here looks into a message.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

Message = Any  # nothing here looks into it


@dataclass(slots=True)
class Link:
    """One direction between two nodes."""

    least_ms: int = 1
    most_ms: int = 5
    loss: float = 0.0
    doubled: float = 0.0
    cut: bool = False
    ordered: bool = True  # as over one connection; otherwise messages overtake each other


class Network:
    """All links, and what is on them."""

    def __init__(self, random: Random, counts: Counter[str]) -> None:
        self._random = random
        self._counts = counts
        self._links: dict[tuple[str, str], Link] = {}
        self._heap: list[tuple[int, int, str, Message]] = []
        self._number = 0
        self._last: dict[tuple[str, str], int] = {}

    def link(self, sender: str, receiver: str) -> Link:
        """The link from one node to another."""
        return self._links.setdefault((sender, receiver), Link())

    def send(
        self, sender: str, receiver: str, message: Message, now: int, held_ms: int = 0
    ) -> None:
        """Put a message on its way, or lose it. One that is held up is overtaken by others."""
        link, random = self.link(sender, receiver), self._random
        if link.cut or random.random() < link.loss:
            self._counts["messages lost"] += 1
            return
        copies = 1
        if random.random() < link.doubled:
            copies = 2
            self._counts["messages doubled"] += 1
        for _ in range(copies):
            arrives = now + random.randint(link.least_ms, link.most_ms)
            last = self._last.get((sender, receiver), 0)
            if held_ms:
                arrives += held_ms
                self._counts["messages held up"] += 1
            elif link.ordered:
                arrives = max(arrives, last)
            elif arrives < last:
                self._counts["messages overtaken"] += 1
            if not held_ms:
                self._last[sender, receiver] = max(arrives, last)
            self._number += 1
            heapq.heappush(self._heap, (arrives, self._number, receiver, message))

    def next_at(self) -> int | None:
        """When something arrives next."""
        return self._heap[0][0] if self._heap else None

    def arrivals(self, now: int) -> list[tuple[str, Message]]:
        """What has arrived by now, in order."""
        arrived = []
        while self._heap and self._heap[0][0] <= now:
            _, _, receiver, message = heapq.heappop(self._heap)
            arrived.append((receiver, message))
        return arrived

    def deliver_at(self, at: int, receiver: str, message: bytes) -> None:
        """It arrived at somebody who does not listen: keep it for later."""
        self._number += 1
        heapq.heappush(self._heap, (at, self._number, receiver, message))

    # -- faults

    def heal(self) -> None:
        """Every link is whole, quick and in order again."""
        self._links.clear()

    def cut(self, senders: set[str], receivers: set[str], *, both: bool = True) -> None:
        """Nothing comes from these to those any more (nor back, unless one way is meant)."""
        for sender in sorted(senders):
            for receiver in sorted(receivers):
                if sender != receiver:
                    self.link(sender, receiver).cut = True
                    if both:
                        self.link(receiver, sender).cut = True
