"""Locks with fencing numbers, and the queues of those who wait for them.

Pure. Locks have a name space of their own. A lock is held until it is released or its life is over;
then the first waiter whose patience has not run out gets it, in the order of the log. Every holder
gets a fence, greater than every fence before it, so that a storage can refuse a holder whose time
has passed. Fences follow the entries' time, so they also grow where numbering begins anew.

Invariant: nobody waits for a lock that is free.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from sortedcontainers import SortedSet

from peers.core.entry import Dot, Origin
from tlru.engine.digest import Digest, record_hash
from tlru.engine.operations import Once

LOCKS_MAX = 65_536
WAITERS_MAX = 65_536  # in all queues together
WAITERS_PER_LOCK_MAX = 4_096


class Held(NamedTuple):
    """Who holds a lock is known by the fence alone."""

    fence: int
    expires: int


class Waiter(NamedTuple):
    """A request that waits for its turn until `deadline`."""

    dot: Dot
    deadline: int
    ttl: int
    once: Once | None


class Turn(NamedTuple):
    """What became of a waiter: its turn came (`held`), or its patience ended (`held` is None)."""

    waiter: Waiter
    held: Held | None


class Locks:
    """Every lock that is held, and who waits."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._held: dict[str, Held] = {}
        # Waiters by ticket, a number that grows with every waiter there ever was.
        self._queues: dict[str, OrderedDict[int, Waiter]] = {}
        self._places: dict[Dot, tuple[str, int]] = {}
        self._named: dict[tuple[str, str, int], int] = {}  # (lock, session, n) of named waiters
        # (when, lock, ticket) of each waiter's patience, with ticket 0 of each holder's end.
        self._due: SortedSet[tuple[int, str, int]] = SortedSet()
        self.last_ticket = 0
        self.last_fence = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many requests wait, in all queues."""
        return len(self._places)

    # -- what a client asks

    def settle(self, name: str, at: int) -> list[Turn]:
        """End a holder whose life is over at `at`; the next in the queue has its turn."""
        held = self._held.get(name)
        if held is None or held.expires > at:
            return []
        self._free(name)
        return self._pass_on(name, at)

    def holder(self, name: str) -> Held | None:
        """Who holds a lock that was settled."""
        return self._held.get(name)

    def take(self, name: str, ttl: int, at: int) -> Held:
        """Hold a free lock."""
        self.last_fence = max(at, self.last_fence + 1)
        held = self._held[name] = Held(self.last_fence, at + ttl)
        self._note_held(name, held)
        return held

    def full(self, name: str, *, wait: bool) -> bool:
        """Whether a bound forbids one more lock, or one more waiter for this one."""
        if name not in self._held:
            return len(self._held) >= LOCKS_MAX
        if not wait:
            return False
        queue = self._queues.get(name, ())
        return self.waiting >= WAITERS_MAX or len(queue) >= WAITERS_PER_LOCK_MAX

    def wait(self, name: str, waiter: Waiter) -> Dot | None:
        """Join the queue of a held lock. A named request that waits already keeps its place, under
        the new dot; the dot that it had is given back, for its connection has been given up."""
        ticket = self._named.get(_naming(name, waiter.once)) if waiter.once else None
        if ticket is None:
            self.last_ticket += 1
            self._join(name, self.last_ticket, waiter)
            return None
        previous = self._leave(name, ticket, keep_place=True)
        self._join(name, ticket, waiter)
        return previous.dot

    def release(self, name: str, fence: int, at: int) -> tuple[bool, list[Turn]]:
        """Let go of a settled lock if `fence` is its holder's; the next has its turn."""
        held = self._held.get(name)
        if held is None or held.fence != fence:
            return False, []
        self._free(name)
        return True, self._pass_on(name, at)

    def renew(self, name: str, fence: int, ttl: int, at: int) -> bool:
        """Give the holder of a settled lock a new life, if `fence` is its fence."""
        held = self._held.get(name)
        if held is None or held.fence != fence:
            return False
        self._free(name)
        renewed = self._held[name] = Held(fence, at + ttl)
        self._note_held(name, renewed)
        return True

    def give_up(self, name: str, dot: Dot) -> bool:
        """Take a waiter out of its queue."""
        lock, ticket = self._places.get(dot, ("", 0))
        if lock != name or not ticket:
            return False
        self._leave(name, ticket)
        return True

    # -- what time does

    def next_due(self) -> int | None:
        """When the next holder's life or waiter's patience ends."""
        return self._due[0][0] if self._due else None

    def end_due(self, up_to: int, at: int, limit: int) -> list[Turn]:
        """End at most `limit` lives and waits that are over at `up_to`, in order of time."""
        turns: list[Turn] = []
        for _ in range(limit):
            if not self._due or self._due[0][0] > up_to:
                break
            _, name, ticket = self._due[0]
            if ticket:
                turns.append(Turn(self._leave(name, ticket), None))
            else:
                self._free(name)
                turns += self._pass_on(name, at)
        return turns

    # -- inside

    def _pass_on(self, name: str, at: int) -> list[Turn]:
        """Give a free lock to the first waiter who is still patient at `at`."""
        turns: list[Turn] = []
        while queue := self._queues.get(name):
            waiter = self._leave(name, next(iter(queue)))
            if waiter.deadline > at:
                turns.append(Turn(waiter, self.take(name, waiter.ttl, at)))
                break
            turns.append(Turn(waiter, None))
        return turns

    def _note_held(self, name: str, held: Held) -> None:
        self._due.add((held.expires, name, 0))
        self._digest.add(_hash_held(name, held))

    def _free(self, name: str) -> None:
        held = self._held.pop(name)
        self._due.remove((held.expires, name, 0))
        self._digest.remove(_hash_held(name, held))

    def _join(self, name: str, ticket: int, waiter: Waiter) -> None:
        self._queues.setdefault(name, OrderedDict())[ticket] = waiter
        self._places[waiter.dot] = (name, ticket)
        if waiter.once is not None:
            self._named[_naming(name, waiter.once)] = ticket
        self._due.add((waiter.deadline, name, ticket))
        self._digest.add(_hash_waiter(name, ticket, waiter))

    def _leave(self, name: str, ticket: int, *, keep_place: bool = False) -> Waiter:
        queue = self._queues[name]
        waiter = queue[ticket]
        if not keep_place:
            del queue[ticket]
            if not queue:
                del self._queues[name]
        del self._places[waiter.dot]
        if waiter.once is not None:
            del self._named[_naming(name, waiter.once)]
        self._due.remove((waiter.deadline, name, ticket))
        self._digest.remove(_hash_waiter(name, ticket, waiter))
        return waiter

    # -- snapshots

    def copy(self) -> tuple[list[Any], list[Any]]:
        """Holders and waiters, exact now; each queue in its order."""
        held = [(name, *held) for name, held in sorted(self._held.items())]
        waiting = [
            (name, ticket, *waiter)
            for name, queue in sorted(self._queues.items())
            for ticket, waiter in queue.items()
        ]
        return held, waiting

    def restore_held(self, name: str, fence: int, expires: int) -> None:
        """Take up one holder."""
        held = self._held[name] = Held(fence, expires)
        self._note_held(name, held)

    def restore_waiter(self, name: str, ticket: int, dot: Any, *rest: Any) -> None:
        """Take up one waiter."""
        (member, birth), incarnation, sequence = dot
        deadline, ttl, once = rest
        named = None if once is None else Once(*once)
        place = Dot(Origin(member, birth), incarnation, sequence)
        self._join(name, ticket, Waiter(place, deadline, ttl, named))

    def check(self) -> None:
        """Assert the invariant, the bounds, and that the moments due are exactly those owed."""
        assert self._queues.keys() <= self._held.keys(), "somebody waits for a free lock"
        assert all(self._queues.values())
        waiters = [
            (name, ticket, waiter)
            for name, queue in self._queues.items()
            for ticket, waiter in queue.items()
        ]
        assert len(waiters) == self.waiting <= WAITERS_MAX
        assert len(self._held) <= LOCKS_MAX
        owed = {(held.expires, name, 0) for name, held in self._held.items()}
        owed |= {(waiter.deadline, name, ticket) for name, ticket, waiter in waiters}
        assert owed == set(self._due)
        assert self._places == {waiter.dot: (name, t) for name, t, waiter in waiters}
        assert self._named == {_naming(name, w.once): t for name, t, w in waiters if w.once}
        assert all(held.fence <= self.last_fence for held in self._held.values())
        assert all(ticket <= self.last_ticket for _, ticket, _ in waiters)

    def hashes(self) -> Iterator[int]:
        """The hash of every record, for checking the digest."""
        yield from (_hash_held(name, held) for name, held in self._held.items())
        for name, queue in self._queues.items():
            yield from (_hash_waiter(name, ticket, waiter) for ticket, waiter in queue.items())


def _naming(name: str, once: Once) -> tuple[str, str, int]:
    return name, once.session, once.n


def _hash_held(name: str, held: Held) -> int:
    return record_hash("held", name, *held)


def _hash_waiter(name: str, ticket: int, waiter: Waiter) -> int:
    return record_hash("waiter", name, ticket, *waiter)
