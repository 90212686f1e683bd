"""The replicated state: items, locks, what is gone, what was named, settings; and its digest.

Pure. Here is what there is and what one can ask of it; what an entry does to it is decided in
`machine.py`. Two states at the same index are equal if and only if their digests are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from peers.core.entry import Origin
from peers.core.vector import Vector
from tlru.engine import snapshot
from tlru.engine.digest import MASK, Digest, record_hash
from tlru.engine.items import Item, Items, is_reserved, over
from tlru.engine.locks import Locks
from tlru.engine.once import OnceTable
from tlru.engine.settings import DEFAULTS
from tlru.engine.tombstones import Tombstones

EVICT_MAX = 1_000  # victims that are chosen for one entry


class State:
    """Everything that nodes at the same index share."""

    def __init__(self) -> None:
        self.index = 0
        self.term = 0
        self.at = 0
        self.items = Items()
        self._tables = Digest()
        self.tombstones = Tombstones(self._tables)
        self.once = OnceTable(self._tables)
        self.locks = Locks(self._tables)
        self.settings: dict[str, Any] = dict(DEFAULTS)
        self.vector = Vector()
        # These two are this node's own, not the cluster's: what it found at its last checkpoint.
        self.noted: tuple[int, int] | None = None  # index and digest
        self.diverged = False  # a majority reported another digest than ours

    # -- questions

    def read(self, key: str, now: int) -> Item | None:
        """The item under `key` if it is alive at `now`; it becomes the most recently used. O(1)."""
        entries = self.items.store.entries
        item = entries.get(key)
        if item is None or (item.expires is not None and item.expires <= now):
            return None
        entries.move_to_end(key)
        return item

    def scan(self, prefix: str, after: str | None, now: int) -> Iterator[tuple[str, Item]]:
        """The users' living items from `after` on, in the order of their keys."""
        entries = self.items.store.entries
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
        entries = 0 if max_entries is None else max(0, self.items.count - max_entries)
        size = 0 if max_bytes is None else max(0, self.items.bytes - max_bytes)
        return entries, size

    def victims(self) -> Sequence[tuple[str, int]]:
        """The least recently used items that would have to go to keep the budget, at most
        EVICT_MAX, each with the index of its last change."""
        entries, size = self.over_budget()
        chosen: list[tuple[str, int]] = []
        for key, item in self.items.store.entries.items():
            if (entries <= 0 and size <= 0) or len(chosen) == EVICT_MAX:
                break
            if not is_reserved(key):
                chosen.append((key, item.changed))
                entries -= 1
                size -= item.size
        return chosen

    # -- digest, snapshots, checks

    def digest(self) -> int:
        """64 bits that two machines at the same index share if and only if their state is equal."""
        head = record_hash("head", *self._head_fields())
        return (self.items.digest.value + self._tables.value + head) & MASK

    def _head_fields(self) -> tuple[Any, ...]:
        return (
            self.index,
            self.at,
            self.tombstones.floor,
            self.locks.last_fence,
            self.locks.last_ticket,
            sorted(self.settings.items()),
            list(self.vector.places()),
        )

    def head(self) -> dict[str, Any]:
        """The state that is in no table."""
        return {
            "index": self.index,
            "term": self.term,
            "at": self.at,
            "last_fence": self.locks.last_fence,
            "last_ticket": self.locks.last_ticket,
            "settings": dict(self.settings),
            "vector": list(self.vector.places()),
        }

    def take_head(self, head: dict[str, Any]) -> None:
        """Take up what `head` gave."""
        self.index, self.term, self.at = head["index"], head["term"], head["at"]
        self.locks.last_fence = head["last_fence"]
        self.locks.last_ticket = head["last_ticket"]
        self.settings = dict(head["settings"])
        self.vector = Vector((Origin(*o), i, s) for o, i, s in head["vector"])

    def capture(self) -> snapshot.Capture:
        """Begin a snapshot, exact at this index."""
        return snapshot.Capture(self)

    @classmethod
    def from_snapshot(cls, chunks: Iterable[bytes]) -> Self:
        """The state that the chunks hold; SnapshotError where they are not whole."""
        state = cls()
        snapshot.load(state, chunks)
        return state

    def check(self) -> None:
        """Walk everything and assert that it holds together, the digest above all."""
        self.items.check()
        self.tombstones.check()
        self.once.check()
        self.locks.check()
        items = sum(item.hash for item in self.items.store.entries.values()) & MASK
        assert items == self.items.digest.value
        tables = (self.tombstones, self.once, self.locks)
        assert sum(h for table in tables for h in table.hashes()) & MASK == self._tables.value
