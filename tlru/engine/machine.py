"""The machine: what an entry of the log does to the cache.

Pure and deterministic: the same entries give the same items, replies, events and digest on every
node, in every process. Whatever depends on time is judged at the entry's `at`, never by a clock.

What there is stands in `state.py`; whether a write may happen is decided in `conditions.py`, whose
turn it is in `locks.py`, what was done before in `once.py`. An entry is applied whole or, where its
operation is not allowed, as nothing; the reply says which. Nothing is half applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from peers.core.entry import Dot, Entry
from peers.core.membership import Membership
from tlru.engine.conditions import allowed, latest
from tlru.engine.events import Event, EventType
from tlru.engine.items import Item, is_reserved
from tlru.engine.locks import Held, Turn
from tlru.engine.once import Verdict
from tlru.engine.operations import (
    Checkpoint,
    Clear,
    Delete,
    Evict,
    Expire,
    GiveUpWait,
    Incr,
    Lock,
    Once,
    Operation,
    Publish,
    Renew,
    Rev,
    Set,
    SetMany,
    Settings,
    Touch,
    Unlock,
)
from tlru.engine.own import Own
from tlru.engine.settings import effective
from tlru.engine.state import State

EXPIRE_MAX = 1_000  # items, and ends of locks and waits, in one entry

LOOK_SHIFT = 8  # stale records are looked for when 2^8 ms of cluster time begin

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1

# How msgpack begins an integer: small ones by themselves, others with a tag.
_INTEGER_TAGS = frozenset(
    bytes([tag])
    for tag in (*range(0x80), *range(0xCC, 0xD0), *range(0xD0, 0xD4), *range(0xE0, 0x100))
)

_SET = EventType.SET
_new = tuple.__new__  # half of the time that a named tuple takes to make

Result = dict[str, Any]
"""The fields of a reply, msgpack's types only; with `error` and `message` where it was refused."""


class Applied:
    """What entries led to. A reply belongs to the operation with its dot, which may be an earlier
    one than any of these entries: a waiter whose turn has come."""

    __slots__ = ("diverged", "events", "replies")

    def __init__(self, replies: list[tuple[Dot, Result]], events: list[Event]) -> None:
        self.replies, self.events = replies, events
        self.diverged = False  # a majority reported another digest than ours was

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Applied) and (
            (self.replies, self.events, self.diverged)
            == (other.replies, other.events, other.diverged)
        )

    __hash__ = None  # type: ignore[assignment]  # equal by content, which grows

    def __repr__(self) -> str:
        return f"Applied({self.replies!r}, {self.events!r}, diverged={self.diverged})"


class Machine(State):
    """The state, and the only way to change it."""

    def __init__(self) -> None:
        super().__init__()
        self._out = Applied([], [])
        self._dot: Dot | None = None
        self.own = Own()

    # -- changes

    def apply(self, entries: Iterable[Entry]) -> Applied:
        """Carry out entries, in order. UnknownOperationError, before anything has changed, where
        one of them is above this release's feature level."""
        decode = self.own.decode
        work = [(entry, decode(entry.operation) if entry.operation else None) for entry in entries]
        out = self._out = Applied([], [])
        for entry, ordered in work:
            result = self._apply(entry, ordered)
            if result is not None and entry.dot is not None:
                out.replies.append((entry.dot, result))
        return out

    def _apply(self, entry: Entry, ordered: tuple[Operation, Once | None] | None) -> Result | None:
        index, term, at, dot, until, _, membership = entry
        assert index == self.index + 1, f"{index} does not follow {self.index}"
        assert at >= self.at, f"time went back from {self.at} to {at}"
        fresh = dot is not None and self.vector.admit(dot)
        self.index, self.term = index, term
        if at > self.at:
            self._advance(at)
        if membership is not None:
            self._change_members(membership)
        if dot is None or not fresh:
            return None  # a leader's own entry; or applied before, or of a life that is over
        self._dot = dot
        if dot.sequence == 1:
            self.locks.abandon(dot.origin, dot.incarnation)
        if ordered is None:
            return _not_done()  # a void, which its origin wrote under this dot
        operation, once = ordered
        if once is not None:
            return self._apply_named(operation, once, until)
        if until is not None and at > until:
            return _not_done()
        return _HANDLERS[type(operation)](self, operation)

    def _change_members(self, membership: Membership) -> None:
        """Who belongs no more never writes again, and nobody waits there any more."""
        self.membership = membership
        self.vector.keep_only(membership.origins())
        self.locks.abandon_strangers(membership.origins())

    def begin_anew(self, membership: Membership, fence: int) -> None:
        """Be the state that another life of the log begins with, of these members: what those of
        before had under way is over. Fences go on above `fence`, whatever was given meanwhile."""
        self._change_members(membership)
        self.locks.last_fence = max(self.locks.last_fence, fence)
        self.noted = None

    def _advance(self, at: int) -> None:
        looked, self.at = self.at, at
        self.follow_time()
        # Each look passes over what was dropped before, so it is not for every millisecond.
        if at >> LOOK_SHIFT != looked >> LOOK_SHIFT:
            self.tombstones.drop_stale()
            self.once.drop_stale()

    # -- named operations

    def _apply_named(self, operation: Operation, once: Once, until: int | None) -> Result | None:
        known = self.once.find(once)
        if known is not None:
            return dict(known)
        late = until is not None and self.at > until
        if isinstance(operation, Lock) and self.locks.waits(operation.name, once):
            if late:
                return _refusal("too_old", "an earlier try still waits for the lock")
            return self._apply_noted(operation, once)  # it keeps its place
        refusal = _REFUSED[self.once.judge(once, self.at, self.locks.named)]
        if refusal is not None:
            return _refusal(*refusal)
        # Only now is it certain that no earlier try was applied either.
        return _not_done() if late else self._apply_noted(operation, once)

    def _apply_noted(self, operation: Operation, once: Once) -> Result | None:
        self.once.note(once, self.at)
        if isinstance(operation, Lock):
            return self._lock(operation, once)
        result = _HANDLERS[type(operation)](self, operation)
        assert result is not None, "only a lock can wait for its turn"
        if result.get("error") != "overloaded":  # that one may be tried again
            self.once.keep(once, result, self.at)
        return result

    # -- data operations

    def _set(self, op: Set) -> Result:
        key, value, ttl, keep_ttl, condition, rev, mime, old = op
        item = self._live(key)
        if (condition is not None or rev is not None) and not allowed(
            key, item, condition, rev, self.tombstones
        ):
            return {"applied": False, **_what_is_there(item)}
        expires = self._expiry(ttl)
        if keep_ttl and item is not None:
            expires = item.expires
        self._write(key, value, item, expires, rev, mime)
        if old and item is not None:
            return {"applied": True, "version": self.index, "old": item.value}
        return {"applied": True, "version": self.index}

    def _set_many(self, op: SetMany) -> Result:
        items: tuple[Any, ...] = op.items
        current = [self._live(row[0]) for row in items]
        row: tuple[Any, ...]  # compiled, a place of a tuple costs less than to take it apart
        for n, row in enumerate(items):
            key, rev = row[0], row[3]
            if rev is not None and not allowed(key, current[n], None, rev, self.tombstones):
                return {"applied": False, "key": key, **_what_is_there(current[n])}
        for n, row in enumerate(items):
            self._write(row[0], row[1], current[n], self._expiry(row[2]), row[3], row[4])
        return {"applied": True, "version": self.index}

    def _delete(self, op: Delete) -> Result:
        current = {key: self._live(key) for key in op.keys}
        if op.condition is not None or op.rev is not None:
            (key,) = op.keys
            if not allowed(key, current[key], op.condition, op.rev, self.tombstones):
                return {"deleted": 0, **_what_is_there(current[key])}
        revs = {
            key: rev
            for key, item in current.items()
            if (rev := self._rev_left(key, item, op.rev)) is not None
        }
        if not self.tombstones.room_for_revs(revs):
            return _refusal("overloaded", "too many deleted revisions are remembered; try later")
        deleted = 0
        for key, item in current.items():
            if item is not None:
                self.items.remove(key)
                self._emit(EventType.DELETE, key)
                deleted += 1
            # A key that was not there is remembered too: its absence is now what the writer wanted.
            self.tombstones.bury(key, self.index, self.at, revs.get(key))
        return {"deleted": deleted, "version": self.index}

    def _rev_left(self, key: str, item: Item | None, rev: Rev | None) -> Rev | None:
        """What a delete leaves: the greatest of its own revision, the item's, and what an earlier
        delete left. No older one is let in for as long as that is remembered."""
        before = self.tombstones.rev_of(key)
        there = None if item is None else item.rev
        if rev is None and there is None:
            return before
        return latest(rev, there, before)

    def _touch(self, op: Touch) -> Result:
        item = self._live(op.key)
        if item is None:
            return {"found": False}
        expires = self._expiry(op.ttl)
        touched = Item(
            item.key,
            item.value,
            item.version,
            self.index,
            item.at,
            item.created,
            expires,
            item.rev,
            item.mime,
        )
        self.items.put(item.key, touched)
        self._emit(EventType.TOUCH, op.key, expires=expires)
        return {"found": True}

    def _incr(self, op: Incr) -> Result:
        item = self._live(op.key)
        number = 0 if item is None else _integer(item.value)
        if number is None:
            return _refusal("not_integer", f"the value of {op.key!r} is not an integer")
        number += op.by
        if not INT64_MIN <= number <= INT64_MAX:
            return _refusal("out_of_range", f"{op.key!r} would leave the range of 64 bits")
        value: bytes = msgpack.packb(number)
        expires = self._expiry(op.ttl) if item is None else item.expires
        rev = None if item is None else item.rev
        self._write(op.key, value, item, expires, rev, None)
        return {"value": value, "version": self.index}

    def _clear(self, op: Clear) -> Result:
        deleted = self.items.clear(op.prefix, self.at)
        self.tombstones.clear(op.prefix, self.index, self.at)
        self._emit(EventType.CLEAR, op.prefix)
        return {"deleted": deleted, "version": self.index}

    def _publish(self, op: Publish) -> Result:
        self._emit(EventType.MESSAGE, op.channel, value=op.value)
        return {"version": self.index}

    # -- locks

    def _lock(self, op: Lock, once: Once | None = None) -> Result | None:
        locks, at = self.locks, self.at
        self._take_turns(locks.settle(op.name, at))
        if once is not None and (known := self.once.find(once)) is not None:
            return dict(known)  # it waited, and its turn has come just now
        held = locks.holder(op.name)
        if held is None:
            return self._hold(op, once) if locks.room_to_hold() else _too_many_locks()
        assert self._dot is not None
        if once is not None and locks.waits(op.name, once):
            previous = locks.wait_on(op.name, self._dot, at + op.wait, op.ttl, once)
            self._out.replies.append((previous, {"held": False}))
            return None
        if op.wait <= 0:
            return {"held": False, "ttl": held.expires - at}
        if not locks.room_to_wait(op.name):
            return _too_many_locks()
        locks.wait(op.name, self._dot, at + op.wait, op.ttl, once)
        return None

    def _hold(self, op: Lock, once: Once | None) -> Result:
        result = self._held_reply(self.locks.take(op.name, op.ttl, self.at), op.ttl)
        if once is not None:
            self.once.keep(once, result, self.at)
        return result

    def _unlock(self, op: Unlock) -> Result:
        self._take_turns(self.locks.settle(op.name, self.at))
        released, turns = self.locks.release(op.name, op.fence, self.at)
        self._take_turns(turns)
        return {"released": released}

    def _renew(self, op: Renew) -> Result:
        self._take_turns(self.locks.settle(op.name, self.at))
        held = self.locks.renew(op.name, op.fence, op.ttl, self.at)
        return {"held": held, "ttl": op.ttl} if held else {"held": False}

    def _give_up_wait(self, op: GiveUpWait) -> Result:
        assert self._dot is not None
        waiting = Dot(self._dot.origin, op.incarnation, op.sequence)
        return {"gave_up": self.locks.give_up(op.name, waiting)}

    def _take_turns(self, turns: list[Turn]) -> None:
        for waiter, held in turns:
            result = {"held": False} if held is None else self._held_reply(held, waiter.ttl)
            if waiter.once is not None and held is not None:
                self.once.keep(waiter.once, result, self.at)
            self._out.replies.append((waiter.dot, result))

    @staticmethod
    def _held_reply(held: Held, ttl: int) -> Result:
        return {"held": True, "fence": held.fence, "ttl": ttl}

    # -- what the leader writes

    def _expire(self, op: Expire) -> Result:
        up_to = min(op.up_to, self.at)  # a leader whose clock runs ahead ends nobody's life early
        for key, item in self.items.due(up_to, EXPIRE_MAX):
            self._passed(key, item, EventType.EXPIRE)
        self._take_turns(self.locks.end_due(up_to, self.at, EXPIRE_MAX))
        return {}

    def _evict(self, op: Evict) -> Result:
        entries = self._entries
        for key, changed in op.victims:
            item = entries.get(key)
            if item is not None and item.changed == changed and not is_reserved(key):
                self.items.remove(key)
                self._passed(key, item, EventType.EVICT)
        return {}

    def _checkpoint(self, op: Checkpoint) -> Result:
        if op.digest is not None and self.noted is not None and self.noted[0] == op.index:
            self._out.diverged |= self.noted[1] != op.digest
        self.noted = (self.index, self.digest())
        return {}

    def _change_settings(self, op: Settings) -> Result:
        self.settings = effective(self.settings, op.changes)
        self.follow_time()
        return {"settings": dict(sorted(self.settings.items()))}

    # -- inside

    def _live(self, key: str) -> Item | None:
        """The item under `key`; one whose life is over is taken away first, as expired."""
        item = self._entries.get(key)
        if item is None or item.expires is None or item.expires > self.at:
            return item
        self.items.remove(key)
        self._passed(key, item, EventType.EXPIRE)
        return None

    def _passed(self, key: str, item: Item, how: EventType) -> None:
        self.tombstones.passed(key, item.version, item.at, self.at)
        self._emit(how, key)

    def _write(
        self,
        key: str,
        value: bytes,
        previous: Item | None,
        expires: int | None,
        rev: Rev | None,
        mime: str | None,
    ) -> None:
        """Keep a value, and tell of it; `previous` is what lived under the key before."""
        index, at = self.index, self.at
        if previous is None:
            created = at
            self.tombstones.there_again(key)
        else:
            created = previous.created
            key = previous.key  # one copy of the text for the store and its indexes
        self.items.put(key, Item(key, value, index, index, at, created, expires, rev, mime))
        self._out.events.append(_new(Event, (_SET, key, index, at, value, expires, rev, mime)))

    def _expiry(self, ttl: int | None) -> int | None:
        return None if ttl is None else self.at + ttl

    def _emit(
        self, kind: EventType, key: str, value: bytes | None = None, expires: int | None = None
    ) -> None:
        event = Event(kind, key, self.index, self.at, value, expires)
        self._out.events.append(event)


def _refusal(code: str, message: str) -> Result:
    return {"error": code, "message": message}


def _not_done() -> Result:
    return _refusal("timeout", "its time was over before it came in order: it was not done")


def _too_many_locks() -> Result:
    return _refusal("overloaded", "too many locks are held or waited for; try later")


_REFUSED: dict[Verdict, tuple[str, str] | None] = {
    Verdict.APPLY: None,
    Verdict.AHEAD: ("bad_request", "`once.at` is ahead of the cluster's time"),
    Verdict.TOO_OLD: (
        "too_old",
        "its result is no longer kept: whether it was done is not known",
    ),
    Verdict.FULL: ("overloaded", "too many named operations are remembered; try later"),
}


def _what_is_there(item: Item | None) -> Result:
    if item is None:
        return {}
    there: Result = {"version": item.version, "value": item.value}
    if item.rev is not None:
        there["rev"] = item.rev
    return there


def _integer(value: bytes) -> int | None:
    """The integer that a value is, or None. No other value is decoded, however it is made."""
    # Nine bytes are the longest integer; a value is any bytes at all, even none.
    if value[:1] not in _INTEGER_TAGS or len(value) > 9:
        return None
    try:
        return int(msgpack.unpackb(value))
    except ValueError:
        return None


_HANDLERS: dict[type[Any], Callable[[Machine, Any], Result | None]] = {
    Set: Machine._set,
    SetMany: Machine._set_many,
    Delete: Machine._delete,
    Touch: Machine._touch,
    Incr: Machine._incr,
    Clear: Machine._clear,
    Publish: Machine._publish,
    Lock: Machine._lock,
    Unlock: Machine._unlock,
    Renew: Machine._renew,
    GiveUpWait: Machine._give_up_wait,
    Expire: Machine._expire,
    Evict: Machine._evict,
    Checkpoint: Machine._checkpoint,
    Settings: Machine._change_settings,
}
