"""What is remembered of keys that are gone: when they last changed, and which revision they had.

Pure. Two questions are answered, for `tombstone_ms` after the fact:
- was the key set, deleted or cleared after this position? (`changed_after`; `if: unchanged`)
- which revision did a delete leave? (`rev_of`; an older one must not come in, not even after the
  key was set and has gone again)

The tables are bounded, in records and in bytes. A plain tombstone, or a clear, that goes early
raises `floor`: below it the answer to the first question is "perhaps", which counts as yes, so a
race is never missed, only a fill repeated. A revision cannot be forgotten early without letting an
older one in, so `room_for_revs` says when no more can be kept, and the delete is refused instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

from tlru.engine.digest import Digest
from tlru.engine.items import is_reserved
from tlru.engine.operations import Rev
from tlru.engine.sizes import text_bytes
from tlru.engine.table import AgingTable

GONE_MAX = 131_072
GONE_BYTES_MAX = 64 << 20
REVS_MAX = 131_072
REVS_BYTES_MAX = 64 << 20
CLEARS_MAX = 128
STONE_OVERHEAD_BYTES = 256  # the objects and their places; tests/benchmarks/memory.py
DROPPED_AT_ONCE = 1_024  # so that no single entry pays for a long quiet time


class Tombstone(NamedTuple):
    """A key that is gone, and the entry that last set, deleted or cleared it."""

    key: str
    version: int
    at: int


class RevStone(NamedTuple):
    """A key that was deleted, the entry that did it, and the revision that it left."""

    key: str
    version: int
    at: int
    rev: Rev


class Cleared(NamedTuple):
    """A clear of all keys with a prefix."""

    version: int
    at: int
    prefix: str


_at: Final = attrgetter("at")


def _gone_bytes(stone: Tombstone) -> int:
    key = stone.key
    return STONE_OVERHEAD_BYTES + (len(key) if key.isascii() else text_bytes(key))


def _rev_bytes(stone: RevStone) -> int:
    rev = stone.rev
    return (
        STONE_OVERHEAD_BYTES
        + text_bytes(stone.key)
        + (text_bytes(rev) if isinstance(rev, str) else 0)
    )


def _clear_bytes(cleared: Cleared) -> int:
    return STONE_OVERHEAD_BYTES + text_bytes(cleared.prefix)


class Tombstones:
    """The bounded memory of what is gone."""

    def __init__(self, digest: Digest) -> None:
        self._gone: AgingTable[str, Tombstone] = AgingTable("gone", digest, _gone_bytes, _at)
        self._revs: AgingTable[str, RevStone] = AgingTable("rev", digest, _rev_bytes, _at)
        self._clears: AgingTable[int, Cleared] = AgingTable("clear", digest, _clear_bytes, _at)
        self.floor = 0
        # What is from before this moment is forgotten; it follows the entries' time.
        self.horizon = 0

    def __len__(self) -> int:
        return len(self._gone) + len(self._revs)

    @property
    def bytes(self) -> int:
        """What the tombstones take, estimated."""
        return self._gone.bytes + self._revs.bytes

    # -- questions

    def changed_after(self, key: str, pos: int) -> bool:
        """True if the absent `key` was, or may have been, set, deleted or cleared after `pos`."""
        if pos < self.floor:
            return True
        gone, rev = self._gone.records.get(key), self._revs.records.get(key)
        if (gone is not None and gone.version > pos) or (rev is not None and rev.version > pos):
            return True
        for cleared in reversed(self._clears.records.values()):
            if cleared.version <= pos:
                break
            if key.startswith(cleared.prefix) and not is_reserved(key):
                return True
        return False

    def rev_of(self, key: str) -> Rev | None:
        """The revision that a delete of `key` left, while it is remembered."""
        stone = self._revs.records.get(key)
        return None if stone is None or stone.at < self.horizon else stone.rev

    # -- changes

    def room_for_revs(self, revs: Mapping[str, Rev]) -> bool:
        """Whether deletes of these keys can have the revisions remembered that they leave."""
        if not revs or self._fits(revs):
            return True
        # What is stale makes room at once; nobody can tell that it was still there.
        self._drop_revs(len(revs) + DROPPED_AT_ONCE)
        return self._fits(revs)

    def _fits(self, revs: Mapping[str, Rev]) -> bool:
        records, size = len(self._revs), self._revs.bytes
        for key, rev in revs.items():
            known = self._revs.records.get(key)
            records += known is None
            size += _rev_bytes(RevStone(key, 0, 0, rev))
            size -= 0 if known is None else _rev_bytes(known)
        return records <= REVS_MAX and size <= REVS_BYTES_MAX

    def bury(self, key: str, version: int, at: int, rev: Rev | None = None) -> None:
        """Remember that `key` is gone, and that the entry `version` was the last to write it.

        With a revision, `room_for_revs` was asked before.
        """
        gone = self._gone
        gone.discard(key)
        if rev is not None:
            self._revs.discard(key)
            self._revs.add(key, RevStone(key, version, at, rev))
            return
        gone.add(key, Tombstone(key, version, at))
        if len(gone.records) > GONE_MAX or gone.bytes > GONE_BYTES_MAX:
            # Many at a time; whoever asks for one of them is told "perhaps".
            self._raise_floor(gone.remove_oldest(DROPPED_AT_ONCE))

    def passed(self, key: str, version: int, written_at: int, at: int) -> None:
        """An item expired or was evicted: neither counts as a change, but its last write does."""
        if written_at < self.horizon:
            self.floor = max(self.floor, version)  # nobody holds a position that old
        else:
            self.bury(key, version, at)

    def there_again(self, key: str) -> None:
        """The key was set: its item says what a plain tombstone would."""
        self._gone.discard(key)

    def clear(self, prefix: str, version: int, at: int) -> None:
        """Remember that all keys with `prefix` were cleared."""
        self._clears.add(version, Cleared(version, at, prefix))
        if len(self._clears) > CLEARS_MAX:
            self._raise_floor(self._clears.remove_oldest(CLEARS_MAX // 4))

    def drop_stale(self) -> None:
        """Forget what is from before the horizon, a bounded number for each call."""
        self._raise_floor(self._gone.remove_stale(self.horizon, DROPPED_AT_ONCE))
        self._raise_floor(self._clears.remove_stale(self.horizon, DROPPED_AT_ONCE))
        self._drop_revs(DROPPED_AT_ONCE)

    def _drop_revs(self, limit: int) -> None:
        self._raise_floor(self._revs.remove_stale(self.horizon, limit))

    def _raise_floor(self, forgotten: Iterable[Tombstone | RevStone | Cleared]) -> None:
        for each in forgotten:
            self.floor = max(self.floor, each.version)

    # -- snapshots

    def tables(self) -> tuple[AgingTable[Any, Any], ...]:
        """What a snapshot copies."""
        return self._gone, self._revs, self._clears

    def restore_gone(self, *row: Any) -> None:
        """Take up one plain tombstone."""
        self._gone.add(row[0], Tombstone(*row))

    def restore_rev(self, *row: Any) -> None:
        """Take up one revision."""
        self._revs.add(row[0], RevStone(*row))

    def restore_clear(self, *row: Any) -> None:
        """Take up one clear."""
        self._clears.add(row[0], Cleared(*row))

    def check(self) -> None:
        """Assert that every bound and order holds."""
        for table in self.tables():
            table.check()
        assert len(self._gone) <= GONE_MAX
        assert self._gone.bytes <= GONE_BYTES_MAX
        assert len(self._revs) <= REVS_MAX
        assert self._revs.bytes <= REVS_BYTES_MAX
        assert len(self._clears) <= CLEARS_MAX
