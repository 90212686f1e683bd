"""What a stranger's value can cost: memory and stack stay in proportion to the bytes that came."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tlru.errors import BadRequest
from tlru.wire.strict_json import dumps, parse
from tlru.wire.values import pack, unpack

ROOT = Path(__file__).parents[2]
MILLION = (1_000_000).to_bytes(4, "big")
MOST = b"\xff\xff\xff\xff"
# Values that claim far more than they hold.
CLAIMS = {
    "a list of four thousand million": b"\xdd" + MOST,
    "a map of four thousand million": b"\xdf" + MOST,
    "a string of 4 GiB": b"\xdb" + MOST,
    "bytes of 4 GiB": b"\xc6" + MOST,
    "an extension of 4 GiB": b"\xc9" + MOST + b"\x05",
    "500 lists of a million, one in the other": (b"\xdd" + MILLION) * 500 + b"\xc0" * 1_000_000,
    "30 lists of a million, one in the other": (b"\xdd" + MILLION) * 30 + b"\xc0" * 1_000_000,
    "30 maps of a million, one in the other": (b"\xdf" + MILLION + b"\xc0") * 30 + b"\xc0" * 10**6,
    "lists of lists, a million deep": b"\x91" * 1_000_000,
}
# Values that hold what they claim, in forms that cost the most to show: (one element, bytes of it).
DENSE = {
    "bytes": b"\xc4\x00",
    "extensions": b"\xd4\x05\x07",
    "maps of maps": b"\x81\x80\x80",
    "maps with numbers": b"\x81\x01\x01",
    "lists": b"\x90",
    "large integers": b"\xcf" + b"\xff" * 8,
    "control characters": b"\xa1\x00",
    "small negative integers": b"\xe0",
    "singles": b"\xca\x3d\xcc\xcc\xcd",
}


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most memory that was held at once for `work`."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_allocates_nothing(name: str) -> None:
    """A copy of what came while it is checked, its base64, and the unpacker itself; no more."""
    data = CLAIMS[name]
    assert unpack(data) == {"$raw": b64encode(data).decode()}
    assert peak_bytes(lambda: unpack(data)) < 4 * len(data) + 100_000


@pytest.mark.parametrize("name", DENSE)
def test_the_densest_values_stay_within_the_bounds_that_unpack_tells(name: str) -> None:
    """200 times as object, 8 times as text."""
    element = DENSE[name]
    data = b"\xdd" + (20_000).to_bytes(4, "big") + element * 20_000
    assert peak_bytes(lambda: unpack(data)) < 200 * len(data)
    shown = unpack(data)
    assert len(shown) == 20_000
    assert len(dumps(shown)) < 8 * len(data)


def test_endless_nesting_in_json_costs_little() -> None:
    """100,000 brackets are a bad request, without their weight in objects."""
    for text in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
        with pytest.raises(BadRequest, match=r"nested deeper|lists and objects"):
            pack(parse(text))


HOSTILE = """
import resource, sys, tlru.wire.values as values, tests.wire.test_values_bounds as bounds
import msgpack
assert msgpack.Unpacker.__module__ == sys.argv[1], msgpack.Unpacker
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
shown = [values.unpack(data).keys() for data in bounds.CLAIMS.values()]
assert shown == [{"$raw"}] * len(bounds.CLAIMS), shown
deep = [values.unpack(b"\\x91" * depth + b"\\x01") for depth in (32, 33, 500, 990, 1024, 100_000)]
print([type(value).__name__ for value in deep])
value = {"a": [{"$ext": [-5, "AA=="]}, {"$time": "1969-12-31T23:59:59.5Z"}, {"$b64": ""}], "b": {}}
assert values.unpack(values.pack(value)) == value
assert values.unpack(values.pack({"$map": [[1, 2], [1, 3]]})) == {"$map": [[1, 2], [1, 3]]}
"""


@pytest.mark.parametrize(
    ("pure", "module"), [("", "msgpack._cmsgpack"), ("1", "msgpack.fallback")], ids=["C", "Python"]
)
def test_hostile_values_do_no_harm_in_a_gigabyte(pure: str, module: str) -> None:
    """With msgpack in C and in Python; more than a gigabyte, or a stack that ends, would raise."""
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE, module],
        cwd=ROOT,
        env={**os.environ, "MSGPACK_PUREPYTHON": pure},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("['list', 'dict', 'dict', 'dict', 'dict', 'dict']\n", "")
