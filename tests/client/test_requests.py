"""Requests as bytes."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.client.requests import Kind, Request, describe, pack_fields, pack_get, with_field
from tlru.errors import BadRequest, TooLarge

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.integers(1, 2**53 - 1), keys)
def test_the_short_way_packs_what_the_long_one_would(number: int, key: str) -> None:
    assert msgpack.unpackb(pack_get(number, key)) == {"op": "get", "id": number, "key": key}


@given(keys, st.binary(), st.dictionaries(keys, st.integers(0, 2**53)))
def test_a_field_can_be_added_to_what_is_packed(
    key: str, value: bytes, minimum: dict[str, int]
) -> None:
    fields = {"id": 1, "op": "set", "key": key, "value": value}
    later = with_field(with_field(pack_fields(fields), "min", minimum), "once", {"n": 1})
    assert msgpack.unpackb(later) == {**fields, "min": minimum, "once": {"n": 1}}


def test_a_field_that_is_none_is_absent() -> None:
    assert msgpack.unpackb(pack_fields({"id": 1, "op": "x", "ttl": None, "old": False})) == {
        "id": 1,
        "op": "x",
        "old": False,
    }


@pytest.mark.parametrize("key", ["\ud800", "a\udfffb"])
def test_a_lone_surrogate_is_refused_in_the_callers_own_frame(key: str) -> None:
    with pytest.raises(BadRequest, match="cannot be"):
        pack_get(1, key)
    with pytest.raises(BadRequest, match="the set cannot be sent"):
        pack_fields({"id": 1, "op": "set", "key": key})


@pytest.mark.parametrize("value", [object(), 1 << 70, {1, 2}])
def test_what_msgpack_does_not_know_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="the incr cannot be sent"):
        pack_fields({"id": 1, "op": "incr", "by": value})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"op": "get", "key": "user:7"}, "get 'user:7'"),
        ({"op": "publish", "channel": "news"}, "publish 'news'"),
        ({"op": "lock", "name": "job"}, "lock 'job'"),
        ({"op": "clear", "prefix": "user:"}, "clear 'user:'"),
        ({"op": "status"}, "status"),
    ],
)
def test_a_request_is_told_by_what_it_is_about(fields: dict[str, str], told: str) -> None:
    assert describe(pack_fields({"id": 1, **fields})) == told


def test_only_the_first_end_of_a_request_counts() -> None:
    """A caller that has gone, or has its answer, is told nothing more."""

    async def main() -> None:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        request = Request(1, future, pack_get(1, "k"), math.inf, Kind.READ, None)
        assert not request.settled()
        request.fail(TooLarge, "is too long")
        request.fail(BadRequest, "is something else")
        assert request.settled()
        with pytest.raises(TooLarge, match=r"^get 'k' is too long$"):
            await future

    asyncio.run(main())
