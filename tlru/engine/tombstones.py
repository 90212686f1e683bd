"""What is remembered of keys that are gone: when they last changed, and which revision they had.

Pure. Two questions are answered, for `tombstone_ms` after the fact:
- was the key set, deleted or cleared after this position? (`changed_after`; `if: unchanged`)
- which revision did a delete leave? (`rev_of`; an older one must not come back)

Both tables are bounded. A plain tombstone that must go early raises `floor`: below it the answer
to the first question is "perhaps", which counts as yes, so a race is never missed, only a fill
repeated. A revision cannot be forgotten early without letting an older one in, so `room_for_rev`
says when no more can be kept, and the delete is refused instead.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from tlru.engine.digest import Digest, record_hash
from tlru.engine.operations import Rev

TOMBSTONES_MAX = 131_072
REV_TOMBSTONES_MAX = 131_072
CLEARS_MAX = 128
DROPPED_AT_ONCE = 256  # so that no single entry pays for a long quiet time


class Tombstone(NamedTuple):
    """A key that is gone: the entry that last set, deleted or cleared it; kept since `at`."""

    version: int
    at: int
    rev: Rev | None


class Cleared(NamedTuple):
    """A clear of all keys with a prefix."""

    version: int
    at: int
    prefix: str


class Tombstones:
    """The bounded memory of what is gone."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._plain: OrderedDict[str, Tombstone] = OrderedDict()
        self._revs: OrderedDict[str, Tombstone] = OrderedDict()
        self._clears: deque[Cleared] = deque()
        self.floor = 0

    def __len__(self) -> int:
        return len(self._plain) + len(self._revs)

    # -- questions

    def changed_after(self, key: str, pos: int) -> bool:
        """True if the absent `key` was, or may have been, set, deleted or cleared after `pos`."""
        if pos < self.floor:
            return True
        stone = self._plain.get(key) or self._revs.get(key)
        if stone is not None and stone.version > pos:
            return True
        for cleared in reversed(self._clears):
            if cleared.version <= pos:
                break
            if key.startswith(cleared.prefix):
                return True
        return False

    def rev_of(self, key: str) -> Rev | None:
        """The revision that a delete of `key` left, while it is remembered."""
        stone = self._revs.get(key)
        return None if stone is None else stone.rev

    def room_for_rev(self, key: str) -> bool:
        """Whether one more deleted key can have its revision remembered."""
        return key in self._revs or len(self._revs) < REV_TOMBSTONES_MAX

    # -- changes

    def bury(self, key: str, version: int, at: int, rev: Rev | None = None) -> None:
        """Remember that `key` is gone, and that the entry `version` was the last to write it."""
        self.forget(key)
        stone = Tombstone(version, at, rev)
        table = self._plain if rev is None else self._revs
        table[key] = stone
        self._digest.add(_hash(key, stone))
        if len(self._plain) > TOMBSTONES_MAX:
            self._drop_oldest(self._plain)

    def passed(self, key: str, version: int, written_at: int, at: int, horizon_ms: int) -> None:
        """An item expired or was evicted: neither counts as a change, but its last write does."""
        if written_at < at - horizon_ms:
            self._raise_floor(version)  # nobody holds a position that old; no record is owed
        else:
            self.bury(key, version, at)

    def forget(self, key: str) -> None:
        """The key is there again (its item says what a tombstone would), or gets a newer one."""
        stone = self._plain.pop(key, None) or self._revs.pop(key, None)
        if stone is not None:
            self._digest.remove(_hash(key, stone))

    def clear(self, prefix: str, version: int, at: int) -> None:
        """Remember that all keys with `prefix` were cleared."""
        cleared = Cleared(version, at, prefix)
        self._clears.append(cleared)
        self._digest.add(_hash_cleared(cleared))
        if len(self._clears) > CLEARS_MAX:
            self._drop_oldest_clear()

    def drop_before(self, at: int) -> None:
        """Forget what is older than `at`, a bounded number for each call."""
        for table in (self._plain, self._revs):
            for _ in range(DROPPED_AT_ONCE):
                if not table or next(iter(table.values())).at >= at:
                    break
                self._drop_oldest(table)
        while self._clears and self._clears[0].at < at:
            self._drop_oldest_clear()

    def _drop_oldest(self, table: OrderedDict[str, Tombstone]) -> None:
        key, stone = table.popitem(last=False)
        self._raise_floor(stone.version)
        self._digest.remove(_hash(key, stone))

    def _drop_oldest_clear(self) -> None:
        cleared = self._clears.popleft()
        self._raise_floor(cleared.version)
        self._digest.remove(_hash_cleared(cleared))

    def _raise_floor(self, version: int) -> None:
        self.floor = max(self.floor, version)

    # -- snapshots

    def copy(self) -> list[Any]:
        """All of it, exact now: the floor, the tombstones in their order, the clears."""
        stones = [*self._plain.items(), *self._revs.items()]
        return [self.floor, stones, list(self._clears)]

    def restore(self, floor: int, clears: list[Any]) -> None:
        """Take up the floor and the clears of `copy`; `restore_stone` takes the tombstones."""
        self.floor = floor
        for cleared in (Cleared(*fields) for fields in clears):
            self._clears.append(cleared)
            self._digest.add(_hash_cleared(cleared))

    def restore_stone(self, key: str, fields: tuple[Any, ...]) -> None:
        """Take up one tombstone."""
        stone = Tombstone(*fields)
        (self._plain if stone.rev is None else self._revs)[key] = stone
        self._digest.add(_hash(key, stone))

    def check(self) -> None:
        """Assert that every bound and order holds."""
        assert len(self._plain) <= TOMBSTONES_MAX
        assert len(self._revs) <= REV_TOMBSTONES_MAX
        assert len(self._clears) <= CLEARS_MAX
        assert not self._plain.keys() & self._revs.keys()
        for table in (self._plain, self._revs):
            times = [stone.at for stone in table.values()]
            assert times == sorted(times)

    def hashes(self) -> Iterator[int]:
        """The hash of every record, for checking the digest."""
        for table in (self._plain, self._revs):
            yield from (_hash(key, stone) for key, stone in table.items())
        yield from map(_hash_cleared, self._clears)


def _hash(key: str, stone: Tombstone) -> int:
    return record_hash("tombstone", key, *stone)


def _hash_cleared(cleared: Cleared) -> int:
    return record_hash("cleared", *cleared)
