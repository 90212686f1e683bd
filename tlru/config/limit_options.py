"""The options that clients are told as limits: what may be asked at once, and how much of it.

Fields of `Config` (`settings.py`), in a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from tlru.config.numbers import Count, Duration, Size
from tlru.config.options import Change, Section, option

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_HOUR, _DAY = 3_600.0, 86_400.0
_LIMITS = Section.LIMITS
_LIVE = Change.LIVE


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """What `hello` tells a client."""

    message_bytes: int = option(
        Size(4 * _KIB, _GIB),
        4 * _MIB,
        _LIMITS,
        _LIVE,
        "The largest message or HTTP body from a client.",
    )
    push_bytes: int = option(
        Size(_KIB, 64 * _MIB),
        256 * _KIB,
        _LIMITS,
        _LIVE,
        "The largest message to a client, unless one event alone is larger.",
    )
    value_bytes: int = option(Size(1, _GIB), _MIB, _LIMITS, _LIVE, "The largest value.")
    key_bytes: int = option(Size(1, _KIB), _KIB, _LIMITS, _LIVE, "The longest key.")
    batch: int = option(
        Count(1, 65_536),
        1_024,
        _LIMITS,
        _LIVE,
        "How many requests one WebSocket message may carry.",
    )
    keys: int = option(
        Count(1, 1_000_000), 10_000, _LIMITS, _LIVE, "How many keys one request may name."
    )
    scan: int = option(
        Count(1, 100_000), 1_000, _LIMITS, _LIVE, "How many keys one page of a scan may hold."
    )
    feeds: int = option(
        Count(0, 65_536), 1_024, _LIMITS, _LIVE, "How many subscriptions one connection may have."
    )
    in_flight: int = option(
        Count(1, 1_000_000),
        4_096,
        _LIMITS,
        _LIVE,
        "How many unanswered requests one connection may have; beyond it the node stops reading.",
    )
    waits: int = option(
        Count(0, 65_536),
        64,
        _LIMITS,
        _LIVE,
        "How many requests of one connection may wait: for a lock, a position, the leader's word.",
    )
    hello_s: float = option(
        Duration(0.01, _HOUR),
        10.0,
        _LIMITS,
        _LIVE,
        "How long a new connection may take to say hello.",
    )
    ping_s: float = option(
        Duration(0.01, _HOUR),
        20.0,
        _LIMITS,
        _LIVE,
        "How often the node pings; a connection that misses two is closed.",
    )
    mark_s: float = option(
        Duration(0.01, _HOUR),
        5.0,
        _LIMITS,
        _LIVE,
        "The longest silence of a feed without word of its position.",
    )
    once_s: float = option(
        Duration(1.0, _DAY),
        120.0,
        _LIMITS,
        _LIVE,
        "How long the result of a write that may be repeated is kept.",
    )
    tombstone_s: float = option(
        Duration(1.0, _DAY),
        120.0,
        _LIMITS,
        _LIVE,
        "How long a deleted key remembers its source revision.",
    )
