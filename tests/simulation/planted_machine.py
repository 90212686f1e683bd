"""Small faults above the core, put in one at a time: in the machine and its duties.

As in `planted`, whose table they are entered into: each must be caught, by what it breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from peers.core.entry import Dot, Entry
from tests.simulation.node import Node
from tests.simulation.planting import planted
from tlru.engine import items
from tlru.engine.events import EventType
from tlru.engine.locks import Held, Locks, Turn
from tlru.engine.machine import _HANDLERS, Machine, Result
from tlru.engine.once import OnceTable, Verdict
from tlru.engine.operations import Evict, Expire, Once, Renew, Rev
from tlru.engine.tombstones import Tombstones
from tlru.node.duties import Duties

# -- eviction and expiry


@planted("what changed since it was chosen is evicted all the same", "slow_links", "slow_disk")
def evicts_what_has_changed() -> Iterator[None]:
    def evict(self: Machine, op: Evict) -> Result:
        for key, _ in op.victims:
            if key in self._entries:
                self._passed(key, self.items.remove(key), EventType.EVICT)
        return {}

    with patch.dict(_HANDLERS, {Evict: evict}):
        yield


@planted("each node evicts what it used least itself", "slow_links", "isolate")
def evicts_its_own_choice() -> Iterator[None]:
    honest = Machine._evict

    def evict(self: Machine, op: Evict) -> Result:
        return honest(self, Evict(tuple(self.victims())))

    with patch.dict(_HANDLERS, {Evict: evict}):
        yield


@planted("nobody keeps the budget", "isolate")
def keeps_no_budget() -> Iterator[None]:
    with patch.object(Duties, "_evict", lambda self: None):
        yield


@planted("a node ends lives by its own clock", "slow_links", "isolate")
def expires_by_its_own_clock() -> Iterator[None]:
    honest = Node._apply
    clocks: dict[Machine, int] = {}

    def apply(self: Node, entries: tuple[Entry, ...]) -> None:
        clocks[self.machine] = self.cluster_ms(self.now)
        honest(self, entries)

    def expire(self: Machine, op: Expire) -> Result:
        for key, item in self.items.due(clocks.get(self, self.at), 1_000):
            self._passed(key, item, EventType.EXPIRE)
        self._take_turns(self.locks.end_due(op.up_to, self.at, 1_000))
        return {}

    with patch.object(Node, "_apply", apply), patch.dict(_HANDLERS, {Expire: expire}):
        yield


@planted("the digest leaves out when a life ends", "isolate")
def digests_no_expiry() -> Iterator[None]:
    honest = items._MOMENTS

    def moments(*fields: int) -> bytes:
        return honest(*fields[:-1], -1)

    with patch.object(items, "_MOMENTS", moments):
        yield


# -- what is remembered


@planted("the result of a named operation is forgotten early", "isolate", "partition")
def forgets_results_early() -> Iterator[None]:
    honest = OnceTable.keep

    def keep(self: OnceTable, once: Once, result: Any, at: int) -> None:
        numbers = self._numbers.get(once.session, ())
        while len(numbers) > 1:
            self._drop(once.session, self._numbers[once.session])
        honest(self, once, result, at)

    with patch.object(OnceTable, "keep", keep):
        yield


@planted("what is too old to be remembered is let in", "isolate", "partition")
def lets_in_what_is_too_old() -> Iterator[None]:
    honest = OnceTable.judge

    def judge(self: OnceTable, once: Once, at: int, owed: int) -> Verdict:
        return honest(self, once._replace(at=max(once.at, self.horizon)), at, owed)

    with patch.object(OnceTable, "judge", judge):
        yield


@planted("what is forgotten of deleted keys does not raise the floor", "isolate", "slow_links")
def raises_no_floor() -> Iterator[None]:
    with patch.object(Tombstones, "_raise_floor", lambda self, forgotten: None):
        yield


@planted("a delete forgets the revision", "isolate")
def forgets_the_revision() -> Iterator[None]:
    def rev_left(self: Machine, key: str, item: Any, rev: Rev | None) -> Rev | None:
        return None

    with patch.object(Machine, "_rev_left", rev_left):
        yield


# -- locks


@planted("the fences begin anew with a new leader", "isolate", "crash")
def begins_fences_anew() -> Iterator[None]:
    honest = Machine._apply

    def apply(self: Machine, entry: Entry, ordered: Any) -> Result | None:
        if entry.term != self.term:
            self.locks.last_fence = 0
        return honest(self, entry, ordered)

    def take(self: Locks, name: str, ttl: int, at: int) -> Held:
        self.last_fence += 1
        held = Held(name, self.last_fence, at + ttl)
        self._hold(held)
        return held

    with patch.object(Machine, "_apply", apply), patch.object(Locks, "take", take):
        yield


@planted("whoever asks lets go of a lock, by whatever fence", "isolate")
def releases_for_anybody() -> Iterator[None]:
    honest = Locks.release

    def release(self: Locks, name: str, fence: int, at: int) -> Any:
        held = self._held.records.get(name)
        return honest(self, name, fence if held is None else held.fence, at)

    with patch.object(Locks, "release", release):
        yield


@planted("a lock whose time is over is renewed", "isolate")
def renews_what_is_over() -> Iterator[None]:
    def renew(self: Machine, op: Renew) -> Result:
        held = self.locks.renew(op.name, op.fence, op.ttl, self.at)
        return {"held": held, "ttl": op.ttl} if held else {"held": False}

    with patch.dict(_HANDLERS, {Renew: renew}):
        yield


@planted("who gave up the wait for a lock has a turn all the same", "isolate")
def serves_who_left() -> Iterator[None]:
    def give_up(self: Locks, name: str, dot: Dot) -> bool:
        return dot in self._places

    with patch.object(Locks, "give_up", give_up):
        yield


@planted("who came last has the lock first", "isolate")
def serves_the_last_first() -> Iterator[None]:
    honest = Locks._pass_on

    def pass_on(self: Locks, name: str, at: int) -> list[Turn]:
        queue = self._queues.get(name)
        if queue:
            queue.move_to_end(next(reversed(queue)), last=False)
        return honest(self, name, at)

    with patch.object(Locks, "_pass_on", pass_on):
        yield
