"""Values come back as they went in, or are refused; nothing is kept that could not be read."""

from __future__ import annotations

import datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.client.serializers import Msgpack, Raw, Serializer, dump, load
from tlru.errors import BadValue

moments = st.datetimes(
    min_value=datetime.datetime(1900, 1, 1),
    max_value=datetime.datetime(2200, 1, 1),
    timezones=st.just(datetime.UTC),
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | moments
)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(-9, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_what_went_in_comes_out(value: Any) -> None:
    found = load(Msgpack(), "k", dump(Msgpack(), "k", value))
    assert found == value
    assert type(found) is type(value)


def test_tuples_come_back_as_lists_and_datetimes_in_utc() -> None:
    berlin = datetime.timezone(datetime.timedelta(hours=2))
    at = datetime.datetime(2026, 5, 1, 12, 30, 0, 250_000, tzinfo=berlin)
    found = load(Msgpack(), "k", dump(Msgpack(), "k", (1, (at,))))
    assert found == [1, [at]]
    assert found[1][0].tzinfo is datetime.UTC


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, 2**64, datetime.datetime(2026, 5, 1), lambda: None, [[object()]]],
    ids=["object", "set", "too large", "no time zone", "function", "inside"],
)
def test_what_msgpack_cannot_write_is_refused_by_key_and_type(value: Any) -> None:
    with pytest.raises(BadValue, match=rf"type {type(value).__name__} cannot be kept under 'k'"):
        dump(Msgpack(), "k", value)


def test_a_refused_value_leaves_nothing_behind() -> None:
    """The packer is used again and again; half a value must not get into the next one."""
    with pytest.raises(BadValue):
        dump(Msgpack(), "k", ["beginning", object()])
    assert dump(Msgpack(), "k", 1) == b"\x01"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x01\x02", b"\x92\x01", b"\xa5abc"])
def test_what_cannot_be_read_back_is_told_by_its_key(data: bytes) -> None:
    with pytest.raises(BadValue, match="what is kept under 'user:7' cannot be read back"):
        load(Msgpack(), "user:7", data)


def test_raw_values_are_the_bytes_themselves() -> None:
    assert load(Raw(), "k", dump(Raw(), "k", b"\xff\xd8")) == b"\xff\xd8"
    with pytest.raises(BadValue, match="raw values are bytes, not str"):
        dump(cast(Serializer[Any], Raw()), "k", "text")


def test_whatever_a_serializer_raises_is_a_bad_value() -> None:
    class Broken:
        def dumps(self, value: int, /) -> bytes:
            raise ZeroDivisionError("by zero")

        def loads(self, data: bytes, /) -> int:
            raise ZeroDivisionError("by zero")

    with pytest.raises(BadValue, match="by zero") as caught:
        dump(Broken(), "k", 1)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(BadValue, match="by zero"):
        load(Broken(), "k", b"")
