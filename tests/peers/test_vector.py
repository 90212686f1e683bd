"""Vector timestamps let each operation of an origin in once, in sequence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.core.entry import Dot, Origin
from peers.core.vector import GapError, Vector

A, B = Origin("a", "1"), Origin("b", "1")
# The same name after its state directory was lost: somebody else.
A2 = Origin("a", "2")

dots = st.builds(Dot, st.sampled_from([A, A2, B]), st.integers(1, 3), st.integers(1, 4))


def test_an_origins_operations_come_in_sequence() -> None:
    vector = Vector()
    assert vector.of(A) == (0, 0)
    assert [vector.admit(Dot(A, 1, n)) for n in (1, 2, 3)] == [True] * 3
    assert vector.of(A) == (1, 3)


def test_what_was_let_in_is_not_let_in_again() -> None:
    vector = Vector([(A, 1, 3)])
    assert [vector.admit(Dot(A, 1, n)) for n in (1, 2, 3)] == [False] * 3
    assert vector == Vector([(A, 1, 3)])


def test_a_gap_is_an_error_and_changes_nothing() -> None:
    vector = Vector([(A, 1, 3)])
    for dot in (Dot(A, 1, 5), Dot(A, 2, 2), Dot(B, 1, 2)):
        with pytest.raises(GapError, match="one in between is missing"):
            vector.admit(dot)
    assert vector == Vector([(A, 1, 3)])


def test_a_higher_incarnation_begins_at_one_and_shuts_the_lower_for_ever() -> None:
    vector = Vector([(A, 1, 3)])
    assert vector.admit(Dot(A, 5, 1))
    assert vector.of(A) == (5, 1)
    assert not vector.admit(Dot(A, 1, 4))
    assert not vector.admit(Dot(A, 4, 1))


def test_another_birth_is_another_origin() -> None:
    vector = Vector([(A, 7, 3)])
    assert vector.admit(Dot(A2, 1, 1))
    assert vector.of(A) == (7, 3)


def test_a_removed_member_has_no_place() -> None:
    vector = Vector([(A, 7, 3), (B, 1, 1)])
    vector.keep_only({B, A2})
    assert list(vector.places()) == [(B, 1, 1)]
    assert len(vector) == 1


@given(st.lists(dots, max_size=40))
def test_of_one_life_the_sequences_let_in_have_no_gap(arriving: list[Dot]) -> None:
    vector = Vector()
    admitted: list[Dot] = []
    for dot in arriving:
        try:
            if vector.admit(dot):
                admitted.append(dot)
        except GapError:
            continue
    assert len(set(admitted)) == len(admitted)
    for origin in (A, A2, B):
        lives = [dot.incarnation for dot in admitted if dot.origin == origin]
        assert lives == sorted(lives)
        for life in set(lives):
            of_life = [d.sequence for d in admitted if d.origin == origin and d.incarnation == life]
            assert of_life == list(range(1, len(of_life) + 1))


@given(st.lists(dots, max_size=40))
def test_equal_vectors_read_the_same_whatever_came_first(arriving: list[Dot]) -> None:
    vector = Vector()
    for dot in arriving:
        try:
            vector.admit(dot)
        except GapError:
            continue
    places = list(vector.places())
    assert places == sorted(places)
    assert Vector(reversed(places)) == vector
    assert list(Vector(reversed(places)).places()) == places
    assert repr(vector) == f"Vector({places!r})"
