"""What every blocking face has: the asyncio cache behind it, and the thread that runs it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from tlru.client import cache as aio
from tlru.sync.thread import LoopThread

T = TypeVar("T")
R = TypeVar("R")


class Face(Generic[T]):
    """A part of a cache, for threads."""

    def __init__(self, cache: aio.Cache[T], thread: LoopThread) -> None:
        self._cache = cache
        self._thread = thread

    def __repr__(self) -> str:
        return repr(self._cache).replace("<tlru cache", "<tlru.sync cache", 1)

    def _run(self, make: Callable[[], Coroutine[Any, Any, R]]) -> R:
        return self._thread.call(make)
