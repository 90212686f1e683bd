"""The keys of decorated functions' calls."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.client.keys import KEY_CHARS_MAX, key_maker, shortened


class Colour(enum.Enum):
    RED = 1


def load_user(id: Any, /, full: Any = False, *rest: Any, lang: Any = "en", **more: Any) -> None:
    """A function with every kind of argument."""


NAME = f"{__name__}.load_user"
key = key_maker(load_user)


def test_a_key_can_be_read() -> None:
    assert key(7) == f"{NAME}(id=7, full=False, rest=(), lang='en', more={{}})"


def test_it_does_not_matter_how_an_argument_is_passed() -> None:
    assert key(7, True) == key(7, full=True) == key(7, full=True, lang="en")
    assert key(7, b=1, a=2) == key(7, a=2, b=1)


simple = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, "1", b"1", "None"])
arguments = st.recursive(
    simple,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down: 1, True and 1.0 are three things."""
    return repr(one) == repr(other) or (
        isinstance(one, dict)
        and isinstance(other, dict)
        and one.keys() == other.keys()
        and all(same(one[name], other[name]) for name in one)
    )


@given(arguments, arguments)
def test_two_calls_share_a_key_only_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (key(one) == key(other)) == same(one, other)


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        datetime.date(2026, 5, 1),
        datetime.timedelta(seconds=1),
        decimal.Decimal("1.10"),
        uuid.UUID(int=7),
        frozenset({1, 2}),
        {3, 1, 2},
    ],
)
def test_values_of_the_standard_library_have_keys(value: Any) -> None:
    assert key(value) == key(value)
    assert key(value) != key(str(value))


@pytest.mark.parametrize("value", [object(), load_user, [object()]])
def test_what_has_no_text_that_stands_for_it_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"no key for a call of .*load_user: .*say `key=`"):
        key(value)


def test_wrong_arguments_are_told_as_by_the_function_itself() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'id'"):
        key()


@given(st.text(min_size=KEY_CHARS_MAX - 5, max_size=KEY_CHARS_MAX + 5))
def test_a_long_key_is_cut_and_stays_its_own(text: str) -> None:
    found = shortened(text)
    assert len(found) <= KEY_CHARS_MAX
    assert (found == text) == (len(text) <= KEY_CHARS_MAX)
    assert shortened(text + "x") != found
