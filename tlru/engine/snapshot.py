"""Snapshots: the state in chunks, exact at one index, while the machine goes on.

Pure. The tables with small bounds are copied when the capture begins. The items are walked in the
order of their keys; the first change to a key that was not walked yet sets its old state, or the
fact that it was absent, aside for the walk. So the chunks show the state at the index where the
capture began, whatever happens meanwhile, and no step takes longer than a chunk.

The last chunk holds the digest; what is read back must have it, or nothing is taken up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgpack
from sortedcontainers import SortedDict

from tlru.engine.items import Item

if TYPE_CHECKING:
    from tlru.engine.state import State

FORMAT = 1
CHUNK_RECORDS = 512
CHUNK_BYTES = 256 << 10


class SnapshotError(Exception):
    """A snapshot that cannot be taken up: damaged, incomplete, or of a later format."""


class Capture:
    """A snapshot in the making."""

    def __init__(self, state: State) -> None:
        self.index = state.index
        self._items = state.items
        self._head = state.head()
        self._digest = state.digest()
        self._stones = state.tombstones.copy()
        self._sessions, self._records = state.once.copy()
        self._held, self._waiting = state.locks.copy()
        self._walked: str | None = None  # up to this key nothing is set aside any more
        self._done = False
        self._aside: SortedDict[str, Item | None] = SortedDict()
        self.aside_bytes = 0
        self._items.observers.append(self._set_aside)

    def close(self) -> None:
        """Stop watching the items; owed by whoever does not walk to the end."""
        self._done = True
        if self._set_aside in self._items.observers:
            self._items.observers.remove(self._set_aside)
        self._aside.clear()
        self.aside_bytes = 0

    def chunks(self) -> Iterator[bytes]:
        """The state in pieces. The machine may change between two of them."""
        floor, stones, clears = self._stones
        yield _pack("head", {**self._head, "format": FORMAT, "floor": floor, "clears": clears})
        for rows in self._item_rows():
            yield _pack("items", rows)
        yield from _pack_table("stones", [(key, *stone) for key, stone in stones])
        yield from _pack_table("sessions", self._sessions)
        yield from _pack_table("once", self._records)
        yield from _pack_table("held", self._held)
        yield from _pack_table("waiting", self._waiting)
        yield _pack("end", self._digest)

    def _set_aside(self, key: str, item: Item | None) -> None:
        if key in self._aside or self._was_walked(key):
            return
        self._aside[key] = item
        self.aside_bytes += len(key) if item is None else item.size

    def _was_walked(self, key: str) -> bool:
        return self._done or (self._walked is not None and key <= self._walked)

    def _item_rows(self) -> Iterator[list[tuple[Any, ...]]]:
        while not self._done:
            keys, more = self._next_keys()
            rows: list[tuple[Any, ...]] = []
            size = 0
            for key in keys:
                item = self._as_it_was(key)
                self._walked = key
                if item is not None:
                    rows.append(item.fields(key))
                    size += item.size
                if size >= CHUNK_BYTES:
                    break
            else:
                if not more:
                    self.close()
            if rows:
                yield rows

    def _as_it_was(self, key: str) -> Item | None:
        if key in self._aside:
            item = self._aside.pop(key)
            self.aside_bytes -= len(key) if item is None else item.size
            return item
        return self._items.store.entries[key]

    def _next_keys(self) -> tuple[list[str], bool]:
        """The next keys to walk, live ones and those set aside; whether more follow."""
        inclusive = (self._walked is None, True)
        live = list(islice(self._items.keys.irange(self._walked, None, inclusive), CHUNK_RECORDS))
        aside = list(islice(self._aside.irange(self._walked, None, inclusive), CHUNK_RECORDS))
        # Beyond the end of a cut list, the other may hold keys that come later than ones unseen.
        ends = [keys[-1] for keys in (live, aside) if len(keys) == CHUNK_RECORDS]
        keys = sorted({*live, *aside})
        return [key for key in keys if not ends or key <= min(ends)], bool(ends)


def _pack(kind: str, content: Any) -> bytes:
    packed: bytes = msgpack.packb((kind, content))
    return packed


def _pack_table(kind: str, rows: list[Any]) -> Iterator[bytes]:
    start, size = 0, 0
    for end, row in enumerate(rows, 1):
        size += sum(len(field) for field in row if isinstance(field, bytes)) + 64
        if end - start == CHUNK_RECORDS or size >= CHUNK_BYTES:
            yield _pack(kind, rows[start:end])
            start, size = end, 0
    if start < len(rows):
        yield _pack(kind, rows[start:])


def load(state: State, chunks: Iterable[bytes]) -> None:
    """Fill a blank state from chunks. SnapshotError where they are not whole and true."""
    takers: dict[str, Callable[[Any], Any]] = {
        "items": lambda row: state.items.put(row[0], Item(*row)),
        "stones": lambda row: state.tombstones.restore_stone(row[0], row[1:]),
        "sessions": lambda row: state.once.restore_session(*row),
        "once": lambda row: state.once.restore_record(*row),
        "held": lambda row: state.locks.restore_held(*row),
        "waiting": lambda row: state.locks.restore_waiter(*row),
    }
    ended = False
    for chunk in chunks:
        try:
            kind, content = msgpack.unpackb(chunk, use_list=False, strict_map_key=False)
            if ended:
                raise SnapshotError("the snapshot goes on after its end")
            if kind == "head":
                _take_head(state, content)
            elif kind == "end":
                ended = True
                if state.digest() != content:
                    raise SnapshotError("the snapshot's content does not have its digest")
            else:
                for row in content:
                    takers[kind](row)
        except (ValueError, TypeError, KeyError) as exc:
            raise SnapshotError(f"the snapshot cannot be read: {exc!r}") from exc
    if not ended:
        raise SnapshotError("the snapshot ends early")
    _restore_recency(state)


def _restore_recency(state: State) -> None:
    # Who was read when is not replicated; the order of the last change is the nearest to it.
    entries = state.items.store.entries
    for key in sorted(entries, key=lambda key: entries[key].changed):
        entries.move_to_end(key)


def _take_head(state: State, head: dict[str, Any]) -> None:
    if head["format"] != FORMAT:
        raise SnapshotError(
            f"the snapshot has format {head['format']}, this release reads {FORMAT}"
        )
    state.tombstones.restore(head["floor"], head["clears"])
    state.take_head(head)
