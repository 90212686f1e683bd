"""What waits for an answer: writes for the log's word, reads for a position.

This module decides nothing about what is answered; it finds again what waits, in the order in which
it is due, and within named bounds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from time import perf_counter
from typing import Any

from sortedcontainers import SortedDict

from peers.core.entry import Dot
from peers.ordered_log import Ack
from tlru.errors import Overloaded
from tlru.node.asker import Asker
from tlru.wire.limits import Limits


def may_wait(asker: Asker, limits: Limits) -> None:
    """Overloaded where the asker has as many waiting requests as one connection may have."""
    if asker.waits + len(asker.waiting) >= limits.waits:
        raise Overloaded(f"{limits.waits} requests of this connection wait already", limit="waits")


Finish = Callable[[dict[str, Any]], dict[str, Any]]


class Write:
    """A proposed write whose asker waits."""

    __slots__ = (
        *("ack", "asker", "began", "deadline", "finish", "name", "request", "result", "sure"),
    )

    def __init__(
        self,
        asker: Asker,
        request: int | None,
        ack: Ack,
        deadline: int,
        finish: Finish | None,
        name: str | None = None,
        *,
        sure: bool = False,
    ) -> None:
        self.began = perf_counter()
        self.name = name  # of the operation; None is the node's own
        self.asker = asker
        self.request = request
        self.ack = ack
        self.deadline = deadline
        self.sure = sure  # nothing is asked of what is there: once it is committed, it is done
        self.finish = finish  # turns the machine's result into the reply's fields
        self.result: dict[str, Any] | None = None  # kept while not every voter holds it


class Writes:
    """Proposed writes, by dot."""

    def __init__(self) -> None:
        self._waiting: dict[Dot, Write] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, dot: Dot, write: Write) -> None:
        """Wait for the word on `dot`."""
        self._waiting[dot] = write

    def get(self, dot: Dot) -> Write | None:
        """The write that waits for `dot`."""
        return self._waiting.get(dot)

    def take(self, dot: Dot) -> Write | None:
        """The write that waited for `dot`; it waits no longer."""
        return self._waiting.pop(dot, None)

    def overdue(self, now: int) -> list[tuple[Dot, Write]]:
        """Take those whose deadline is past. O(n); few wait, since most are answered in a turn."""
        late = [(dot, write) for dot, write in self._waiting.items() if write.deadline <= now]
        for dot, _ in late:
            del self._waiting[dot]
        return late


class Read:
    """A read that waits until the node has come as far as its asker has been."""

    __slots__ = ("asker", "began", "deadline", "pos", "request", "serve", "ticket")

    def __init__(
        self,
        asker: Asker,
        request: int | None,
        pos: int,
        deadline: int,
        serve: Callable[[], None],
        began: float | None = None,
    ) -> None:
        self.began = perf_counter() if began is None else began
        self.asker = asker
        self.request = request
        self.pos = pos
        self.deadline = deadline
        self.serve = serve
        self.ticket = 0


class Reads:
    """Waiting reads, by position, deadline and asker; one that is answered stays in none."""

    def __init__(self) -> None:
        self._by_pos: SortedDict[tuple[int, int], Read] = SortedDict()
        self._by_deadline: SortedDict[tuple[int, int], Read] = SortedDict()
        self._by_asker: dict[Asker, dict[int, Read]] = {}
        self._tickets = itertools.count(1)

    def __len__(self) -> int:
        return len(self._by_pos)

    def add(self, read: Read) -> None:
        """Wait. O(log n)."""
        read.ticket = next(self._tickets)
        self._by_pos[read.pos, read.ticket] = read
        self._by_deadline[read.deadline, read.ticket] = read
        self._by_asker.setdefault(read.asker, {})[read.ticket] = read

    def reached(self, pos: int) -> list[Read]:
        """Take those that waited for `pos` or less."""
        return self._taken(self._by_pos, pos)

    def overdue(self, now: int) -> list[Read]:
        """Take those whose deadline is past."""
        return self._taken(self._by_deadline, now)

    def forget(self, asker: Asker) -> None:
        """Drop those of an asker who is gone."""
        for read in self._by_asker.pop(asker, {}).values():
            del self._by_pos[read.pos, read.ticket]
            del self._by_deadline[read.deadline, read.ticket]

    def _taken(self, order: SortedDict[tuple[int, int], Read], bound: int) -> list[Read]:
        taken: list[Read] = []
        while order and order.peekitem(0)[0][0] <= bound:
            read = order.peekitem(0)[1]
            del self._by_pos[read.pos, read.ticket]
            del self._by_deadline[read.deadline, read.ticket]
            mine = self._by_asker[read.asker]
            del mine[read.ticket]
            if not mine:
                del self._by_asker[read.asker]
            taken.append(read)
        return taken
