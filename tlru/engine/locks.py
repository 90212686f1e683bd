"""Locks with fencing numbers, and the queues of those who wait for them.

Pure. Locks have a name space of their own. A lock is held until it is released or its life is over;
then the first waiter whose patience has not run out gets it, in the order of the log. Every holder
gets a fence, greater than every fence before it, so that a storage can refuse a holder whose time
has passed. Fences follow the entries' time, so they also grow where numbering begins anew.

Invariant: nobody waits for a lock that is free.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any, NamedTuple

from sortedcontainers import SortedList

from peers.core.entry import Dot, Origin
from tlru.engine.digest import Digest
from tlru.engine.operations import Once
from tlru.engine.sizes import text_bytes
from tlru.engine.table import Table

LOCKS_MAX = 65_536
WAITERS_MAX = 65_536  # in all queues together
WAITERS_PER_LOCK_MAX = 4_096
LOCK_OVERHEAD_BYTES = 384  # tests/benchmarks/memory.py, as the next
WAITER_OVERHEAD_BYTES = 800


class Held(NamedTuple):
    """Who holds a lock is known by the fence alone."""

    name: str
    fence: int
    expires: int


class Waiter(NamedTuple):
    """A request that waits for its turn until `deadline`. Tickets grow with every waiter."""

    ticket: int
    name: str
    dot: Dot
    deadline: int
    ttl: int
    once: Once | None


class Turn(NamedTuple):
    """What became of a waiter: its turn came (`held`), or its patience ended (`held` is None)."""

    waiter: Waiter
    held: Held | None


def _held_bytes(held: Held) -> int:
    return LOCK_OVERHEAD_BYTES + text_bytes(held.name)


def _waiter_bytes(_: Waiter) -> int:
    return WAITER_OVERHEAD_BYTES  # it shares the name with the holder


class Locks:
    """Every lock that is held, and who waits."""

    def __init__(self, digest: Digest) -> None:
        self._held: Table[str, Held] = Table("held", digest, _held_bytes)
        self._waiters: Table[int, Waiter] = Table("waiter", digest, _waiter_bytes)
        # All that follows is derived from the two: the tickets of each lock in the order of their
        # turns, where a dot waits, and where a named request does.
        self._queues: dict[str, OrderedDict[int, None]] = {}
        self._places: dict[Dot, int] = {}
        self._named: dict[tuple[str, str, int], int] = {}
        # (when, lock, ticket) of each waiter's patience, with ticket 0 of each holder's end.
        self._due: SortedList[tuple[int, str, int]] = SortedList()
        self.last_ticket = 0
        self.last_fence = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many requests wait, in all queues."""
        return len(self._waiters)

    @property
    def named(self) -> int:
        """How many of them are named: each is owed a result that is kept."""
        return len(self._named)

    @property
    def bytes(self) -> int:
        """What all of it takes, estimated."""
        return self._held.bytes + self._waiters.bytes

    # -- what a client asks

    def settle(self, name: str, at: int) -> list[Turn]:
        """End a holder whose life is over at `at`; the next in the queue has its turn."""
        held = self._held.records.get(name)
        if held is None or held.expires > at:
            return []
        self._free(held)
        return self._pass_on(name, at)

    def holder(self, name: str) -> Held | None:
        """Who holds a lock that was settled."""
        return self._held.records.get(name)

    def take(self, name: str, ttl: int, at: int) -> Held:
        """Hold a free lock."""
        self.last_fence = max(at, self.last_fence + 1)
        held = Held(name, self.last_fence, at + ttl)
        self._hold(held)
        return held

    def room_to_hold(self) -> bool:
        """Whether one more lock may be held."""
        return len(self._held) < LOCKS_MAX

    def room_to_wait(self, name: str) -> bool:
        """Whether one more request may wait for a lock."""
        queue = self._queues.get(name, ())
        return self.waiting < WAITERS_MAX and len(queue) < WAITERS_PER_LOCK_MAX

    def waits(self, name: str, once: Once) -> bool:
        """Whether a request of that name waits for the lock already."""
        return _naming(name, once) in self._named

    def wait(self, name: str, dot: Dot, deadline: int, ttl: int, once: Once | None) -> None:
        """Join the queue of a held lock."""
        self.last_ticket += 1
        name = self._held.records[name].name  # one copy of the text for all who wait
        self._join(Waiter(self.last_ticket, name, dot, deadline, ttl, once))

    def wait_on(self, name: str, dot: Dot, deadline: int, ttl: int, once: Once) -> Dot:
        """A named request that waits keeps its place under a new dot; the one that it had."""
        previous = self._waiters.records[self._named[_naming(name, once)]]
        del self._places[previous.dot]
        self._due.remove((previous.deadline, previous.name, previous.ticket))
        waiter = Waiter(previous.ticket, previous.name, dot, deadline, ttl, once)
        self._waiters.replace(waiter.ticket, waiter)
        self._places[dot] = waiter.ticket
        self._due.add((deadline, waiter.name, waiter.ticket))
        return previous.dot

    def release(self, name: str, fence: int, at: int) -> tuple[bool, list[Turn]]:
        """Let go of a settled lock if `fence` is its holder's; the next has its turn."""
        held = self._held.records.get(name)
        if held is None or held.fence != fence:
            return False, []
        self._free(held)
        return True, self._pass_on(name, at)

    def renew(self, name: str, fence: int, ttl: int, at: int) -> bool:
        """Give the holder of a settled lock a new life, if `fence` is its fence."""
        held = self._held.records.get(name)
        if held is None or held.fence != fence:
            return False
        self._free(held)
        self._hold(Held(held.name, fence, at + ttl))
        return True

    def give_up(self, name: str, dot: Dot) -> bool:
        """Take a waiter out of its queue."""
        ticket = self._places.get(dot)
        if ticket is None or self._waiters.records[ticket].name != name:
            return False
        self._leave(ticket)
        return True

    def abandon(self, origin: Origin, incarnation: int) -> None:
        """An origin has started again: the connections of its lives before `incarnation` are gone,
        and with them who waited; but a named request may be asked again elsewhere. O(waiters)."""
        gone = [
            waiter.ticket
            for waiter in self._waiters.records.values()
            if waiter.once is None
            and waiter.dot.incarnation < incarnation
            and waiter.dot.origin == origin
        ]
        for ticket in gone:
            self._leave(ticket)

    def abandon_strangers(self, members: Collection[Origin]) -> None:
        """Who waited on a node that belongs no more waits no more. O(waiters)."""
        gone = [
            waiter.ticket
            for waiter in self._waiters.records.values()
            if waiter.once is None and waiter.dot.origin not in members
        ]
        for ticket in gone:
            self._leave(ticket)

    # -- what time does

    def next_due(self) -> int | None:
        """When the next holder's life or waiter's patience ends."""
        return self._due[0][0] if self._due else None

    def end_due(self, up_to: int, at: int, limit: int) -> list[Turn]:
        """End lives and waits that are over at `up_to`, in order of time: about `limit` of them.

        A lock that is passed on ends the waits that are over by then as well, at the most the
        whole of its queue.
        """
        turns: list[Turn] = []
        ended = 0
        while self._due and self._due[0][0] <= up_to and ended + len(turns) < limit:
            _, name, ticket = self._due[0]
            if ticket:
                turns.append(Turn(self._leave(ticket), None))
            else:
                ended += 1
                self._free(self._held.records[name])
                turns += self._pass_on(name, at)
        return turns

    # -- inside

    def _pass_on(self, name: str, at: int) -> list[Turn]:
        """Give a free lock to the first waiter who is still patient at `at`."""
        turns: list[Turn] = []
        while queue := self._queues.get(name):
            waiter = self._leave(next(iter(queue)))
            if waiter.deadline > at:
                turns.append(Turn(waiter, self.take(waiter.name, waiter.ttl, at)))
                break
            turns.append(Turn(waiter, None))
        return turns

    def _hold(self, held: Held) -> None:
        self._held.add(held.name, held)
        self._due.add((held.expires, held.name, 0))

    def _free(self, held: Held) -> None:
        self._held.remove(held.name)
        self._due.remove((held.expires, held.name, 0))

    def _join(self, waiter: Waiter) -> None:
        ticket, name = waiter.ticket, waiter.name
        self._waiters.add(ticket, waiter)
        self._queues.setdefault(name, OrderedDict())[ticket] = None
        self._places[waiter.dot] = ticket
        if waiter.once is not None:
            self._named[_naming(name, waiter.once)] = ticket
        self._due.add((waiter.deadline, name, ticket))

    def _leave(self, ticket: int) -> Waiter:
        waiter = self._waiters.remove(ticket)
        queue = self._queues[waiter.name]
        del queue[ticket]
        if not queue:
            del self._queues[waiter.name]
        del self._places[waiter.dot]
        if waiter.once is not None:
            del self._named[_naming(waiter.name, waiter.once)]
        self._due.remove((waiter.deadline, waiter.name, ticket))
        return waiter

    # -- snapshots

    def tables(self) -> tuple[Table[Any, Any], ...]:
        """What a snapshot copies."""
        return self._held, self._waiters

    def restore_held(self, *row: Any) -> None:
        """Take up one holder; all of them come before the first waiter."""
        self._hold(Held(*row))

    def restore_waiter(self, *row: Any) -> None:
        """Take up one waiter; they come in the order of their tickets."""
        ticket, name, (origin, incarnation, sequence), deadline, ttl, once = row
        self._join(
            Waiter(
                ticket,
                self._held.records[name].name,
                Dot(Origin(*origin), incarnation, sequence),
                deadline,
                ttl,
                None if once is None else Once(*once),
            )
        )

    def check(self) -> None:
        """Assert the invariant, the bounds, and that all that is derived is right."""
        for table in self.tables():
            table.check()
        held, waiters = self._held.records, self._waiters.records
        assert self._queues.keys() <= held.keys(), "somebody waits for a free lock"
        assert len(held) <= LOCKS_MAX
        assert len(waiters) <= WAITERS_MAX
        queues: dict[str, list[int]] = {}
        for ticket in sorted(waiters):
            queues.setdefault(waiters[ticket].name, []).append(ticket)
        assert queues == {name: list(queue) for name, queue in self._queues.items()}
        assert all(len(queue) <= WAITERS_PER_LOCK_MAX for queue in queues.values())
        owed = [(each.expires, name, 0) for name, each in held.items()]
        owed += [(each.deadline, each.name, ticket) for ticket, each in waiters.items()]
        assert sorted(owed) == list(self._due)
        assert self._places == {each.dot: ticket for ticket, each in waiters.items()}
        named = {_naming(w.name, w.once): t for t, w in waiters.items() if w.once is not None}
        assert named == self._named
        assert all(each.fence <= self.last_fence for each in held.values())
        assert all(ticket <= self.last_ticket for ticket in waiters)


def _naming(name: str, once: Once) -> tuple[str, str, int]:
    return name, once.session, once.n
