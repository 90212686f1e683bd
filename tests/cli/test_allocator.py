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

# How much the system has given for large blocks, before one is held and while: the first of its
# size has been freed already, from which glibc learns.
LOOK = """
import ctypes, sys
from tlru.cli.allocator import LARGE_BYTES, keep_large_apart

class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Told
if "apart" in sys.argv:
    assert keep_large_apart()
size = 2 * LARGE_BYTES
first = bytearray(size)
del first
before = mallinfo().e
second = bytearray(size)
print(mallinfo().e - before)
"""

glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library does not tell"
)


def _given_apart(*argv: str) -> int:
    command = [sys.executable, "-c", LOOK, *argv]
    return int(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


@glibc
def test_a_large_block_is_the_systems_own_also_after_one_was_freed() -> None:
    assert _given_apart("apart") >= 2 * LARGE_BYTES


@glibc
def test_left_to_itself_the_library_puts_it_among_the_small_ones() -> None:
    assert _given_apart() < LARGE_BYTES, "if this fails it is no longer needed"


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
