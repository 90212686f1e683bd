"""The replicated state: items, locks, what is gone, what was named, settings; and its digest.

Pure. Here is what there is and what one can ask of it; what an entry does to it is decided in
`machine.py`. Two states at the same index are equal if and only if their digests are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from peers.core.entry import Origin
from peers.core.membership import NOBODY, Member, Membership, Role
from peers.core.vector import Vector
from tlru.engine.digest import MASK, Digest, record_hash
from tlru.engine.items import Item, Items, is_reserved, over
from tlru.engine.locks import Locks
from tlru.engine.once import OnceTable
from tlru.engine.settings import DEFAULTS
from tlru.engine.snapshot import Capture, Loader
from tlru.engine.table import Table
from tlru.engine.tombstones import Tombstones


class State:
    """Everything that nodes at the same index share."""

    def __init__(self) -> None:
        self.index = 0
        self.term = 0
        self.at = 0
        self.items = Items()
        self._entries = self.items.store.entries  # at hand for what every entry needs
        self._tables = Digest()
        self.tombstones = Tombstones(self._tables)
        self.once = OnceTable(self._tables)
        self.locks = Locks(self._tables)
        self.settings: dict[str, Any] = dict(DEFAULTS)
        self.vector = Vector()
        self.membership = NOBODY  # of the cluster, by its log; a log of one says nothing of it
        # This is the node's own, not the cluster's: index and digest at its last checkpoint.
        self.noted: tuple[int, int] | None = None

    # -- questions

    def read(self, key: str, now: int) -> Item | None:
        """The item under `key` if it is alive at `now`; it becomes the most recently used. O(1)."""
        entries = self._entries
        item = entries.get(key)
        if item is None or (item.expires is not None and item.expires <= now):
            return None
        entries.move_to_end(key)
        return item

    def look(self, key: str, now: int) -> Item | None:
        """The user's item under `key` if it is alive at `now`; that does not count as a use."""
        item = self._entries.get(key)
        return None if item is None or over(item, now) or is_reserved(key) else item

    def scan(self, prefix: str, after: str | None, now: int) -> Iterator[tuple[str, Item]]:
        """The users' living items from `after` on, in the order of their keys."""
        entries = self._entries
        for key in self.items.range(prefix, after):
            item = entries[key]
            if not over(item, now):
                yield key, item

    def next_due(self) -> int | None:
        """When the next life or wait ends: an `Expire` is owed then."""
        moments = (self.items.store.next_expiry(), self.locks.next_due())
        return min((moment for moment in moments if moment is not None), default=None)

    def over_budget(self) -> tuple[int, int]:
        """By how many entries and bytes the budget is exceeded; (0, 0) where it is kept."""
        max_entries, max_bytes = self.settings["max_entries"], self.settings["max_bytes"]
        entries = 0 if max_entries is None else self.items.count - max_entries
        size = 0 if max_bytes is None else self.items.bytes - max_bytes
        return (entries if entries > 0 else 0), (size if size > 0 else 0)

    def victims(self) -> list[tuple[str, int]]:
        """The least recently used items that would have to go to keep the budget, each with the
        index of its last change. O(k) for k victims."""
        entries, size = self.over_budget()
        chosen: list[tuple[str, int]] = []
        for key, item in self._entries.items():
            if entries <= 0 and size <= 0:
                break
            if not is_reserved(key):
                chosen.append((key, item.changed))
                entries -= 1
                size -= item.size
        return chosen

    # -- time

    def follow_time(self) -> None:
        """Let the horizons follow the time and the settings that are in force.

        Beyond them the tables forget. A horizon never goes back, even where a setting grows: what
        was forgotten stays so, and an operation that was applied long ago is not taken for new.
        """
        gone, once = self.tombstones, self.once
        gone.horizon = max(gone.horizon, self.at - self.settings["tombstone_ms"])
        once.horizon = max(once.horizon, self.at - self.settings["once_ms"])

    # -- digest, snapshots, checks

    def digest(self) -> int:
        """64 bits that two machines at the same index share if and only if their state is equal."""
        head = record_hash("head", tuple(self.head().values()))
        return (self.items.digest + self._tables.value + head) & MASK

    def head(self) -> dict[str, Any]:
        """The state that is in no table."""
        return {
            "index": self.index,
            "term": self.term,
            "at": self.at,
            "floor": self.tombstones.floor,
            "gone_horizon": self.tombstones.horizon,
            "once_horizon": self.once.horizon,
            "last_fence": self.locks.last_fence,
            "last_ticket": self.locks.last_ticket,
            "settings": sorted(self.settings.items()),
            "vector": list(self.vector.places()),
            "members": _plain(self.membership),
        }

    def take_head(self, head: Mapping[str, Any]) -> None:
        """Take up what `head` gave."""
        self.index, self.term, self.at = head["index"], head["term"], head["at"]
        self.tombstones.floor = head["floor"]
        self.tombstones.horizon = head["gone_horizon"]
        self.once.horizon = head["once_horizon"]
        self.locks.last_fence = head["last_fence"]
        self.locks.last_ticket = head["last_ticket"]
        self.settings = dict(head["settings"])
        self.vector = Vector((Origin(*o), i, s) for o, i, s in head["vector"])
        self.membership = _membership(head["members"])

    def tables(self) -> dict[str, Table[Any, Any]]:
        """Everything but the head and the items, in the order in which it is to be restored."""
        gone, revs, clears = self.tombstones.tables()
        sessions, results = self.once.tables()
        held, waiters = self.locks.tables()
        return {
            "gone": gone,
            "revs": revs,
            "clears": clears,
            "sessions": sessions,
            "results": results,
            "held": held,
            "waiters": waiters,
        }

    def takers(self) -> dict[str, Callable[..., None]]:
        """Who takes up a row of each of the tables."""
        return {
            "gone": self.tombstones.restore_gone,
            "revs": self.tombstones.restore_rev,
            "clears": self.tombstones.restore_clear,
            "sessions": self.once.restore_session,
            "results": self.once.restore_record,
            "held": self.locks.restore_held,
            "waiters": self.locks.restore_waiter,
        }

    def capture(self) -> Capture:
        """Begin a snapshot, exact at this index."""
        return Capture(self)

    def loader(self) -> Loader:
        """What fills this state, which is blank, from a snapshot."""
        return Loader(self)

    @classmethod
    def from_snapshot(cls, chunks: Iterable[bytes]) -> Self:
        """The state that the chunks hold; SnapshotError where they are not whole."""
        state = cls()
        loader = state.loader()
        for chunk in chunks:
            loader.take(chunk)
        loader.finish()
        return state

    def check(self) -> None:
        """Walk everything and assert that it holds together, the digest above all."""
        self.items.check()
        self.tombstones.check()
        self.once.check(self.locks.named)
        self.locks.check()
        items = sum(item.hash for item in self._entries.values()) & MASK
        assert items == self.items.digest
        hashes = (each for table in self.tables().values() for each in table.hashes())
        assert sum(hashes) & MASK == self._tables.value
        assert self.tombstones.horizon >= self.at - self.settings["tombstone_ms"]
        assert self.once.horizon >= self.at - self.settings["once_ms"]


def _plain(membership: Membership) -> tuple[Any, ...]:
    members = [
        (each.id, each.birth, each.priority, each.role.value, each.region, each.details)
        for each in membership.members
    ]
    return membership.level, members


def _membership(plain: tuple[Any, ...]) -> Membership:
    level, members = plain
    return Membership(
        tuple(
            Member(name, birth, priority, Role(role), region, tuple(map(tuple, details)))
            for name, birth, priority, role, region, details in members
        ),
        level,
    )
