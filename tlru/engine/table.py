"""A table of the replicated state: records by key, the oldest first, each of them in the digest.

Pure, and the one way in which everything but the items is kept: what is gone, what was named, who
holds and who waits. A record is a named tuple, never changed in place, and is at the same time its
own row in a snapshot: taking a copy of a full table means copying pointers, which takes less than a
millisecond, and whatever happens to the table afterwards, the copy stays as it was.

The records stand in a plain dictionary, in the order in which they were added. (An ordered
dictionary took three times the memory and ten times as long to copy.) Its price: where the oldest
records were removed, finding the first that is left means passing over the gaps, until the
dictionary grows next. So the oldest are looked at and removed many at a time, never one by one.

Invariant: the digest holds exactly the records, and `bytes` is the sum of their sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from tlru.engine.digest import MASK, Digest, record_hash

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=tuple[Any, ...])


class Table(Generic[K, R]):
    """Records by key. `tag` tells its records from those of every other table."""

    __slots__ = ("_digest", "_size_of", "_tag", "bytes", "records")

    def __init__(self, tag: str, digest: Digest, size_of: Callable[[R], int]) -> None:
        self._tag = tag
        self._digest = digest
        self._size_of = size_of
        self.records: dict[K, R] = {}  # to be read freely, and changed here only
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.records)

    def add(self, key: K, record: R) -> None:
        """Keep a record under a key that has none, as the newest."""
        records, digest = self.records, self._digest
        assert key not in records, f"the {self._tag} table has a record of {key!r} already"
        records[key] = record
        digest.value = (digest.value + record_hash(self._tag, record)) & MASK
        self.bytes += self._size_of(record)

    def replace(self, key: K, record: R) -> None:
        """Keep another record under a key that has one, in the same place."""
        previous = self.records[key]
        self.records[key] = record
        self._digest.remove(record_hash(self._tag, previous))
        self._digest.add(record_hash(self._tag, record))
        self.bytes += self._size_of(record) - self._size_of(previous)

    def remove(self, key: K) -> R:
        """Take a record away."""
        record, digest = self.records.pop(key), self._digest
        digest.value = (digest.value - record_hash(self._tag, record)) & MASK
        self.bytes -= self._size_of(record)
        return record

    def discard(self, key: K) -> R | None:
        """Take a record away, if there is one."""
        return self.remove(key) if key in self.records else None

    def remove_oldest(self, limit: int) -> list[R]:
        """Take at most `limit` of the oldest records away."""
        return [self.remove(key) for key in list(islice(self.records, limit))]

    def rows(self) -> list[R]:
        """Every record, in order: a copy that stays as it is."""
        return list(self.records.values())

    def hashes(self) -> Iterator[int]:
        """The hash of every record, for checking the digest."""
        return (record_hash(self._tag, record) for record in self.records.values())

    def check(self) -> None:
        """Assert that the sizes add up."""
        assert self.bytes == sum(map(self._size_of, self.records.values())), self._tag


class AgingTable(Table[K, R]):
    """A table whose records were added in the order of their `at`, and are forgotten in it."""

    __slots__ = ("_at_of", "_oldest_at")

    def __init__(
        self,
        tag: str,
        digest: Digest,
        size_of: Callable[[R], int],
        at_of: Callable[[R], int],
    ) -> None:
        super().__init__(tag, digest, size_of)
        self._at_of = at_of
        # No record is older than this. It only spares looks that would find nothing, and is no
        # part of the replicated state: a machine that was restored begins without it.
        self._oldest_at = 0

    def remove_stale(self, before: int, limit: int) -> list[R]:
        """Take at most `limit` of the records away that are older than `before`, oldest first."""
        if before <= self._oldest_at:
            return []
        stale: list[K] = []
        self._oldest_at = before
        for key, record in islice(self.records.items(), limit + 1):
            at = self._at_of(record)
            if at >= before or len(stale) == limit:
                self._oldest_at = at
                break
            stale.append(key)
        return [self.remove(key) for key in stale]

    def check(self) -> None:
        """Assert that the records are in the order of their age."""
        super().check()
        ages = [self._at_of(record) for record in self.records.values()]
        assert ages == sorted(ages), f"the {self._tag} table is out of order"
        assert not ages or self._oldest_at <= ages[0], f"the {self._tag} table skips its oldest"
