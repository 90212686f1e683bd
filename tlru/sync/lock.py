"""The blocking face of a lock."""

from __future__ import annotations

from types import TracebackType

from tlru.client.locks import Lock as AsyncLock
from tlru.client.results import Ttl
from tlru.sync.thread import LoopThread


class Lock:
    """A lock, held between `with` and its end. It is kept alive by the client's own thread."""

    def __init__(self, thread: LoopThread, lock: AsyncLock) -> None:
        self._thread = thread
        self._lock = lock

    @property
    def name(self) -> str:
        """The name of the lock, in full."""
        return self._lock.name

    @property
    def fence(self) -> int:
        """The number of this holding, higher than any before. Raises `LockLost` if not held."""
        return self._lock.fence

    @property
    def held(self) -> bool:
        """Whether it is held, as far as can be told without asking."""
        return self._lock.held

    def check(self) -> None:
        """Raise `LockLost` unless it is held, as far as can be told without asking."""
        self._lock.check()

    def acquire(self, wait: float | None = None) -> bool:
        """Take the lock, waiting up to `wait` seconds (or as it was made); whether it is held."""
        return self._thread.call(lambda: self._lock.acquire(wait))

    def release(self) -> None:
        """Let it go. Raises `LockLost` if it was not held any more."""
        self._thread.call(self._lock.release)

    def renew(self, ttl: Ttl = None) -> None:
        """Give it new time from now on. Raises `LockLost` if it is not held any more."""
        self._thread.call(lambda: self._lock.renew(ttl))

    def __enter__(self) -> Lock:
        self._thread.call(self._lock.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.call(lambda: self._lock.__aexit__(kind, error, traceback))
