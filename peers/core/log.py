"""The retained window of the log: batches in order, from a base that is kept elsewhere.

Pure. It appends, cuts, finds and lets go; which entries are right, and which are committed, is
decided in `replication.py` and `following.py`.

Invariant: indexes follow each other without a gap from the base on, terms never decrease, and
`vector` and `membership` are those of all entries up to `last`. The log begins and ends at the ends
of batches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from peers.core.base import BEGINNING, Base
from peers.core.entry import Batch, Entry, Position
from peers.core.membership import Membership
from peers.core.origin import Origin
from peers.core.vector import Vector

SLACK = 8  # an eighth of the window goes at once, so that letting go costs little for each batch


class Log:
    """What a node holds of the log."""

    __slots__ = (
        *("_batches", "_changes", "_ends", "_gone", "_named", "_totals", "_vector"),
        *("base", "last"),
    )

    def __init__(self, base: Base = BEGINNING) -> None:
        self.begin(base)

    def begin(self, base: Base) -> None:
        """Nothing is here, and what comes follows `base`."""
        self.base = base
        self.last = base.position  # the end of the log
        self._batches: list[Batch] = []
        self._ends: list[int] = []  # the last index of each batch
        self._totals: list[int] = []  # the bytes up to the end of each, from the first ever
        self._gone = 0  # of those bytes lie before the base
        self._vector = Vector(base.vector)
        self._changes = [(base.position.index, base.membership)]  # of who belongs, oldest first
        self._named: tuple[int, Membership] | None = None

    @property
    def last_at(self) -> int:
        """The time of the last entry."""
        return self._batches[-1].entries[-1].at if self._batches else self.base.at

    @property
    def bytes(self) -> int:
        """How much is held."""
        return self._totals[-1] - self._gone if self._totals else 0

    @property
    def vector(self) -> Vector:
        """How far each origin's operations have got in the whole log."""
        return self._vector

    @property
    def membership(self) -> Membership:
        """Who belongs, by the newest entry that says so, committed or not."""
        return self._changes[-1][1]

    @property
    def changed(self) -> int:
        """The index of that entry; the base's, where it lies before that."""
        return self._changes[-1][0]

    @property
    def says_who_belongs(self) -> bool:
        """Whether the newest list stands in an entry, here or before the base."""
        return self.changed > (0 if self._named is None else self._named[0])

    def name(self, index: int, membership: Membership) -> None:
        """An epoch began behind `index` with these members, whatever the log up to there says.
        Nothing is changed where the log says so itself, or does not go so far."""
        if self.base.position.index <= index <= self.last.index and self.changed <= index:
            self._named = (index, membership)
            self._changes.append(self._named)

    def membership_at(self, index: int) -> tuple[int, Membership]:
        """Who belonged at `index`, and since which entry."""
        for change in reversed(self._changes):
            if change[0] <= index:
                return change
        raise AssertionError(f"{index} lies before the base")

    def newest_with(self, origin: Origin) -> int | None:
        """The index of the newest membership that has this member; None where none has."""
        having = (index for index, membership in self._changes if membership.has(origin))
        return max(having, default=None)

    def last_below(self, level: int, through: int) -> int:
        """The last index up to `through` before the first entry that puts a level above `level`
        in force."""
        if self.membership.level <= level:
            return through
        above = (index for index, membership in self._changes if membership.level > level)
        return min(through, min(above) - 1)

    def append(self, batch: Batch) -> None:
        """Put a batch at the end."""
        last = self.last
        assert batch.first == last.index + 1, f"{batch.first} does not follow {last.index}"
        assert batch.entries[0].term >= last.term, "terms never decrease"
        self._totals.append((self._totals[-1] if self._totals else self._gone) + len(batch.packed))
        self._batches.append(batch)
        self.last = batch.last
        self._ends.append(self.last.index)
        if batch.membership is not None:
            self._changes.append((batch.last.index, batch.membership))
        admit(self._vector, batch)

    def cut(self, index: int) -> None:
        """Take away every batch that ends behind `index`, which is the end of one."""
        keep = bisect_left(self._ends, index + 1)
        if keep == len(self._batches):
            return
        self._vector = Vector(self._batches[keep].vector)
        del self._batches[keep:], self._ends[keep:], self._totals[keep:]
        while self._changes[-1][0] > index:
            self._changes.pop()
        self.last = self._batches[-1].last if self._batches else self.base.position
        assert self.last.index == index, f"{index} is inside a batch"

    def let_go(self, through: int, bytes_max: int, entries_max: int) -> bool:
        """Where more is held than that, let go of the oldest batches, none that ends behind
        `through`; whether anything went."""
        last, size, count = self.last.index, self.bytes, 0
        if size <= bytes_max and last - self.base.position.index <= entries_max:
            return False
        if last - self.base.position.index > entries_max:
            count = bisect_left(self._ends, last - entries_max + entries_max // SLACK) + 1
        if size > bytes_max:
            gone = self._gone + size - bytes_max + bytes_max // SLACK
            count = max(count, bisect_left(self._totals, gone) + 1)
        count = min(count, bisect_left(self._ends, through + 1))
        if count > 0:
            self._begin_behind(count)
        return count > 0

    def _begin_behind(self, count: int) -> None:
        last = self._batches[count - 1].entries[-1]
        more = count < len(self._batches)
        vector = self._batches[count].vector if more else tuple(self._vector.places())
        _, membership = self.membership_at(last.index)
        self.base = Base(Position(last.term, last.index), last.at, vector, membership)
        self._gone = self._totals[count - 1]
        del self._batches[:count], self._ends[:count], self._totals[:count]
        later = [change for change in self._changes if change[0] > last.index]
        self._changes = [(last.index, membership), *later]
        if self._named is not None and self._named[0] < last.index:
            self._named = None  # the entry behind it says it

    def base_at(self, index: int) -> Base | None:
        """What lies up to `index`, in short; None where no batch ends there."""
        if index == self.base.position.index:
            return self.base
        place = bisect_left(self._ends, index)
        if place == len(self._ends) or self._ends[place] != index:
            return None
        entry = self._batches[place].entries[-1]
        more = place + 1 < len(self._batches)
        vector = self._batches[place + 1].vector if more else tuple(self._vector.places())
        position = Position(entry.term, entry.index)
        return Base(position, entry.at, vector, self.membership_at(index)[1])

    def term_at(self, index: int) -> int | None:
        """The term of the entry at the end of a batch, or None where no batch ends at `index`."""
        if index == self.base.position.index:
            return self.base.position.term
        place = bisect_left(self._ends, index)
        if place == len(self._ends) or self._ends[place] != index:
            return None
        return self._batches[place].last.term

    def end_before(self, index: int) -> Position:
        """The last end of a batch before `index`; the base where there is none."""
        place = bisect_left(self._ends, index)
        return self._batches[place - 1].last if place else self.base.position

    def after(self, index: int, bytes_max: int, batches_max: int) -> tuple[Batch, ...]:
        """Batches behind the end `index`: as many as fit, and one in any case."""
        place = bisect_left(self._ends, index + 1)
        taken: list[Batch] = []
        size = 0
        for number in range(place, min(place + batches_max, len(self._batches))):
            batch = self._batches[number]
            size += len(batch.packed)
            if taken and size > bytes_max:
                break
            taken.append(batch)
        return tuple(taken)

    def between(self, after: int, through: int) -> Sequence[Batch]:
        """The batches behind `after` up to `through`, both of them ends of batches."""
        if after >= through:
            return ()
        return self._batches[
            bisect_left(self._ends, after + 1) : bisect_left(self._ends, through) + 1
        ]

    def entries(self, after: int, through: int) -> tuple[Entry, ...]:
        """The entries behind `after` up to `through`, both of them ends of batches."""
        batches = self.between(after, through)
        if len(batches) == 1:
            return batches[0].entries
        return tuple(e for batch in batches for e in batch.entries)

    def bytes_after(self, index: int) -> int:
        """How much lies behind the end `index`."""
        place = bisect_left(self._ends, index + 1)
        before = self._totals[place - 1] - self._gone if place else 0
        return self.bytes - before

    def check(self) -> None:
        """Walk all of it and assert the invariant."""
        last, vector, size = self.base.position, Vector(self.base.vector), self._gone
        named = self._named
        at_base = named is not None and named[0] == self.base.position.index
        membership = named[1] if named is not None and at_base else self.base.membership
        for batch, end, total in zip(self._batches, self._ends, self._totals, strict=True):
            assert tuple(vector.places()) == batch.vector, "a batch's vector is of another log"
            for entry in batch.entries:
                assert entry.index == last.index + 1
                assert entry.term >= last.term
                last = Position(entry.term, entry.index)
            assert end == last.index
            membership = batch.membership or membership
            if named is not None and named[0] == end:
                membership = named[1]
            size += len(batch.packed)
            assert total == size
            admit(vector, batch)
        assert vector == self._vector
        assert membership == self.membership
        assert sorted(self._changes, key=lambda change: change[0]) == self._changes


def admit(vector: Vector, batch: Batch) -> None:
    """Let the operations of a batch into a vector. All of them are new: the leader saw to that.

    Who does not belong any more never writes again, so its place is given up.
    """
    for entry in batch.entries:
        if entry.dot is not None:
            new = vector.admit(entry.dot)
            assert new, f"{entry.dot} stands twice in the log"
    if batch.membership is not None:
        vector.keep_only(batch.membership.origins())
