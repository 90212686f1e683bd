"""tlru: a cache you can watch.

The names that users need, each from where it lives. One is imported when it is first asked for:
who only wants `TTLCache` loads no WebSocket, and who only wants the client no server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tlru._version import __version__

if TYPE_CHECKING:
    from tlru import sync
    from tlru.cache import CacheStats, LRUCache, Removal, TLRUCache, TTLCache
    from tlru.client import (
        MISSING,
        UNSET,
        Cache,
        Cached,
        Change,
        Changed,
        Cleared,
        Item,
        Lock,
        LockLost,
        Message,
        Mirror,
        Msgpack,
        Near,
        Raw,
        Removed,
        Reset,
        Serializer,
        Server,
        Set,
        Touched,
        Watch,
        Written,
        connect,
    )
    from tlru.client.typed import typed
    from tlru.config import Config, ConfigError
    from tlru.errors import (
        BadRequest,
        BadValue,
        Forbidden,
        Internal,
        NotEnoughReplicas,
        NotInteger,
        OutOfRange,
        Overloaded,
        RateLimited,
        Timeout,
        TlruError,
        TooLarge,
        TooOld,
        Unauthenticated,
        Unavailable,
        UnknownOutcome,
        WrongEpoch,
    )
    from tlru.node import Node

_HOMES = {
    "tlru.cache": ("CacheStats", "LRUCache", "Removal", "TLRUCache", "TTLCache"),
    "tlru.client": (
        "MISSING",
        "UNSET",
        "Cache",
        "Cached",
        "Change",
        "Changed",
        "Cleared",
        "Item",
        "Lock",
        "LockLost",
        "Message",
        "Mirror",
        "Msgpack",
        "Near",
        "Raw",
        "Removed",
        "Reset",
        "Serializer",
        "Server",
        "Set",
        "Touched",
        "Watch",
        "Written",
        "connect",
        "typed",
    ),
    "tlru.config": ("Config", "ConfigError"),
    "tlru.errors": (
        "BadRequest",
        "BadValue",
        "Forbidden",
        "Internal",
        "NotEnoughReplicas",
        "NotInteger",
        "OutOfRange",
        "Overloaded",
        "RateLimited",
        "Timeout",
        "TlruError",
        "TooLarge",
        "TooOld",
        "Unauthenticated",
        "Unavailable",
        "UnknownOutcome",
        "WrongEpoch",
    ),
    "tlru.node": ("Node",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "sync":
        return import_module("tlru.sync")
    if name not in _HOME:
        raise AttributeError(f"module 'tlru' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "MISSING",
    "UNSET",
    "BadRequest",
    "BadValue",
    "Cache",
    "CacheStats",
    "Cached",
    "Change",
    "Changed",
    "Cleared",
    "Config",
    "ConfigError",
    "Forbidden",
    "Internal",
    "Item",
    "LRUCache",
    "Lock",
    "LockLost",
    "Message",
    "Mirror",
    "Msgpack",
    "Near",
    "Node",
    "NotEnoughReplicas",
    "NotInteger",
    "OutOfRange",
    "Overloaded",
    "RateLimited",
    "Raw",
    "Removal",
    "Removed",
    "Reset",
    "Serializer",
    "Server",
    "Set",
    "TLRUCache",
    "TTLCache",
    "Timeout",
    "TlruError",
    "TooLarge",
    "TooOld",
    "Touched",
    "Unauthenticated",
    "Unavailable",
    "UnknownOutcome",
    "Watch",
    "Written",
    "WrongEpoch",
    "__version__",
    "connect",
    "sync",
    "typed",
]
