"""What calls give back, and the two marks that stand for "nothing".

Pure. `MISSING` is a default that no cache can hold, so it tells a stored None from nothing stored;
`UNSET` is an argument that was not given, so that None can mean "no expiry".
"""

from __future__ import annotations

import datetime
import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

T = TypeVar("T")

Reply: TypeAlias = dict[str, Any]


class Missing(enum.Enum):
    """The type of `MISSING`."""

    MISSING = "MISSING"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "tlru.MISSING"


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "tlru.UNSET"


MISSING: Final = Missing.MISSING
UNSET: Final = Unset.UNSET

# Seconds, a timedelta, or None for no expiry.
Ttl: TypeAlias = float | datetime.timedelta | None
TtlOrUnset: TypeAlias = Ttl | Literal[Unset.UNSET]
# Only if nothing is there; only if something is; only if it has this version; or, as
# {"unchanged": pos}, only if nothing was set, deleted or cleared since.
Condition: TypeAlias = Literal["absent", "present"] | int | Mapping[str, int]
Revision: TypeAlias = int | str
Read: TypeAlias = Literal["local", "linear", "any"]
Ack: TypeAlias = Literal["none", "leader", "quorum", "all"]

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """A value and what the cache knows of it."""

    value: T
    version: int
    """The place in the log of the write that last changed it; a later change has a higher one."""
    at: datetime.datetime | None = None
    """When it was last set, by the cluster's clock. None where a reply does not say."""
    ttl: float | None = None
    """Seconds that were left to it when the node answered; None where it has no expiry."""
    rev: Revision | None = None
    """The source's own revision, if it was set with one."""
    mime: str | None = None
    """The content type it was set with, if any."""


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """What became of a write. It is true where the write was applied."""

    applied: bool
    version: int | None = None
    """The write's own version, or that of what is there instead; None after `ack="leader"`."""
    current: Item[T] | None = None
    """What is there, where the write was not applied because of it."""
    old: T | None = None
    """What was there before, where `old=True` asked for it."""

    def __bool__(self) -> bool:
        return self.applied


def seconds(ttl: Ttl) -> float | None:
    """A time to live in seconds, whatever it was given as."""
    if isinstance(ttl, datetime.timedelta):
        ttl = ttl.total_seconds()
    if ttl is not None and not math.isfinite(ttl):
        raise ValueError(f"a time to live is a finite number of seconds or None, not {ttl!r}")
    return ttl


def moment(cluster_ms: int | None) -> datetime.datetime | None:
    """The instant that a number of milliseconds of cluster time stands for."""
    return None if cluster_ms is None else _EPOCH + datetime.timedelta(milliseconds=cluster_ms)
