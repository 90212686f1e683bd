"""The client for programs without an event loop: the same names, called as plain functions."""

from tlru.sync.cache import Cache, connect
from tlru.sync.cached import Cached
from tlru.sync.lock import Lock

__all__ = ["Cache", "Cached", "Lock", "connect"]
