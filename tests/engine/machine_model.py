"""The machine told again, as plainly as possible, from the words of the protocol.

It shares nothing with the code but the classes of operations: dictionaries, lists and loops over
all of it. Where the protocol leaves the machine a choice (what is remembered for longer than it
promises), the model takes the machine's word, after it has seen that it may say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack

from peers.core.entry import Dot, Origin
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

Reply = dict[str, Any]
AHEAD_MS = 5_000


@dataclass
class Kept:
    """An item."""

    value: bytes
    version: int
    changed: int
    at: int
    created: int
    expires: int | None
    rev: Rev | None
    mime: str | None


@dataclass
class Waiting:
    """A request that waits for a lock."""

    ticket: int
    dot: Dot
    deadline: int
    ttl: int
    once: Once | None


@dataclass
class Holding:
    """A lock that is held, and its queue."""

    fence: int
    expires: int
    queue: list[Waiting] = field(default_factory=list)


@dataclass
class Done:
    """What an entry led to."""

    replies: list[tuple[Dot, Reply]] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)


class Model:
    """One cache, by the words of the protocol."""

    def __init__(self, expire_max: int) -> None:
        self.expire_max = expire_max
        self.index = 0
        self.at = 0
        self.items: dict[str, Kept] = {}
        self.locks: dict[str, Holding] = {}
        self.settings: dict[str, Any] = {
            "limits": None,
            "max_entries": None,
            "max_bytes": 1 << 30,
            "once_ms": 120_000,
            "tombstone_ms": 120_000,
        }
        self.origins: dict[Origin, tuple[int, int]] = {}
        self.times: dict[int, int] = {}  # of each entry
        self.changes: dict[str, int] = {}  # the last set or delete of each key
        self.clears: list[tuple[int, str]] = []
        self.left: dict[str, tuple[Rev, int]] = {}  # by deletes, and when
        self.forgotten_before = 0
        self.results: dict[tuple[str, int], tuple[Reply, int]] = {}
        self.sessions: dict[str, tuple[int, int]] = {}  # done, and the latest operation's time
        self.unaccepted_before = 0
        self.fence = 0
        self.ticket = 0

    # -- an entry

    def apply(
        self,
        at: int,
        dot: Dot,
        operation: Operation | None,
        once: Once | None,
        until: int | None,
        said: Reply | None,
        remembered: bool,
    ) -> Done:
        """Carry it out. `said` is what the machine replied to it, `remembered` whether it still
        had a result under the name: when it forgets what nobody may ask for is its own affair."""
        self.index += 1
        self.at = at
        self.times[self.index] = at
        self.said = said
        self.remembered = remembered
        self.dot = dot
        self.done = Done()
        self._follow_time()
        if self._is_next(dot):
            reply = self._ordered(operation, once, until)
            if reply is not None:
                self.done.replies.append((dot, reply))
        return self.done

    def _follow_time(self) -> None:
        self.forgotten_before = max(self.forgotten_before, self.at - self.settings["tombstone_ms"])
        self.unaccepted_before = max(self.unaccepted_before, self.at - self.settings["once_ms"])

    def _is_next(self, dot: Dot) -> bool:
        incarnation, sequence = self.origins.get(dot.origin, (0, 0))
        if dot.incarnation < incarnation:
            return False
        if dot.incarnation == incarnation and dot.sequence <= sequence:
            return False
        if dot.incarnation > incarnation:
            self._forget_waiters(dot)
        self.origins[dot.origin] = (dot.incarnation, dot.sequence)
        return True

    def _forget_waiters(self, dot: Dot) -> None:
        for lock in self.locks.values():
            lock.queue = [
                waiter
                for waiter in lock.queue
                if waiter.once is not None
                or waiter.dot.origin != dot.origin
                or waiter.dot.incarnation >= dot.incarnation
            ]

    def _ordered(
        self, operation: Operation | None, once: Once | None, until: int | None
    ) -> Reply | None:
        if operation is None:
            return {"error": "timeout"}
        late = until is not None and self.at > until
        if once is None:
            return {"error": "timeout"} if late else self._carry_out(operation, None)
        return self._named(operation, once, late)

    def _named(self, operation: Operation, once: Once, late: bool) -> Reply | None:
        name = (once.session, once.n)
        if name in self.results and once.n > self._done_with(once):
            result, made = self.results[name]
            if self._kept(made) or self.remembered:
                return result
            del self.results[name]  # whoever uses the name now uses it anew
        if isinstance(operation, Lock) and self._place(operation.name, once) is not None:
            if late:
                return {"error": "too_old"}
            self._see(once)
            return self._carry_out(operation, once)
        if once.at > self.at + AHEAD_MS:
            return {"error": "bad_request"}
        if once.at < self.unaccepted_before or once.n <= self._done_with(once):
            return {"error": "too_old"}
        if late:
            return {"error": "timeout"}
        self._see(once)
        return self._carry_out(operation, once)

    def _kept(self, made: int) -> bool:
        return made >= self.unaccepted_before - AHEAD_MS

    def _done_with(self, once: Once) -> int:
        done, latest = self.sessions.get(once.session, (-1, 0))
        return done if self._kept(latest) else -1

    def _see(self, once: Once) -> None:
        done = max(self._done_with(once), -1 if once.done is None else once.done)
        self.sessions[once.session] = (done, self.at)

    def _carry_out(self, operation: Operation, once: Once | None) -> Reply | None:
        if isinstance(operation, Lock):
            return self._lock(operation, once)
        reply: Reply = getattr(self, f"_{type(operation).__name__.lower()}")(operation)
        if once is not None:
            self._remember(once, reply)
        return reply

    def _remember(self, once: Once, reply: Reply) -> None:
        self._see(once)
        if once.n > self._done_with(once):
            self.results[once.session, once.n] = (reply, self.at)

    # -- items

    def alive(self, key: str) -> Kept | None:
        """What is under a key; what is over goes."""
        kept = self.items.get(key)
        if kept is not None and kept.expires is not None and kept.expires <= self.at:
            del self.items[key]
            self._event("expire", key)
            return None
        return kept

    def _event(
        self,
        kind: str,
        key: str,
        value: bytes | None = None,
        expires: int | None = None,
        rev: Rev | None = None,
        mime: str | None = None,
    ) -> None:
        self.done.events.append((kind, key, self.index, self.at, value, expires, rev, mime))

    def _write(
        self, key: str, value: bytes, expires: int | None, rev: Rev | None, mime: str | None
    ) -> None:
        before = self.items.get(key)
        created = self.at if before is None else before.created
        index = self.index
        self.items[key] = Kept(value, index, index, self.at, created, expires, rev, mime)
        self.changes[key] = index
        self._event("set", key, value, expires, rev, mime)

    @staticmethod
    def _there(kept: Kept | None) -> Reply:
        if kept is None:
            return {}
        rev = {} if kept.rev is None else {"rev": kept.rev}
        return {"version": kept.version, "value": kept.value, **rev}

    def _admits(self, key: str, condition: Any, rev: Rev | None, refused: Reply) -> bool:
        kept = self.items.get(key)
        known = [kept.rev] if kept is not None and kept.rev is not None else []
        if key in self.left and self.left[key][1] >= self.forgotten_before:
            known.append(self.left[key][0])
        newer = rev is None or all(_order(rev) > _order(other) for other in known)
        return newer and self._holds(key, kept, condition, refused)

    def _holds(self, key: str, kept: Kept | None, condition: Any, refused: Reply) -> bool:
        match condition:
            case None:
                return True
            case ("absent",):
                return kept is None
            case ("present",):
                return kept is not None
            case ("version", version):
                return kept is not None and kept.version == version
            case ("unchanged", pos):
                return self._unchanged(key, kept, pos, refused)
        raise AssertionError(condition)

    def _unchanged(self, key: str, kept: Kept | None, pos: int, refused: Reply) -> bool:
        met = [self.changes.get(key, 0)]
        if not key.startswith("_tlru/"):
            met += [index for index, prefix in self.clears if key.startswith(prefix)]
        if max(met) > pos:
            return False
        # An answer about a time that nobody is promised anything of may be "perhaps".
        promised = pos > self.index or self.times.get(pos, 0) >= self.forgotten_before
        if kept is None and not promised:
            return self.said != refused
        return True

    def _set(self, op: Set) -> Reply:
        kept = self.alive(op.key)
        refused = {"applied": False, **self._there(kept)}
        if not self._admits(op.key, op.condition, op.rev, refused):
            return refused
        expires = None if op.ttl is None else self.at + op.ttl
        if op.keep_ttl and kept is not None:
            expires = kept.expires
        old = {"old": kept.value} if op.old and kept is not None else {}
        self._write(op.key, op.value, expires, op.rev, op.mime)
        return {"applied": True, "version": self.index, **old}

    def _setmany(self, op: SetMany) -> Reply:
        for key, *_ in op.items:
            self.alive(key)
        for key, _, _, rev, _ in op.items:
            if not self._admits(key, None, rev, {}):
                return {"applied": False, "key": key, **self._there(self.items.get(key))}
        for key, value, ttl, rev, mime in op.items:
            self._write(key, value, None if ttl is None else self.at + ttl, rev, mime)
        return {"applied": True, "version": self.index}

    def _delete(self, op: Delete) -> Reply:
        there = {key: self.alive(key) for key in op.keys}
        if op.condition is not None or op.rev is not None:
            refused = {"deleted": 0, **self._there(there[op.keys[0]])}
            if not self._admits(op.keys[0], op.condition, op.rev, refused):
                return refused
        deleted = 0
        for key, kept in there.items():
            revs = [op.rev, None if kept is None else kept.rev]
            if key in self.left and self.left[key][1] >= self.forgotten_before:
                revs.append(self.left[key][0])
            known = [rev for rev in revs if rev is not None]
            if known:
                self.left[key] = (max(known, key=_order), self.at)
            self.changes[key] = self.index
            if kept is not None:
                del self.items[key]
                self._event("delete", key)
                deleted += 1
        return {"deleted": deleted, "version": self.index}

    def _touch(self, op: Touch) -> Reply:
        kept = self.alive(op.key)
        if kept is None:
            return {"found": False}
        kept.expires = None if op.ttl is None else self.at + op.ttl
        kept.changed = self.index
        self._event("touch", op.key, expires=kept.expires)
        return {"found": True}

    def _incr(self, op: Incr) -> Reply:
        kept = self.alive(op.key)
        try:
            number = 0 if kept is None else msgpack.unpackb(kept.value)
        except Exception:
            number = None
        if type(number) is not int:
            return {"error": "not_integer"}
        number += op.by
        if not -(2**63) <= number < 2**63:
            return {"error": "out_of_range"}
        if kept is None:
            expires, rev = None if op.ttl is None else self.at + op.ttl, None
        else:
            expires, rev = kept.expires, kept.rev
        self._write(op.key, msgpack.packb(number), expires, rev, None)
        return {"value": msgpack.packb(number), "version": self.index}

    def _clear(self, op: Clear) -> Reply:
        met = [
            key for key in self.items if key.startswith(op.prefix) and not key.startswith("_tlru/")
        ]
        alive = [key for key in met if not self._is_over(key)]
        for key in met:
            del self.items[key]
        self.clears.append((self.index, op.prefix))
        self._event("clear", op.prefix)
        return {"deleted": len(alive), "version": self.index}

    def _is_over(self, key: str) -> bool:
        expires = self.items[key].expires
        return expires is not None and expires <= self.at

    def _publish(self, op: Publish) -> Reply:
        self._event("message", op.channel, op.value)
        return {"version": self.index}

    def _expire(self, op: Expire) -> Reply:
        up_to = min(op.up_to, self.at)
        due = sorted(
            (kept.expires, key)
            for key, kept in self.items.items()
            if kept.expires is not None and kept.expires <= up_to
        )
        for _, key in due[: self.expire_max]:
            del self.items[key]
            self._event("expire", key)
        self._end_waits(up_to)
        return {}

    def _evict(self, op: Evict) -> Reply:
        for key, changed in op.victims:
            kept = self.items.get(key)
            if kept is not None and kept.changed == changed and not key.startswith("_tlru/"):
                del self.items[key]
                self._event("evict", key)
        return {}

    def _checkpoint(self, op: Checkpoint) -> Reply:
        return {}

    def _settings(self, op: Settings) -> Reply:
        self.settings.update(op.changes)
        self._follow_time()
        return {"settings": self.settings.copy()}

    # -- locks

    def _place(self, name: str, once: Once) -> Waiting | None:
        if name not in self.locks:
            return None
        found = [
            waiter
            for waiter in self.locks[name].queue
            if waiter.once is not None and waiter.once[:2] == once[:2]
        ]
        return found[0] if found else None

    def _lock(self, op: Lock, once: Once | None) -> Reply | None:
        waited = once is not None and self._place(op.name, once) is not None
        self._settle(op.name)
        if once is not None and waited and once.n > self._done_with(once):
            name = (once.session, once.n)
            if name in self.results:
                return self.results[name][0]  # its turn has come just now
        if op.name not in self.locks:
            reply = self._hold(op.name, op.ttl, [])
            if once is not None:
                self._remember(once, reply)
            return reply
        lock = self.locks[op.name]
        place = None if once is None else self._place(op.name, once)
        if place is not None:
            self.done.replies.append((place.dot, {"held": False}))
            place.dot, place.deadline, place.ttl = self.dot, self.at + op.wait, op.ttl
            place.once = once
            return None
        if op.wait <= 0:
            return {"held": False, "ttl": lock.expires - self.at}
        self.ticket += 1
        lock.queue.append(Waiting(self.ticket, self.dot, self.at + op.wait, op.ttl, once))
        return None

    def _hold(self, name: str, ttl: int, queue: list[Waiting]) -> Reply:
        self.fence = max(self.at, self.fence + 1)
        self.locks[name] = Holding(self.fence, self.at + ttl, queue)
        return {"held": True, "fence": self.fence, "ttl": ttl}

    def _settle(self, name: str) -> None:
        if name in self.locks and self.locks[name].expires <= self.at:
            self._pass_on(name)

    def _pass_on(self, name: str) -> int:
        queue = self.locks.pop(name).queue
        gone = 0
        while queue:
            waiter = queue.pop(0)
            gone += 1
            if waiter.deadline > self.at:
                reply = self._hold(name, waiter.ttl, queue)
                if waiter.once is not None:
                    self._remember(waiter.once, reply)
                self.done.replies.append((waiter.dot, reply))
                break
            self.done.replies.append((waiter.dot, {"held": False}))
        return gone

    def _unlock(self, op: Unlock) -> Reply:
        self._settle(op.name)
        if op.name not in self.locks or self.locks[op.name].fence != op.fence:
            return {"released": False}
        self._pass_on(op.name)
        return {"released": True}

    def _renew(self, op: Renew) -> Reply:
        self._settle(op.name)
        if op.name not in self.locks or self.locks[op.name].fence != op.fence:
            return {"held": False}
        self.locks[op.name].expires = self.at + op.ttl
        return {"held": True, "ttl": op.ttl}

    def _giveupwait(self, op: GiveUpWait) -> Reply:
        dot = Dot(self.dot.origin, op.incarnation, op.sequence)
        queue = self.locks[op.name].queue if op.name in self.locks else []
        found = [waiter for waiter in queue if waiter.dot == dot]
        for waiter in found:
            queue.remove(waiter)
        return {"gave_up": bool(found)}

    def _end_waits(self, up_to: int) -> None:
        ended = 0
        while ended < self.expire_max:
            due = [(lock.expires, name, 0) for name, lock in self.locks.items()]
            due += [
                (waiter.deadline, name, waiter.ticket)
                for name, lock in self.locks.items()
                for waiter in lock.queue
            ]
            moment, name, ticket = min(due, default=(up_to + 1, "", 0))
            if moment > up_to:
                break
            ended += 1
            if ticket == 0:
                ended += self._pass_on(name)
                continue
            (waiter,) = [each for each in self.locks[name].queue if each.ticket == ticket]
            self.locks[name].queue.remove(waiter)
            self.done.replies.append((waiter.dot, {"held": False}))


def _order(rev: Rev) -> tuple[bool, Any]:
    """Any string is above any integer; strings compare by their bytes."""
    return (True, rev.encode()) if isinstance(rev, str) else (False, rev)
