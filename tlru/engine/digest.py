"""A 64-bit digest of all replicated state, kept up by each change in constant time.

Pure. The digest is the sum, modulo 2^64, of a hash for each record. A sum can be added to and taken
from in any order, so two machines that hold the same records have the same digest whatever way they
came to hold them. It finds accidents, not adversaries: every node computes its own.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack
import xxhash

MASK: Final = (1 << 64) - 1

pack = msgpack.Packer(autoreset=True).pack
xxh3 = xxhash.xxh3_64_intdigest


def record_hash(tag: str, record: tuple[Any, ...]) -> int:
    """The hash of one record; the tag names its table."""
    return xxh3(pack((tag, record)))


class Digest:
    """The running sum of record hashes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, record: int) -> None:
        """A record came."""
        self.value = (self.value + record) & MASK

    def remove(self, record: int) -> None:
        """A record went."""
        self.value = (self.value - record) & MASK
