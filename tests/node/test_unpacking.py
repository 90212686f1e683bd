"""A compressed message becomes what it was, whatever the steps, and never more than the bound."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tlru.node.unpacking import Damaged, UnpackedTooLarge, Unpacking

MESSAGES = st.one_of(
    st.binary(max_size=3_000),
    st.builds(
        lambda part, times: part * times, st.binary(min_size=1, max_size=9), st.integers(0, 5_000)
    ),
)


def packed(data: bytes, level: int = 9) -> bytes:
    """A message as clients send it."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(
        b"\x00\x00\xff\xff"
    )


def all_of(unpacking: Unpacking, step: int) -> bytes:
    """The message, made step by step."""
    for _ in range(100_000):
        before = unpacking.made
        if (found := unpacking.step(step)) is not None:
            return found
        assert unpacking.made == before + step, "a step that is not the last makes all it may"
    raise AssertionError("it never ends")


@given(MESSAGES, st.integers(1, 5_000), st.sampled_from([0, 1, 9]))
def test_a_message_comes_back_as_it_was(data: bytes, step: int, level: int) -> None:
    assert all_of(Unpacking(packed(data, level), len(data)), max(step, len(data) // 500)) == data


@given(MESSAGES.filter(len), st.integers(1, 5_000))
def test_one_byte_too_many_is_too_many(data: bytes, step: int) -> None:
    unpacking = Unpacking(packed(data), len(data) - 1)
    with pytest.raises(UnpackedTooLarge):
        all_of(unpacking, max(step, len(data) // 500))
    assert unpacking.made == len(data), "and not more than that one is made"


# Its end comes up in a second step, and bytes behind it are left of the first: a node once turned
# for ever over these two.
@example(b"\xb3\xc4", 1)
@given(st.binary(max_size=300), st.integers(1, 64))
def test_any_bytes_are_unpacked_or_refused(data: bytes, step: int) -> None:
    with contextlib.suppress(Damaged, UnpackedTooLarge):
        all_of(Unpacking(data, 10_000), step * 16)


def test_what_follows_the_end_is_passed_over() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    ended = packer.compress(b"all") + packer.flush(zlib.Z_FINISH)
    assert all_of(Unpacking(ended + b"\xff" * 9_000, 100), 7) == b"all"
