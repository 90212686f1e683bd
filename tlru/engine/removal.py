"""Who hears that a value has left a cache, when, and what becomes of their errors.

Stays away from why values leave: the cache decides that and reports here.

Rules. A callback is called once for each value that left, in the order in which they left, and
only after the operation that removed them has been carried out in full: it finds the cache
consistent and may use it freely. What its own operations remove is reported after what waits
already, never from within another callback. An exception from a callback neither undoes anything
nor keeps the other callbacks from being called; it reaches the caller of the operation afterwards,
several of them as one ExceptionGroup, or as notes on the operation's own error if it failed.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Removal(enum.Enum):
    """Why a value left a cache."""

    EXPIRED = (
        "expired"  # its life was over, or was ended by a `set` or `touch` with a life of nothing
    )
    EVICTED = "evicted"  # to make room, or by `popitem`
    DELETED = "deleted"  # by `del` or `pop`
    REPLACED = "replaced"  # another value was stored under its key
    CLEARED = "cleared"  # by `clear`


OnRemove: TypeAlias = Callable[[K, V, Removal], object]


class RemovalQueue(Generic[K, V]):
    """Removals that wait until the operation that made them is done.

    An operation runs inside `with queue:`; when the outermost one ends, what waits is delivered.
    """

    __slots__ = ("_holders", "_waiting", "callback")

    def __init__(self, callback: OnRemove[K, V] | None) -> None:
        self.callback = callback
        self._waiting: deque[tuple[K, V, Removal]] = deque()
        self._holders = 0

    def add(self, key: K, value: V, reason: Removal) -> None:
        """Report a removal; nothing is kept where nobody listens."""
        if self.callback is not None:
            self._waiting.append((key, value, reason))

    def __enter__(self) -> None:
        self._holders += 1

    def __exit__(self, _type: object, failure: BaseException | None, _traceback: object) -> None:
        self._holders -= 1
        if self._waiting and not self._holders:
            self._deliver(failure)

    def _deliver(self, failure: BaseException | None) -> None:
        errors = self._call_all()
        if not errors:
            return
        if failure is not None:
            # The operation itself failed, and that is what its caller must hear first.
            for error in errors:
                failure.add_note(f"on_remove failed as well: {error!r}")
        elif len(errors) == 1:
            raise errors[0]
        else:
            raise ExceptionGroup("on_remove failed for several values", errors)

    def _call_all(self) -> list[Exception]:
        errors: list[Exception] = []
        # Held meanwhile, so that what a callback removes joins the end of the queue. A
        # KeyboardInterrupt goes through at once; the next operation delivers what is left.
        self._holders += 1
        try:
            while self._waiting and self.callback is not None:
                key, value, reason = self._waiting.popleft()
                try:
                    self.callback(key, value, reason)
                except Exception as error:
                    errors.append(error)
        finally:
            self._holders -= 1
        return errors
