"""A 64-bit digest of all replicated state, kept up by each change in constant time.

Pure. The digest is the sum, modulo 2^64, of a hash for each record. A sum can be added to and taken
from in any order, so two machines that hold the same records have the same digest whatever way they
came to hold them. It finds accidents, not adversaries: every node computes its own.
"""

from __future__ import annotations

from typing import Any

import msgpack
import xxhash

MASK = (1 << 64) - 1

_packer = msgpack.Packer(autoreset=True)


def record_hash(*fields: Any, value: bytes = b"") -> int:
    """The hash of one record: a tag that names its table, its key and its other fields."""
    return int(xxhash.xxh3_64_intdigest(value, xxhash.xxh3_64_intdigest(_packer.pack(fields))))


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
