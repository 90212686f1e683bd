"""`Log` against a model that is plain enough to be read, and what its window keeps exactly."""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from peers.core.base import BEGINNING, Base
from peers.core.entry import Batch, Dot, Entry, Origin, Places, Position
from peers.core.log import Log
from peers.core.membership import NOBODY, Member, Membership
from peers.core.vector import GapError, Vector

A, B, C = Origin("a", "1"), Origin("b", "1"), Origin("c", "1")
# The same name after its state directory was lost: somebody else.
B2 = Origin("b", "2")
ORIGINS = (A, B, B2, C)


def belonging(*origins: Origin, level: int = 1) -> Membership:
    """These belong, and nobody else."""
    return Membership(tuple(Member(*origin) for origin in sorted(origins)), level)


# -- the model


class Model:
    """What a log promises, done the slow way: a base, a list, and everything walked each time."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.batches: list[Batch] = []

    @property
    def ends(self) -> list[Position]:
        return [self.base.position, *(batch.last for batch in self.batches)]

    @property
    def last(self) -> Position:
        return self.ends[-1]

    @property
    def bytes(self) -> int:
        return sum(len(batch.packed) for batch in self.batches)

    @property
    def entries(self) -> int:
        return self.last.index - self.base.position.index

    @property
    def changes(self) -> list[tuple[int, Membership]]:
        """Who belongs, and since which index. What came before the base came with it."""
        found = [(self.base.position.index, self.base.membership)]
        for entry in self.between(found[0][0], self.last.index):
            if entry.membership is not None:
                found.append((entry.index, entry.membership))
        return found

    def between(self, after: int, through: int) -> list[Entry]:
        entries = (entry for batch in self.batches for entry in batch.entries)
        return [entry for entry in entries if after < entry.index <= through]

    def base_at(self, index: int) -> Base | None:
        """What the entries up to an end led to."""
        if index not in [end.index for end in self.ends]:
            return None
        base = self.base
        for entry in self.between(base.position.index, index):
            places = {origin: (life, number) for origin, life, number in base.vector}
            if entry.dot is not None:
                places[entry.dot.origin] = (entry.dot.incarnation, entry.dot.sequence)
            membership = entry.membership or base.membership
            if entry.membership is not None:
                places = {each: places[each] for each in places if membership.has(each)}
            vector = tuple((origin, *places[origin]) for origin in sorted(places))
            base = Base(Position(entry.term, entry.index), entry.at, vector, membership)
        return base

    def now(self) -> Base:
        """What the whole log led to."""
        base = self.base_at(self.last.index)
        assert base is not None
        return base

    def membership_at(self, index: int) -> tuple[int, Membership]:
        return [change for change in self.changes if change[0] <= index][-1]

    def newest_with(self, origin: Origin) -> int | None:
        having = [index for index, membership in self.changes if membership.has(origin)]
        return having[-1] if having else None

    def last_below(self, level: int, through: int) -> int:
        for index, membership in self.changes:
            if membership.level > level:
                return min(through, index - 1)
        return through

    def end_before(self, index: int) -> Position:
        before = [batch.last for batch in self.batches if batch.last.index < index]
        return before[-1] if before else self.base.position

    def after(self, index: int, bytes_max: int, batches_max: int) -> list[Batch]:
        rest = [batch for batch in self.batches if batch.first > index]
        taken = rest[:1]
        for batch in rest[1:batches_max]:
            if sum(len(each.packed) for each in [*taken, batch]) > bytes_max:
                break
            taken.append(batch)
        return taken

    def bytes_after(self, index: int) -> int:
        return sum(len(batch.packed) for batch in self.batches if batch.first > index)

    def go_on_from(self, base: Base) -> None:
        self.base = base
        self.batches = [each for each in self.batches if each.first > base.position.index]

    def let_go(self, through: int, bytes_max: int, entries_max: int) -> bool:
        """One batch at a time, the oldest first, until an eighth of the bound is free."""
        over_bytes, over_entries = self.bytes > bytes_max, self.entries > entries_max
        before = len(self.batches)
        while self.batches and self.batches[0].last.index <= through:
            too_large = over_bytes and self.bytes > bytes_max - bytes_max // 8
            too_long = over_entries and self.entries > entries_max - entries_max // 8
            if not (too_large or too_long):
                break
            base = self.base_at(self.batches[0].last.index)
            assert base is not None
            self.go_on_from(base)
        return len(self.batches) < before


# -- what is appended


numbers = st.integers(0, 40)
few = st.integers(0, 3)
sizes = st.integers(1, 20)
# Of each operation: who writes it, and whether that is in a new life; None has no dot.
writings = st.lists(st.none() | st.tuples(few, st.booleans()), min_size=1, max_size=5)
# Two births of one id never belong at once.
groups = st.sampled_from([(), (A,), (A, B), (A, B2), (B, C), (A, B, C), (A, B2, C)])
places = st.dictionaries(st.sampled_from(ORIGINS), st.tuples(few, few)).map(
    lambda found: tuple((origin, *found[origin]) for origin in sorted(found))
)
bases = st.just(BEGINNING) | st.builds(
    Base,
    st.builds(Position, st.integers(1, 3), st.integers(1, 9)),
    numbers,
    places,
    st.just(NOBODY) | st.builds(lambda group, level: belonging(*group, level=level), groups, few),
)


class LogAgainstModel(RuleBasedStateMachine):
    """Does the same to both, and compares all that a log can be asked."""

    @initialize(base=bases)
    def begin_here(self, base: Base) -> None:
        self.log = Log(base)
        self.model = Model(base)

    # -- it grows

    def follow(self, entries: list[Entry], size: int) -> None:
        batch = Batch(tuple(entries), self.model.now().vector, bytes(size))
        self.log.append(batch)
        self.model.batches.append(batch)

    @rule(writings=writings, term_step=few, at_step=few, size=sizes)
    def append(
        self, writings: list[tuple[int, bool] | None], term_step: int, at_step: int, size: int
    ) -> None:
        """Members write, each in its sequence; where nobody is known to belong, anybody does."""
        now = self.model.now()
        known = {origin: (life, number) for origin, life, number in now.vector}
        writers = sorted(now.membership.origins()) or ORIGINS
        first, term, at = now.position.index + 1, now.position.term, now.at
        entries = []
        for index, writing in enumerate(writings, first):
            dot = None
            if writing is not None:
                origin = writers[writing[0] % len(writers)]
                life, number = known.get(origin, (1, 0))
                dot = Dot(origin, life + 1, 1) if writing[1] else Dot(origin, life, number + 1)
                known[origin] = dot[1:]
            # The later entries of a batch may be of a later term, too.
            step = 0 if index == first else term_step
            entries.append(Entry(index, term + step, at + at_step, dot, None, b"x"))
        self.follow(entries, size)

    @rule(group=groups, raised=st.integers(0, 1), term_step=few, size=sizes)
    def append_membership(
        self, group: tuple[Origin, ...], raised: int, term_step: int, size: int
    ) -> None:
        """Who belongs changes, and a feature level is never taken back."""
        now = self.model.now()
        (term, index), level = now.position, now.membership.level + raised
        membership = belonging(*group, level=level)
        self.follow([Entry(index + 1, term + term_step, now.at, None, None, b"", membership)], size)

    # -- it shrinks

    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(self.model.ends)).index
        self.log.cut(index)
        self.model.batches = [each for each in self.model.batches if each.last.index <= index]

    @precondition(lambda self: self.model.batches)
    @rule(data=st.data())
    def take_again_what_was_cut(self, data: st.DataObject) -> None:
        """It leaves no trace."""
        index = data.draw(st.sampled_from(self.model.ends)).index
        self.log.cut(index)
        for batch in self.model.after(index, self.model.bytes, len(self.model.batches)):
            self.log.append(batch)

    @rule(through=numbers, bytes_max=st.integers(0, 100), entries_max=numbers)
    def let_go(self, through: int, bytes_max: int, entries_max: int) -> None:
        went = self.log.let_go(through, bytes_max, entries_max)
        assert went == self.model.let_go(through, bytes_max, entries_max)

    @rule(base=bases)
    def begin(self, base: Base) -> None:
        self.log.begin(base)
        self.model = Model(base)

    @rule(data=st.data())
    def go_on_behind_a_snapshot(self, data: st.DataObject) -> None:
        """Who knows an end in short, and gets the rest, has the same log."""
        index = data.draw(st.sampled_from(self.model.ends)).index
        base = self.log.base_at(index)
        rest = self.log.after(index, self.model.bytes, len(self.model.batches) + 1)
        assert base is not None
        self.log.begin(base)
        for batch in rest:
            self.log.append(batch)
        self.model.go_on_from(base)

    # -- they agree

    @invariant()
    def the_log_is_consistent(self) -> None:
        self.log.check()

    @invariant()
    def the_whole_is_that_of_the_model(self) -> None:
        now = self.model.now()
        assert self.log.base == self.model.base
        assert self.log.last == now.position
        assert self.log.last_at == now.at
        assert self.log.bytes == self.model.bytes
        assert self.log.vector == Vector(now.vector)
        assert self.log.membership == now.membership
        assert self.log.changed == self.model.changes[-1][0]
        for origin in ORIGINS:
            assert self.log.newest_with(origin) == self.model.newest_with(origin)

    @invariant()
    def every_index_is_that_of_the_model(self) -> None:
        first, last = self.model.base.position.index, self.model.last.index
        levels = range(self.model.changes[-1][1].level + 1)
        terms = {end.index: end.term for end in self.model.ends}
        for index in range(first, last + 3):
            assert self.log.term_at(index) == terms.get(index)
            assert self.log.base_at(index) == self.model.base_at(index)
            assert self.log.end_before(index) == self.model.end_before(index)
            assert self.log.membership_at(index) == self.model.membership_at(index)
            for level in levels:
                assert self.log.last_below(level, index) == self.model.last_below(level, index)

    @invariant()
    def every_stretch_is_that_of_the_model(self) -> None:
        indexes = [end.index for end in self.model.ends]
        for after, through in combinations_with_replacement(indexes, 2):
            entries = tuple(self.model.between(after, through))
            assert self.log.entries(after, through) == entries
            if after < through:
                between = self.log.between(after, through)
                assert tuple(entry for batch in between for entry in batch.entries) == entries
        for index in indexes:
            assert self.log.bytes_after(index) == self.model.bytes_after(index)
            for most in product((0, 20, 40, self.model.bytes), (1, 2, len(indexes) + 1)):
                assert list(self.log.after(index, *most)) == self.model.after(index, *most)


LogAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLogAgainstModel: Any = LogAgainstModel.TestCase


# -- what the window keeps


def of_batches(count: int, entries: int = 1, size: int = 10) -> Log:
    """So many batches that are all alike: the entries have no dots."""
    log = Log()
    for _ in range(count):
        first = log.last.index + 1
        log.append(
            Batch(
                tuple(Entry(first + n, 1, first + n, None, None, b"") for n in range(entries)),
                (),
                bytes(size),
            )
        )
    return log


def held(log: Log) -> tuple[int, int]:
    """The first index that is held, and the last."""
    return log.base.position.index + 1, log.last.index


MANY = 1 << 30  # a bound that is not met


@pytest.mark.parametrize(("bytes_max", "entries_max"), [(MANY, 16), (160, MANY), (160, 16)])
def test_a_window_that_is_full_keeps_all_and_one_more_makes_an_eighth_go(
    bytes_max: int, entries_max: int
) -> None:
    """So the next batches come without anything having to go."""
    full, over = of_batches(16), of_batches(17)
    assert not full.let_go(17, bytes_max, entries_max)
    assert held(full) == (1, 16)
    assert over.let_go(17, bytes_max, entries_max)
    assert held(over) == (4, 17)
    assert over.bytes == 140


@pytest.mark.parametrize(("bytes_max", "entries_max"), [(80, 16), (160, 8)])
def test_of_two_bounds_the_one_that_lets_more_go_counts(bytes_max: int, entries_max: int) -> None:
    log = of_batches(20)
    assert log.let_go(20, bytes_max, entries_max)
    assert held(log) == (14, 20)


@pytest.mark.parametrize(("bytes_max", "entries_max"), [(MANY, 10), (100, MANY)])
def test_what_is_behind_through_stays_however_much_it_is(bytes_max: int, entries_max: int) -> None:
    log = of_batches(17)
    assert log.let_go(2, bytes_max, entries_max)
    assert held(log) == (3, 17)
    assert not log.let_go(2, bytes_max, entries_max)
    assert held(log) == (3, 17)


def test_a_batch_that_ends_behind_through_stays_whole() -> None:
    log = of_batches(3, entries=10)
    assert log.let_go(19, MANY, entries_max=0)
    assert held(log) == (11, 30)


def test_a_batch_goes_whole_so_that_less_may_be_kept_than_fits() -> None:
    log = of_batches(3, entries=10)
    assert log.let_go(30, MANY, entries_max=16)
    assert held(log) == (21, 30)


def test_a_batch_that_is_larger_than_the_window_is_not_kept() -> None:
    """Its end is: the log goes on behind it."""
    log = of_batches(1, entries=3, size=200)
    assert log.let_go(3, bytes_max=100, entries_max=MANY)
    assert log.base == Base(Position(1, 3), at=3)
    assert (log.last, log.last_at, log.bytes) == (Position(1, 3), 3, 0)
    log.append(Batch((Entry(4, 1, 9, None, None, b""),), (), bytes(7)))
    assert (log.last, log.last_at, log.bytes) == (Position(1, 4), 9, 7)


def test_what_goes_takes_no_place_and_no_membership_with_it() -> None:
    """Of who belongs the base still knows, though no longer since which entry."""
    log = Log()
    log.append(membership(1, (), A, B))
    log.append(operation(2, (), Dot(A, 1, 1)))
    log.append(operation(3, ((A, 1, 1),), Dot(A, 1, 2)))
    assert log.changed == 1
    log.let_go(2, MANY, entries_max=1)
    assert log.base == Base(Position(1, 2), 2, ((A, 1, 1),), belonging(A, B))
    assert log.membership_at(3) == (2, belonging(A, B))
    assert log.changed == 2


# -- who belongs


def operation(index: int, vector: Places, dot: Dot) -> Batch:
    """A batch of one operation."""
    return Batch((Entry(index, 1, index, dot, None, b"x"),), vector, b"packed")


def membership(index: int, vector: Places, *origins: Origin) -> Batch:
    """A batch that says who belongs."""
    entry = Entry(index, 1, index, None, None, b"", belonging(*origins))
    return Batch((entry,), vector, b"packed")


def test_who_does_not_belong_any_more_loses_its_place_and_a_cut_gives_it_back() -> None:
    both: Places = ((A, 1, 1), (B, 4, 1))
    log = Log(Base(Position(1, 2), 2, both, belonging(A, B)))
    log.append(membership(3, both, A))
    assert log.membership == belonging(A)
    assert log.vector == Vector([(A, 1, 1)])
    log.cut(2)
    assert log.membership == belonging(A, B)
    assert log.vector == Vector(both)


def test_another_birth_takes_the_seat_and_not_the_place() -> None:
    log = Log(Base(Position(1, 2), 2, ((B, 4, 7),), belonging(A, B)))
    log.append(membership(3, ((B, 4, 7),), A, B2))
    log.append(operation(4, (), Dot(B2, 1, 1)))
    assert list(log.vector.places()) == [(B2, 1, 1)]
    assert (log.newest_with(B), log.newest_with(B2), log.newest_with(C)) == (2, 3, None)


def test_entries_above_a_level_are_found_by_the_entry_that_puts_it_in_force() -> None:
    log = of_batches(2)
    raised = Entry(3, 1, 3, None, None, b"", belonging(A, level=2))
    log.append(Batch((raised,), (), b"packed"))
    log.append(Batch((Entry(4, 1, 4, None, None, b""),), (), b"packed"))
    assert [log.last_below(1, through) for through in (1, 2, 3, 4)] == [1, 2, 2, 2]
    assert [log.last_below(2, through) for through in (1, 2, 3, 4)] == [1, 2, 3, 4]


# -- what only a defect of ours could do


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (Entry(7, 2, 5, None, None, b""), "7 does not follow 5"),
        (Entry(5, 2, 5, None, None, b""), "5 does not follow 5"),
        (Entry(6, 1, 5, None, None, b""), "terms never decrease"),
        (Entry(6, 2, 5, Dot(A, 1, 3), None, b"x"), "twice in the log"),
        (Entry(6, 2, 5, Dot(A, 0, 4), None, b"x"), "twice in the log"),
    ],
)
def test_what_does_not_follow_is_not_appended(entry: Entry, why: str) -> None:
    log = Log(Base(Position(2, 5), 5, ((A, 1, 3),)))
    with pytest.raises(AssertionError, match=why):
        log.append(Batch((entry,), ((A, 1, 3),), b"packed"))


def test_an_operation_whose_predecessor_is_missing_is_a_gap() -> None:
    with pytest.raises(GapError):
        Log().append(operation(1, (), Dot(A, 1, 2)))


def test_a_log_is_not_cut_inside_a_batch() -> None:
    with pytest.raises(AssertionError, match="14 is inside a batch"):
        of_batches(3, entries=10).cut(14)


@pytest.mark.parametrize(
    "batch",
    [
        operation(1, ((B, 1, 1),), Dot(A, 1, 1)),
        Batch((Entry(1, 2, 1, None, None, b""), Entry(2, 1, 1, None, None, b"")), (), b"packed"),
        Batch((Entry(1, 1, 1, None, None, b""), Entry(3, 1, 1, None, None, b"")), (), b"packed"),
    ],
    ids=["vector", "term", "index"],
)
def test_a_check_finds_what_appending_does_not_look_at(batch: Batch) -> None:
    log = Log()
    log.append(batch)
    with pytest.raises(AssertionError):
        log.check()
