"""What the C library does with large blocks in a node's process."""

from __future__ import annotations

import ctypes
import socket
import subprocess
import sys

import pytest

from tlru.cli import serving
from tlru.cli.allocator import LARGE_BYTES, keep_large_apart
from tlru.cli.exits import CannotStartError
from tlru.config import Config

# Run in a process of its own: `mallinfo().a` is how large the heap is, `.e` how much the system has
# given for large blocks. The first of a size is freed at once, from which glibc learns.
BEGINNING = """
import ctypes, sys
from tlru.cli.allocator import LARGE_BYTES, keep_large_apart

class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Told
if "apart" in sys.argv:
    assert keep_large_apart()
"""
GIVEN_APART = """
first = bytearray(2 * LARGE_BYTES)
del first
before = mallinfo().e
second = bytearray(2 * LARGE_BYTES)
print(mallinfo().e - before)
"""
GIVEN_BACK = """
message = bytearray(1 << 20)
before = mallinfo().a
del message
print(before - mallinfo().a)
"""

glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library does not tell"
)


def _bytes(program: str, *argv: str) -> int:
    command = [sys.executable, "-c", BEGINNING + program, *argv]
    return int(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


@glibc
def test_a_large_block_is_the_systems_own_also_after_one_was_freed() -> None:
    assert _bytes(GIVEN_APART, "apart") >= 2 * LARGE_BYTES


@glibc
def test_left_to_itself_the_library_puts_it_among_the_small_ones() -> None:
    assert _bytes(GIVEN_APART) < LARGE_BYTES, "if this fails it is no longer needed"


@glibc
def test_the_room_of_a_message_is_kept_for_the_next() -> None:
    assert _bytes(GIVEN_BACK, "apart") == 0


def test_where_there_is_no_such_setting_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __init__(self, name: object) -> None:
            raise OSError("none of that name")

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert not keep_large_apart()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_large_apart()


def test_a_node_that_is_served_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(serving, "keep_large_apart", lambda: asked.append(True))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotStartError):
            serving.run_node(Config(listen=listen), lambda node: None)
    assert asked == [True]
