"""The machine does what a plain model of the protocol does, whatever comes in whatever order.

After every entry the reply, the replies to others, the events and the whole content are compared,
and the machine checks itself. The clock jumps at will, so items are often over before any entry has
said so.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import msgpack
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from peers.core.entry import Dot, Entry, Origin
from tests.compiled import as_it_is
from tests.engine.machine_helpers import messages_left_out, order_of, through_a_snapshot
from tests.engine.machine_model import Model
from tlru.engine import machine as machine_module
from tlru.engine.machine import Machine, Result
from tlru.engine.operations import (
    NAMEABLE,
    Checkpoint,
    Clear,
    Condition,
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
    Set,
    SetMany,
    Settings,
    Touch,
    Unlock,
    encode,
)

EXPIRE_MAX = 3
START_MS = 10_000_000

KEYS = ("a", "ab", "b", "_tl", "_tlru/x", "_tlru0", "ß", "😀")
keys = st.sampled_from(("a", "a", "ab", *KEYS))
prefixes = st.sampled_from(("", "a", "ab", "_", "_tlru/", "_tlru/x", "😀", "z"))
numbers = st.sampled_from([0, 1, -1, 2**63 - 1, 2**63 - 2, -(2**63), 2**64 - 1])
values = st.one_of(
    numbers.map(msgpack.packb),
    st.sampled_from([b"", b"\xc0", b"\xa1x", b"\xcc", b"\x05\x06"]),
    st.binary(max_size=12),
)
lives = st.sampled_from([None, None, 0, 1, 5, 50, 1_000, 119_000, 500_000])
revs = st.sampled_from([None, None, -1, 1, 2, 3, 10, "", "1", "10", "9", "é"])
mimes = st.sampled_from([None, None, "text/plain"])
steps = st.sampled_from([0, 1, 1, 5, 50, 1_000, 5_000, 60_000, 119_999, 120_000, 125_001])
lock_names = st.sampled_from(("l", "l", "m"))
waits = st.sampled_from([0, 1, 5, 50, 1_000, 500_000])
origins = st.sampled_from((Origin("a", "1"), Origin("b", "1")))


class Both(RuleBasedStateMachine):
    """Writes entries to both, and compares."""

    one_in_so_many_is_named = 6

    @initialize()
    def begin(self) -> None:
        self.machine = Machine()
        self.model = Model(EXPIRE_MAX)
        self.at = START_MS
        self.lives: dict[Origin, tuple[int, int]] = {}
        self.dots: list[Dot] = []
        self.tried: dict[tuple[str, int], int] = {}  # when each name was tried first

    # -- writing

    def write(self, data: st.DataObject, operation: Operation | None) -> Result | None:
        origin = data.draw(origins, label="origin")
        late = data.draw(st.sampled_from([None] * 8 + [0, -1]), label="until")
        named = isinstance(operation, NAMEABLE) and (
            data.draw(st.integers(1, self.one_in_so_many_is_named), label="named") == 1
        )
        incarnation, sequence = self.lives.get(origin, (1, 0))
        self.lives[origin] = (incarnation, sequence + 1)
        return self.order(
            Dot(origin, incarnation, sequence + 1),
            operation,
            self.draw_once(data, operation) if operation is not None and named else None,
            None if late is None else self.at + late,
        )

    def draw_once(self, data: st.DataObject, operation: Operation) -> Once:
        # A name belongs to one request; that of a lock is never that of anything else.
        session = f"lock {operation.name}" if isinstance(operation, Lock) else "s"
        n = data.draw(st.integers(0, 1 if isinstance(operation, Lock) else 4), label="n")
        ahead = data.draw(st.sampled_from([0, 0, 0, 0, -3_000, 5_000, 5_001]), label="ahead")
        at = self.tried.setdefault((session, n), self.at + ahead)
        # Nobody knows the name any more, so its client may well use it for something new.
        if at < self.at - 600_000 and data.draw(st.booleans(), label="anew"):
            at = self.tried[session, n] = self.at
        # What a client is done with came before what it asks for.
        done = data.draw(st.sampled_from([None, None, None, *range(n)]), label="done")
        return Once(session, n, at, done)

    def order(
        self, dot: Dot, operation: Operation | None, once: Once | None, until: int | None
    ) -> Result | None:
        data = b"" if operation is None else encode(operation, once)
        entry = Entry(self.machine.index + 1, 1, self.at, dot, until, data)
        found: list[object] = []
        find = self.machine.once.find

        def look(name: Once) -> object:
            found.append(find(name))
            return found[-1]

        with (
            patch.object(machine_module, "EXPIRE_MAX", EXPIRE_MAX),
            patch.object(self.machine.once, "find", look),
        ):
            applied = self.machine.apply([entry])
        self.dots.append(dot)
        assert not applied.diverged
        replies, events = messages_left_out(applied)
        said = dict(replies).get(dot)
        done = self.model.apply(
            self.at, dot, operation, once, until, said, found[:1] not in ([], [None])
        )
        assert replies == done.replies
        assert [tuple(event) for event in events] == done.events
        return said

    @rule(step=steps)
    def pass_time(self, step: int) -> None:
        self.at += step

    @rule()
    def a_snapshot_takes_over(self) -> None:
        restored = through_a_snapshot(self.machine)
        assert restored.digest() == self.machine.digest()
        assert order_of(restored) == order_of(self.machine)
        self.machine = restored

    @rule(data=st.data(), ahead=st.sampled_from([0, 0, 0, -10, 10_000]))
    def expire(self, data: st.DataObject, ahead: int) -> None:
        self.write(data, Expire(self.at + ahead))

    # -- what always holds

    @invariant()
    def the_content_is_the_models(self) -> None:
        items, model = self.machine.items.store.entries, self.model.items
        assert items.keys() == model.keys()
        for key, kept in model.items():
            assert items[key].fields() == (key, *vars(kept).values())
        shown = [key for key, _ in self.machine.scan("", None, self.at)]
        assert shown == sorted(
            key
            for key, kept in model.items()
            if not key.startswith("_tlru/") and (kept.expires is None or kept.expires > self.at)
        )
        assert self.machine.items.count == sum(not key.startswith("_tlru/") for key in model)

    @invariant()
    def the_locks_are_the_models(self) -> None:
        locks = self.machine.locks
        assert len(locks) == len(self.model.locks)
        for name, lock in self.model.locks.items():
            held = locks.holder(name)
            assert held is not None
            assert (held.fence, held.expires) == (lock.fence, lock.expires)
        assert locks.waiting == sum(len(lock.queue) for lock in self.model.locks.values())

    @invariant()
    def it_knows_what_is_due_next(self) -> None:
        moments = [kept.expires for kept in self.model.items.values()]
        for lock in self.model.locks.values():
            moments += [lock.expires, *(waiter.deadline for waiter in lock.queue)]
        assert self.machine.next_due() == min(
            (moment for moment in moments if moment is not None), default=None
        )

    @invariant()
    def it_holds_together(self) -> None:
        self.machine.check()


class Items(Both):
    """Everything about keys."""

    @rule(data=st.data(), key=keys, value=values, ttl=lives, rev=revs, mime=mimes)
    def set(self, data: st.DataObject, key: str, ttl: int | None, **fields: Any) -> None:
        condition = data.draw(self.conditions(key))
        keep_ttl = ttl is None and data.draw(st.booleans(), label="keep_ttl")
        old = data.draw(st.booleans(), label="old")
        self.write(
            data, Set(key, ttl=ttl, keep_ttl=keep_ttl, condition=condition, old=old, **fields)
        )

    def conditions(self, key: str) -> st.SearchStrategy[Condition]:
        item = self.machine.items.store.entries.get(key)
        version = 0 if item is None else item.version
        index = self.machine.index
        return st.one_of(
            st.none(),
            st.sampled_from([("absent",), ("present",), ("version", version), ("version", 1)]),
            st.integers(max(0, index - 6), index + 1).map(lambda pos: ("unchanged", pos)),
        )

    @rule(data=st.data(), key=keys, since=st.integers(0, 9))
    def fill(self, data: st.DataObject, key: str, since: int) -> None:
        """A value that was read from a database after a miss."""
        pos = max(0, self.machine.index - since)
        self.write(data, Set(key, b"\x01", 50, condition=("unchanged", pos)))

    @rule(
        data=st.data(),
        items=st.lists(
            st.tuples(keys, values, lives, revs, mimes),
            min_size=1,
            max_size=4,
            unique_by=lambda row: row[0],
        ),
    )
    def set_many(self, data: st.DataObject, items: list[Any]) -> None:
        self.write(data, SetMany(tuple(items)))

    @rule(data=st.data(), key=keys, rev=revs)
    def delete(self, data: st.DataObject, key: str, rev: int | str | None) -> None:
        self.write(data, Delete((key,), data.draw(self.conditions(key)), rev))

    @rule(data=st.data(), some=st.lists(keys, min_size=2, max_size=4, unique=True))
    def delete_many(self, data: st.DataObject, some: list[str]) -> None:
        self.write(data, Delete(tuple(some)))

    @rule(data=st.data(), rev=st.sampled_from([1, 2, 3]), come=st.booleans())
    def come_and_go_with_a_revision(self, data: st.DataObject, rev: int, come: bool) -> None:
        self.write(data, Set("a", b"\x01", rev=rev) if come else Delete(("a",)))

    @rule(data=st.data(), key=keys, ttl=lives)
    def touch(self, data: st.DataObject, key: str, ttl: int | None) -> None:
        self.write(data, Touch(key, ttl))

    @rule(data=st.data(), key=keys, by=numbers.filter(lambda by: by < 2**63), ttl=lives)
    def incr(self, data: st.DataObject, key: str, by: int, ttl: int | None) -> None:
        self.write(data, Incr(key, by, ttl))

    @rule(data=st.data(), prefix=prefixes)
    def clear(self, data: st.DataObject, prefix: str) -> None:
        self.write(data, Clear(prefix))

    @rule(data=st.data(), some=st.lists(keys, max_size=4), stale=st.integers(0, 3))
    def evict(self, data: st.DataObject, some: list[str], stale: int) -> None:
        entries = self.machine.items.store.entries
        changed = {key: entries[key].changed - stale // 3 for key in some if key in entries}
        self.write(data, Evict(tuple(changed.items())))

    @rule(data=st.data(), ms=st.sampled_from([1_000, 60_000, 120_000, 500_000]))
    def change_how_long_tombstones_stand(self, data: st.DataObject, ms: int) -> None:
        self.write(data, Settings((("tombstone_ms", ms),)))


class Locks(Both):
    """Everything about locks, named and not."""

    one_in_so_many_is_named = 2

    @rule(data=st.data(), name=lock_names, ttl=st.sampled_from([1, 5, 50, 1_000]), wait=waits)
    def lock(self, data: st.DataObject, name: str, ttl: int, wait: int) -> None:
        self.write(data, Lock(name, ttl, wait))

    @rule(data=st.data(), name=lock_names, wait=waits)
    def wait(self, data: st.DataObject, name: str, wait: int) -> None:
        if name in self.model.locks:
            self.write(data, Lock(name, 5, wait))

    @rule(data=st.data(), name=lock_names, wrong=st.integers(0, 3))
    def unlock(self, data: st.DataObject, name: str, wrong: int) -> None:
        self.write(data, Unlock(name, self.fence_of(name) + wrong // 3))

    @rule(data=st.data(), name=lock_names, ttl=st.integers(1, 500), wrong=st.integers(0, 3))
    def renew(self, data: st.DataObject, name: str, ttl: int, wrong: int) -> None:
        self.write(data, Renew(name, self.fence_of(name) + wrong // 3, ttl))

    def fence_of(self, name: str) -> int:
        lock = self.model.locks.get(name)
        return self.model.fence if lock is None else lock.fence

    @rule(data=st.data(), name=lock_names, back=st.integers(1, 8))
    def give_up(self, data: st.DataObject, name: str, back: int) -> None:
        if dots := self.dots[-back:]:
            self.write(data, GiveUpWait(name, dots[0].incarnation, dots[0].sequence))

    @rule(data=st.data(), origin=origins)
    def a_node_starts_again(self, data: st.DataObject, origin: Origin) -> None:
        incarnation, _ = self.lives.get(origin, (1, 0))
        self.lives[origin] = (incarnation + 1, 0)
        self.write(data, Publish("c", b""))


class Names(Both):
    """Everything about names, and about what comes twice."""

    one_in_so_many_is_named = 1

    @rule(data=st.data(), key=keys)
    def incr(self, data: st.DataObject, key: str) -> None:
        self.write(data, Incr(key))

    @rule(data=st.data(), channel=keys, value=values)
    def publish(self, data: st.DataObject, channel: str, value: bytes) -> None:
        self.write(data, Publish(channel, value))

    @rule(data=st.data())
    def checkpoint(self, data: st.DataObject) -> None:
        if self.write(data, Checkpoint(*(self.machine.noted or (0, None)))) == {}:
            assert self.machine.noted == (self.machine.index, self.machine.digest())

    @rule(data=st.data(), ms=st.sampled_from([1_000, 60_000, 120_000, 500_000]))
    def change_how_long_results_are_kept(self, data: st.DataObject, ms: int) -> None:
        self.write(data, Settings((("once_ms", ms),)))

    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        self.write(data, None)

    @precondition(lambda self: self.dots)
    @rule(back=st.integers(1, 10), key=keys)
    def a_dot_comes_again(self, back: int, key: str) -> None:
        """Whatever stands under a dot that was let in, or of a life that is over, is nothing."""
        dot = self.dots[-back:][0]
        assert self.order(dot, Set(key, b"again"), None, None) is None


class Everything(Items, Locks, Names):
    """All of it together."""

    one_in_so_many_is_named = 4


for each in (Items, Locks, Names, Everything):
    each.TestCase.settings = settings(max_examples=70, stateful_step_count=50, deadline=None)

TestKeysAreAsInThePlainModel = as_it_is(Items.TestCase)
TestLocksAreAsInThePlainModel = as_it_is(Locks.TestCase)
TestNamesAreAsInThePlainModel = as_it_is(Names.TestCase)
TestAllTogetherIsAsInThePlainModel = as_it_is(Everything.TestCase)
