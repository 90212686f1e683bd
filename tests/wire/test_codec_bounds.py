"""What a message may hold is bounded before it is built: a few megabytes could be a hundred times
as much, and all others would wait for it."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from typing import Any

import msgpack
import pytest

from tlru import errors
from tlru.wire import strict_json
from tlru.wire.codec import FramingError, JsonCodec, MsgpackCodec
from tlru.wire.limits import CONTAINERS_MAX, Limits

LIMITS = Limits()


@pytest.mark.parametrize("container", ["[]", "{}", '{"a":1}'])
def test_lists_and_objects_are_counted_before_they_are_made(container: str) -> None:
    fitting = f"[{','.join([container] * (CONTAINERS_MAX - 1))}]".encode()
    assert len(strict_json.parse(fitting)) == CONTAINERS_MAX - 1
    with pytest.raises(errors.BadRequest, match="lists and objects"):
        strict_json.parse(fitting[:-1] + b"," + container.encode() + b"]")


def test_brackets_within_strings_are_no_lists() -> None:
    text = '[{"\\' * CONTAINERS_MAX
    assert strict_json.parse(json.dumps({"a": "[" * 2 * CONTAINERS_MAX}).encode())
    assert strict_json.parse(json.dumps("{" * CONTAINERS_MAX + '"' * 9).encode())
    # So many quotes would have to be looked at one by one.
    with pytest.raises(errors.BadRequest, match="lists and objects"):
        strict_json.parse(json.dumps(text + text).encode())


def many(count: int) -> list[Any]:
    """Items for a `set_many`."""
    return [{"key": f"k{n}", "value": b"\x01"} for n in range(count)]


def test_as_many_keys_as_a_request_may_name_are_read_in_either_encoding() -> None:
    limits = Limits(keys=30_000)
    items = many(limits.keys)
    message = {"id": 1, "op": "set_many", "items": items}
    packed = msgpack.packb(message)
    assert list(MsgpackCodec(limits).decode(packed * 2)) == [message] * 2
    for item in items:
        item["value"] = [{}]
    text = json.dumps(message, separators=(",", ":")).encode()
    assert list(JsonCodec(limits).decode(text + b"\n" + text)) == [message] * 2


@pytest.mark.parametrize("empty", [b"\x90", b"\x80"])
def test_msgpack_of_many_lists_is_given_up_early(empty: bytes) -> None:
    lists = b"\xdc\x00\xc8" + empty * 200
    data = b"\x81\xa1a\xdc\x4e\x20" + lists * 19_000
    assert len(data) < LIMITS.message_bytes
    tracemalloc.start()
    try:
        with pytest.raises(FramingError, match="lists and maps"):
            list(MsgpackCodec(LIMITS).decode(data))
        assert tracemalloc.get_traced_memory()[1] < 3 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("line", [b"\n", b"1\n"])
def test_lines_are_not_all_taken_apart_at_once(line: bytes) -> None:
    """A list of two million of them had twenty times the size of the message."""
    data = line * (LIMITS.message_bytes // len(line))
    tracemalloc.start()
    try:
        found = list(itertools.islice(JsonCodec(LIMITS).decode(data), 10))
        assert len(found) == (10 if line.strip() else 0)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(data)
    finally:
        tracemalloc.stop()
