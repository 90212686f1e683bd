"""What subscribers see of an entry: events.

Pure data. Every node makes the same events from the same entries, in the same order.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from tlru.engine.operations import Rev


class EventType(enum.StrEnum):
    """What happened to a key, or on a channel."""

    SET = "set"
    TOUCH = "touch"
    DELETE = "delete"
    EXPIRE = "expire"
    EVICT = "evict"
    CLEAR = "clear"  # the key is the prefix
    MESSAGE = "message"  # the key is the channel


class Event(NamedTuple):
    """One change, with the index and the time of the entry that made it."""

    type: EventType
    key: str
    version: int
    at: int
    value: bytes | None = None
    expires: int | None = None
    rev: Rev | None = None
    mime: str | None = None
