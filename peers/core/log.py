"""The retained window of the log: batches in order, from a base that is kept elsewhere.

Pure. It appends, cuts, finds and lets go; which entries are right, and which are committed, is
decided in `replication.py` and `following.py`.

Invariant: indexes follow each other without a gap from the base on, terms never decrease, and
`vector` is that of all entries up to `last`. The log begins and ends at the ends of batches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from peers.core.entry import NOWHERE, Batch, Entry, Places, Position
from peers.core.vector import Vector


class Log:
    """What a node holds of the log."""

    __slots__ = ("_batches", "_ends", "_totals", "_vector", "base", "base_vector", "bytes")

    def __init__(self, base: Position = NOWHERE, vector: Places = ()) -> None:
        self.base = base
        self.base_vector = vector
        self.bytes = 0
        self._batches: list[Batch] = []
        self._ends: list[int] = []  # the last index of each batch
        self._totals: list[int] = []  # the bytes up to the end of each
        self._vector = Vector(vector)

    @property
    def last(self) -> Position:
        """The end of the log."""
        return self._batches[-1].last if self._batches else self.base

    @property
    def last_at(self) -> int:
        """The time of the last entry that is here; 0 where there is none."""
        return self._batches[-1].entries[-1].at if self._batches else 0

    @property
    def vector(self) -> Vector:
        """How far each origin's operations have got in the whole log."""
        return self._vector

    def append(self, batch: Batch) -> None:
        """Put a batch at the end."""
        last = self.last
        assert batch.first == last.index + 1, f"{batch.first} does not follow {last.index}"
        assert batch.entries[0].term >= last.term, "terms never decrease"
        self._batches.append(batch)
        self._ends.append(batch.last.index)
        self.bytes += len(batch.packed)
        self._totals.append(self.bytes)
        admit(self._vector, batch)

    def cut(self, index: int) -> None:
        """Take away every batch that ends behind `index`, which is the end of one."""
        keep = bisect_left(self._ends, index + 1)
        if keep == len(self._batches):
            return
        self._vector = Vector(self._batches[keep].vector)
        del self._batches[keep:], self._ends[keep:], self._totals[keep:]
        self.bytes = self._totals[-1] if keep else 0
        assert self.last.index == index, f"{index} is inside a batch"

    def term_at(self, index: int) -> int | None:
        """The term of the entry at the end of a batch, or None where no batch ends at `index`."""
        if index == self.base.index:
            return self.base.term
        place = bisect_left(self._ends, index)
        if place == len(self._ends) or self._ends[place] != index:
            return None
        return self._batches[place].last.term

    def end_before(self, index: int) -> Position:
        """The last end of a batch before `index`; the base where there is none."""
        place = bisect_left(self._ends, index)
        return self._batches[place - 1].last if place else self.base

    def after(self, index: int, bytes_max: int) -> tuple[Batch, ...]:
        """Batches behind the end `index`: as many as fit, and one in any case."""
        place = bisect_left(self._ends, index + 1)
        taken: list[Batch] = []
        size = 0
        for number in range(place, len(self._batches)):
            batch = self._batches[number]
            size += len(batch.packed)
            if taken and size > bytes_max:
                break
            taken.append(batch)
        return tuple(taken)

    def between(self, after: int, through: int) -> Sequence[Batch]:
        """The batches behind `after` up to `through`, both of them ends of batches."""
        return self._batches[
            bisect_left(self._ends, after + 1) : bisect_left(self._ends, through) + 1
        ]

    def entries(self, after: int, through: int) -> tuple[Entry, ...]:
        """The entries behind `after` up to `through`, both of them ends of batches."""
        if after == through:
            return ()
        return tuple(e for batch in self.between(after, through) for e in batch.entries)

    def bytes_after(self, index: int) -> int:
        """How much lies behind the end `index`."""
        place = bisect_left(self._ends, index + 1)
        return self.bytes - (self._totals[place - 1] if place else 0)

    def check(self) -> None:
        """Walk all of it and assert the invariant."""
        last, vector = self.base, Vector(self.base_vector)
        for batch, end in zip(self._batches, self._ends, strict=True):
            assert tuple(vector.places()) == batch.vector, "a batch's vector is of another log"
            for entry in batch.entries:
                assert entry.index == last.index + 1
                assert entry.term >= last.term
                last = Position(entry.term, entry.index)
            assert end == last.index
            admit(vector, batch)
        assert vector == self._vector
        sizes = (len(batch.packed) for batch in self._batches)
        assert self._totals == list(accumulate(sizes))
        assert self.bytes == (self._totals[-1] if self._totals else 0)


def admit(vector: Vector, batch: Batch) -> None:
    """Let the operations of a batch into a vector. All of them are new: the leader saw to that."""
    for entry in batch.entries:
        if entry.dot is not None:
            new = vector.admit(entry.dot)
            assert new, f"{entry.dot} stands twice in the log"
