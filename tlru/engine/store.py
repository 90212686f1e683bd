"""What is kept, in the order of its use, and how much that is.

No policy and no clock: the store is told what to keep, what was used and what time it is; whoever
owns it decides what a budget is, what is evicted and who hears of it. `TLRUCache` and the
replicated machine both stand on it.

Invariant: `size` is the sum of the sizes of the entries, and every entry with an expiry has its one
element in the expiry index.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from tlru.engine.expiry import E, Entry, ExpiryIndex, K, Ordered, Size

__all__ = ["Entry", "Store"]

D = TypeVar("D")


class Store(Generic[K, E]):
    """Entries by key, least recently used first, with an index of when each is over.

    Read with `store.entries.get(key)`, and mark as used with `store.entries.move_to_end(key)`; all
    that changes what is kept goes through the methods. `tie` orders entries that are over at the
    same moment: two keys must never share one. Without it that is the order in which the keys were
    first given an expiry.
    """

    __slots__ = ("entries", "index", "size")

    def __init__(self, *, tie: Callable[[K], Ordered] | None = None) -> None:
        self.entries: OrderedDict[K, E] = OrderedDict()
        self.index: ExpiryIndex[K] = ExpiryIndex(self.entries, tie)
        self.size: Size = 0

    def __len__(self) -> int:
        return len(self.entries)

    def put(self, key: K, entry: E) -> E | None:
        """Keep an entry as the most recently used; returns the one that it replaced. O(log n)."""
        entries = self.entries
        old = entries.get(key)
        # Entries first, for the index reads them; it may refuse an expiry that does not compare.
        entries[key] = entry
        if old is None:
            if entry.expires is not None:
                try:
                    self.index.add(key, entry)
                except BaseException:
                    del entries[key]
                    raise
            self.size += entry.size
            return None
        assert old is not entry, f"the entry of {key!r} was put twice; see `reschedule`"
        if entry.expires is not None or old.indexed is not None:
            try:
                self.index.replace(key, old, entry)
            except BaseException:
                entries[key] = old
                raise
        entries.move_to_end(key)
        self.size += entry.size - old.size
        return old

    def remove(self, key: K) -> E | None:
        """Stop keeping a key; returns its entry. O(log n)."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.index.remove(key, entry)
            self.size = self.size - entry.size if self.entries else 0
        return entry

    def pop_oldest(self) -> tuple[K, E]:
        """Remove and return the least recently used; KeyError if there is none. O(log n)."""
        entries = self.entries
        key, entry = oldest = entries.popitem(last=False)
        if entry.indexed is not None:
            self.index.remove(key, entry)
        # Sums of fractions drift; an empty store weighs exactly nothing.
        self.size = self.size - entry.size if entries else 0
        return oldest

    def renew(self, key: K, entry: E, expires: Ordered | None, size: Size) -> None:
        """Give an entry that is kept another expiry and size, as the most recently used.

        The same as putting a new entry in its place, but for the price of making one. O(1) if it is
        over later, or O(log n).
        """
        if expires != entry.expires:
            self.reschedule(key, entry, expires)
        self.entries.move_to_end(key)
        self.size += size - entry.size
        entry.size = size

    def reschedule(self, key: K, entry: E, expires: Ordered | None) -> None:
        """Give an entry that is kept another expiry. O(1) if later, or O(log n)."""
        before, entry.expires = entry.expires, expires
        try:
            self.index.follow(key, entry, before)
        except BaseException:
            entry.expires = before
            raise

    def due(self, now: Ordered, limit: int | None = None) -> list[tuple[K, E]]:
        """Remove and return what is over at `now`, at most `limit` of it; equal to `now` is over.

        The order is exactly that of (expires, tie). O(log n) for each entry returned, amortised.
        """
        over: list[tuple[K, E]] = []
        pop_due, entries = self.index.pop_due, self.entries
        while limit is None or len(over) < limit:
            key = pop_due(now)
            if key is None:
                break
            entry = entries.pop(key)
            self.size -= entry.size
            over.append((key, entry))
        if not entries:
            self.size = 0
        return over

    def next_expiry(self) -> Ordered | None:
        """The exact moment at which something is over next, or None. O(log n), amortised."""
        first = self.index.first()
        return None if first is None else first[0]

    def clear(self) -> None:
        """Stop keeping anything. O(n)."""
        self.index.clear()
        self.entries.clear()
        self.size = 0

    def check(self) -> None:
        """Walk all of it and assert the invariant. O(n)."""
        total = sum(entry.size for entry in self.entries.values())
        # Sizes that are fractions drift by a little; whole numbers compare exactly either way.
        close = math.isclose(self.size, total, rel_tol=1e-9, abs_tol=1e-9)
        assert close, f"size is {self.size}, the entries sum to {total}"
        for key, entry in self.entries.items():
            indexed = entry.indexed is not None
            assert indexed == (entry.expires is not None), f"{key!r} is indexed wrongly"
        self.index.check()
