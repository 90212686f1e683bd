"""The setting `limits`: what can be written, and what it means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.engine.client_limits import (
    CHARS_MAX,
    ClassLimits,
    WrongLimitsError,
    is_limits,
    parse,
    usual,
)


def test_each_class_begins_with_its_name_and_its_limits_follow() -> None:
    text = "bulk: operations=1000 operations_burst=50 bytes=9 open=3 shared; critical: share=80; "
    assert parse(text) == {
        "bulk": ClassLimits(
            rank=2, share=1, operations=1000, operations_burst=50, bytes=9, open=3, shared=True
        ),
        "critical": ClassLimits(rank=0, share=80),
    }


def test_a_class_has_a_rank_by_its_name_where_none_is_said() -> None:
    ranks = [usual(name).rank for name in ("critical", "default", "partners", "bulk")]
    assert ranks == [0, 1, 1, 2]
    assert parse("partners: rank=2")["partners"] == ClassLimits(rank=2, share=1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("operations=5", "name of a class"),
        ("a b: open=1", "name of a class"),
        ("a: open=1; a: open=2", "twice"),
        ("a: speed=3", "'speed=3'"),
        ("a: operations=-1", "'operations=-1'"),
        ("a: operations=\u0665", "is none of"),
        ("a: operations=0", "1 at least"),
        ("a: operations_burst=5", "goes with operations"),
        ("a: rank=3", "0 (refused last) to 2"),
        ("a: share=101", "1 to 100"),
        ("a: bytes=9999999999999", "go up to"),
        (";".join(f"c{n}: open=1" for n in range(33)), "at most 32"),
        ("a" * (CHARS_MAX + 1), "characters"),
    ],
)
def test_what_makes_no_sense_is_refused_and_says_why(text: str, says: str) -> None:
    with pytest.raises(WrongLimitsError) as told:
        parse(text)
    assert says in str(told.value)
    assert not is_limits(text)


@given(st.text(alphabet="abk:;= 0159_operationshd\n\u0665", max_size=60))
def test_whatever_is_written_is_judged_and_nothing_else_is_raised(text: str) -> None:
    assert is_limits(text) in (True, False)
