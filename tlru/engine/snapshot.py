"""Snapshots: the state in chunks, exact at one index, while the machine goes on.

Pure. When a capture begins, the tables are copied, which is a copy of pointers to records that
never change (`table.py`). The items, of which there may be millions, are walked in the order of
their keys; the first change to one that was not walked yet sets it aside for the walk as it was.
What came after the capture began is known by its index, and passed over. So the chunks show the
state at the index where the capture began, whatever happens meanwhile, and no step takes longer
than a chunk.

Chunks are numbered. The last one holds the digest of the state, and a checksum of the chunks before
it, since the order of records matters too and no digest shows it. What is read back must have both,
or nothing is taken up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgpack
import xxhash
from sortedcontainers import SortedDict

from tlru.engine.items import Item
from tlru.engine.sizes import text_bytes

if TYPE_CHECKING:
    from tlru.engine.state import State

FORMAT: Final = 2  # 2: who belongs to the cluster
CHUNK_RECORDS = 512
CHUNK_BYTES = 256 << 10
ASIDE_OVERHEAD_BYTES = 640  # the item that would be gone by now, and its place in the walk


class SnapshotError(Exception):
    """A snapshot that cannot be taken up: damaged, incomplete, or of another format."""


class Capture:
    """A snapshot in the making."""

    def __init__(self, state: State) -> None:
        self.index = state.index
        self._items = state.items
        self._head = {"format": FORMAT, **state.head()}
        self._digest = state.digest()
        self._tables = [(kind, table.rows()) for kind, table in state.tables().items()]
        # What follows the last key came later; a walk with an end of its own always ends.
        self._last_key = state.items.keys[-1] if state.items.keys else None
        self._walked: str | None = None  # up to this key nothing is set aside any more
        self._aside: SortedDict[str, Item] = SortedDict()
        self.aside_bytes = 0
        self.aside_bytes_max: int | None = None  # beyond it nothing is kept, and no walk goes on
        self.overrun = False
        self._watching = True
        self._closed = False
        self._items.observers.append(self._set_aside)

    def close(self) -> None:
        """Stop watching the items; owed by whoever does not walk to the end."""
        self._closed = True
        self._stop_watching()

    def chunks(self) -> Iterator[bytes]:
        """The state in pieces. The machine may change between two of them."""
        checksum = xxhash.xxh3_64()
        number = 0
        for number, (kind, content) in enumerate(self._contents()):
            if self._closed:
                raise RuntimeError("a snapshot that was closed cannot be walked to its end")
            chunk: bytes = msgpack.packb((number, kind, content))
            checksum.update(chunk)
            yield chunk
        yield msgpack.packb((number + 1, "end", (self._digest, checksum.intdigest())))

    def _contents(self) -> Iterator[tuple[str, Any]]:
        yield "head", self._head
        while self._watching:
            yield "items", self._next_rows()
        for kind, records in self._tables:
            yield from ((kind, rows) for rows in _pieces(records))

    # -- the walk

    def _set_aside(self, key: str, item: Item | None) -> None:
        if self.overrun or item is None or item.changed > self.index:
            return  # it came later, or what was there before it is aside already
        if self._walked is None or key > self._walked:
            self._aside[key] = item
            self.aside_bytes += _aside_bytes(key, item)
            if self.aside_bytes_max is not None and self.aside_bytes > self.aside_bytes_max:
                self.overrun = self._closed = True
                self._aside.clear()
                self.aside_bytes = 0

    def _next_rows(self) -> list[tuple[Any, ...]]:
        """The next items as they were; none where only new ones stand."""
        rows: list[tuple[Any, ...]] = []
        size = 0
        keys, more = self._next_keys()
        for key in keys:
            item = self._as_it_was(key)
            self._walked = key
            if item is not None:
                rows.append(item.fields())
                size += len(item.value)
                if size >= CHUNK_BYTES:
                    return rows
        if not more:
            self._stop_watching()
        return rows

    def _as_it_was(self, key: str) -> Item | None:
        item: Item | None = self._aside.pop(key, None)
        if item is not None:
            self.aside_bytes -= _aside_bytes(key, item)
            return item
        item = self._items.store.entries[key]
        return item if item.changed <= self.index else None

    def _next_keys(self) -> tuple[list[str], bool]:
        """The next keys to walk, live ones and those set aside; whether more follow."""
        if self._last_key is None:
            return [], False
        after, inclusive = self._walked, (self._walked is None, True)
        live = list(
            islice(self._items.keys.irange(after, self._last_key, inclusive), CHUNK_RECORDS)
        )
        aside = list(islice(self._aside.irange(after, None, inclusive), CHUNK_RECORDS))
        # Beyond the end of a cut list, the other may hold keys that come later than ones unseen.
        ends = [keys[-1] for keys in (live, aside) if len(keys) == CHUNK_RECORDS]
        keys = sorted({*live, *aside})
        return [key for key in keys if not ends or key <= min(ends)], bool(ends)

    def _stop_watching(self) -> None:
        if self._watching:
            self._watching = False
            self._items.observers.remove(self._set_aside)
            self._aside.clear()
            self.aside_bytes = 0


def _aside_bytes(key: str, item: Item) -> int:
    return text_bytes(key) + len(item.value) + ASIDE_OVERHEAD_BYTES


def _pieces(records: list[Any]) -> Iterator[list[Any]]:
    start, size = 0, 0
    for end, record in enumerate(records, 1):
        size += sum(len(field) for field in record if isinstance(field, bytes | str))
        if end - start == CHUNK_RECORDS or size >= CHUNK_BYTES:
            yield records[start:end]
            start, size = end, 0
    if start < len(records):
        yield records[start:]


class Loader:
    """Fills a blank state from the chunks of a snapshot, one at a time.

    The state is good for nothing before `finish`. SnapshotError, with a sentence, where a chunk is
    not what it should be.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._takers: dict[str, Callable[..., object]] = {
            "items": lambda *row: state.items.put(row[0], Item(*row)),
            **state.takers(),
        }
        self._number = 0
        self._checksum = xxhash.xxh3_64()
        self._ended = False

    def take(self, chunk: bytes) -> None:
        """Take up the next chunk."""
        if self._ended:
            raise SnapshotError("the snapshot goes on after its end")
        try:
            number, kind, content = msgpack.unpackb(chunk, use_list=False, strict_map_key=False)
            if number != self._number:
                raise SnapshotError(f"chunk {number} of the snapshot came as chunk {self._number}")
            self._number += 1
            self._take(kind, content)
        except SnapshotError:
            raise
        except Exception as exc:  # a damaged record may break anything that it is put into
            raise SnapshotError(f"chunk {self._number} cannot be read: {exc!r}") from exc
        self._checksum.update(chunk)

    def finish(self) -> None:
        """All chunks have come: the state is that of the snapshot."""
        if not self._ended:
            raise SnapshotError("the snapshot ends early")
        # Who was read when is not replicated; the order of the last change is the nearest to it.
        entries = self._state.items.store.entries
        for key in sorted(entries, key=lambda key: entries[key].changed):
            entries.move_to_end(key)

    def _take(self, kind: str, content: Any) -> None:
        if (kind == "head") != (self._number == 1):
            raise SnapshotError("the snapshot does not begin with its head")
        if kind == "head":
            if content["format"] != FORMAT:
                raise SnapshotError(
                    f"the snapshot has format {content['format']}, this release reads {FORMAT}"
                )
            self._state.take_head(content)
        elif kind == "end":
            self._end(*content)
        else:
            take = self._takers[kind]
            for row in content:
                take(*row)

    def _end(self, digest: int, checksum: int) -> None:
        if self._checksum.intdigest() != checksum:
            raise SnapshotError("the snapshot is not as it was written: its checksum differs")
        if self._state.digest() != digest:
            raise SnapshotError("the snapshot's content does not have its digest")
        self._ended = True
