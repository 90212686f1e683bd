"""The items of the replicated cache: one `Store` of them, and an index of their keys in order.

Pure; decides nothing about when. It keeps, with each change, what would be dear to find out later:
the keys in order, the digest, and how much of it is the users' (the reserved key space `_tlru/` has
no part in budgets, scans and clears).

An `Item` is never changed in place: whoever holds one, such as a snapshot in the making, keeps it
as it was. (`indexed` alone belongs to the store.)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from sortedcontainers import SortedList

from tlru.engine.digest import Digest, pack, xxh3
from tlru.engine.operations import Rev
from tlru.engine.sizes import text_bytes
from tlru.engine.store import Entry, Store

RESERVED = "_tlru/"
_RESERVED_LETTERS = len(RESERVED)
_RESERVED_END = "_tlru0"  # the least string above every reserved key: "0" follows "/"

# What an item costs beside the letters of its key and the bytes of its value: the objects, and
# their places in the store and in the order of keys. Measured by tests/benchmarks/memory.py.
ITEM_OVERHEAD_BYTES = 448
EXPIRY_OVERHEAD_BYTES = 176  # a time to live: the moment, and its place in the expiry index
TEXT_OVERHEAD_BYTES = 64  # of a revision or content type: its header and what malloc adds

_MOMENTS = struct.Struct("<5q").pack
_NEVER = -1


def is_reserved(key: str) -> bool:
    """Whether a key is tlru's own, not a user's."""
    return key.startswith(RESERVED)


class Item(Entry):
    """What is kept under a key. Times are cluster milliseconds."""

    __slots__ = ("_hash", "at", "changed", "created", "key", "mime", "rev", "value", "version")

    def __init__(
        self,
        key: str,
        value: bytes,
        version: int,
        changed: int,
        at: int,
        created: int,
        expires: int | None,
        rev: Rev | None,
        mime: str | None,
    ) -> None:
        self.key = key
        self.value = value
        self.version = version  # the entry that last set it
        self.changed = changed  # the entry that last set or touched it
        self.at = at
        self.created = created
        self.expires = expires
        self.rev = rev
        self.mime = mime
        self.indexed = None
        self._hash: int | None = None
        self.size = size_of(key, value, expires, rev, mime)

    @property
    def hash(self) -> int:
        """The hash of all of it. It is made when it is first asked for: most items of a busy key
        are gone before."""
        if self._hash is None:
            expires = _NEVER if self.expires is None else self.expires
            # What lies there is hashed where it lies, each part under the hash of those before it.
            moments = _MOMENTS(self.version, self.changed, self.at, self.created, expires)
            seed = xxh3(moments, xxh3(self.key.encode()))
            if self.rev is not None or self.mime is not None:
                seed = xxh3(pack((self.rev, self.mime)), seed)
            self._hash = xxh3(self.value, seed)
        return self._hash

    def fields(self) -> tuple[Any, ...]:
        """What the constructor was given, for snapshots."""
        return (
            self.key,
            self.value,
            self.version,
            self.changed,
            self.at,
            self.created,
            self.expires,
            self.rev,
            self.mime,
        )


def size_of(
    key: str,
    value: bytes,
    expires: int | None = None,
    rev: Rev | None = None,
    mime: str | None = None,
) -> int:
    """What an item takes of `max_bytes`; a reserved one takes nothing of the users' budget."""
    if key[:_RESERVED_LETTERS] == RESERVED:  # faster than startswith
        return 0
    size = len(value) + ITEM_OVERHEAD_BYTES + (len(key) if key.isascii() else text_bytes(key))
    if expires is not None:
        size += EXPIRY_OVERHEAD_BYTES
    if mime is not None:
        size += text_bytes(mime) + TEXT_OVERHEAD_BYTES
    if isinstance(rev, str):
        size += text_bytes(rev) + TEXT_OVERHEAD_BYTES
    return size


Observer = Callable[[str, Item | None], None]

UNHASHED_MAX = 1_024  # so many are hashed in about a millisecond


class Items:
    """Every item, by key; in order of use, of expiry and of the keys."""

    def __init__(self) -> None:
        self.store: Store[str, Item] = Store(tie=lambda key: key)
        self.keys: SortedList[str] = SortedList()
        self._digest = Digest()  # of all but those whose hashes are not in it yet
        self._unhashed: dict[str, Item] = {}
        self.reserved = 0
        # Called with each key and what it held, before it changes: snapshots in the making.
        self.observers: list[Observer] = []

    @property
    def count(self) -> int:
        """How many items count against `max_entries`."""
        return len(self.store.entries) - self.reserved

    @property
    def bytes(self) -> int:
        """How much of `max_bytes` is taken."""
        return int(self.store.size)

    @property
    def digest(self) -> int:
        """The sum of the hashes of all items."""
        self._hash_all()
        return self._digest.value

    def _hash_all(self) -> None:
        self._digest.add(sum(item.hash for item in self._unhashed.values()))
        self._unhashed.clear()

    def put(self, key: str, item: Item) -> Item | None:
        """Keep `item` under `key`; what was there."""
        if self.observers:
            self._observe(key)
        previous = self.store.put(key, item)
        unhashed = self._unhashed
        if previous is None:
            self.keys.add(key)
            self.reserved += item.size == 0
        elif key not in unhashed:
            self._digest.remove(previous.hash)
        unhashed[key] = item
        if len(unhashed) > UNHASHED_MAX:
            self._hash_all()
        return previous

    def remove(self, key: str) -> Item:
        """Take the item under `key` away."""
        if self.observers:
            self._observe(key)
        item = self.store.remove(key)
        assert item is not None
        self._gone(key, item)
        return item

    def due(self, up_to: int, limit: int) -> list[tuple[str, Item]]:
        """Take away at most `limit` items that are over at `up_to`, in order of time and key."""
        taken = self.store.due(up_to, limit)
        for key, item in taken:
            for observer in self.observers:
                observer(key, item)
            self._gone(key, item)
        return taken

    def clear(self, prefix: str, at: int) -> int:
        """Take every user's item with `prefix` away; how many of them were alive at `at`."""
        entries = self.store.entries
        keys = list(self.range(prefix))
        alive = sum(1 for key in keys if not over(entries[key], at))
        if self.observers:
            for key in keys:
                self._observe(key)
        if len(keys) == self.count:
            self._keep_reserved_only()
        elif keys:
            self._remove_run(keys)
        return alive

    # One by one, a million items would hold the node up for ten seconds; these two take one.

    def _keep_reserved_only(self) -> None:
        reserved = self.keys.irange(RESERVED, _RESERVED_END, (True, False))
        kept = [(key, self.store.entries[key]) for key in reserved]
        self.store.clear()
        self.keys.clear()
        self._digest.value = 0
        self._unhashed.clear()
        self.reserved = 0
        observers, self.observers = self.observers, []
        for key, item in kept:
            self.put(key, item)
        self.observers = observers

    def _remove_run(self, keys: list[str]) -> None:
        """Take away users' items that follow each other in the order of the keys."""
        self._hash_all()
        hashes = 0
        for key in keys:
            item = self.store.remove(key)
            assert item is not None
            hashes += item.hash
        self._digest.remove(hashes)
        index = self.keys
        start, end = index.bisect_left(keys[0]), index.bisect_right(keys[-1])
        if end - start > len(keys):  # the reserved keys stand between
            first, last = index.bisect_left(RESERVED), index.bisect_left(_RESERVED_END)
            del index[last:end]
            end = first
        del index[start:end]

    def range(self, prefix: str = "", after: str | None = None) -> Iterator[str]:
        """The users' keys that begin with `prefix` and follow `after`, in order."""
        low = prefix if after is None or after < prefix else after
        for key in self._from(low, inclusive=after is None or after < prefix):
            if not key.startswith(prefix):
                return
            yield key

    def _from(self, low: str, *, inclusive: bool) -> Iterator[str]:
        if low < _RESERVED_END:
            yield from self.keys.irange(low, RESERVED, (inclusive, False))
            yield from self.keys.irange(_RESERVED_END)
        else:
            yield from self.keys.irange(low, None, (inclusive, True))

    def _observe(self, key: str) -> None:
        item = self.store.entries.get(key)
        for observer in self.observers:
            observer(key, item)

    def _gone(self, key: str, item: Item) -> None:
        self.keys.remove(key)
        self.reserved -= item.size == 0
        if self._unhashed.pop(key, None) is None:
            self._digest.remove(item.hash)

    def check(self) -> None:
        """Assert that the store, the key index and the counts agree."""
        self.store.check()
        entries = self.store.entries
        assert list(self.keys) == sorted(entries)
        assert self.reserved == sum(map(is_reserved, entries))
        assert self.bytes == sum(item.size for item in entries.values())
        for key, item in entries.items():
            assert item.key == key
            assert item.size == size_of(key, item.value, item.expires, item.rev, item.mime)
            assert item.hash == Item(*item.fields()).hash


def over(item: Item, at: int) -> bool:
    """Whether an item's life is over at `at`; at its very millisecond it is."""
    return item.expires is not None and item.expires <= at
