"""What a cache within one process keeps under a key: an entry with a value."""

from __future__ import annotations

from typing import Generic, TypeVar

from tlru.engine.expiry import Entry, Ordered, Size

V = TypeVar("V")


class Item(Entry, Generic[V]):
    """A value in the store."""

    __slots__ = ("value",)

    def __init__(self, value: V, expires: Ordered | None, size: Size) -> None:
        # Written out and not left to Entry, for this runs on every new key.
        self.value = value
        self.expires = expires
        self.size = size
        self.indexed = None
