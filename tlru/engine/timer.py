"""What time a cache believes it is: somebody's timer, which can be held still.

Stays away from clocks: the timer is handed in. While it is held, every reading is the same moment,
so that one operation judges everything by one time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlru.engine.expiry import Ordered


class FreezableTimer:
    """A timer that stands still inside `with`; nested blocks share the moment of the outermost.

    Whatever else the wrapped timer offers is reached through this one.
    """

    # `read_now` is an attribute, not a method: unfrozen it *is* the timer that was handed in, so
    # that reading the time costs the caches that read it on every access no call of ours.
    __slots__ = ("_depth", "read_now", "wrapped")

    def __init__(self, timer: Callable[[], Ordered]) -> None:
        self.wrapped = timer
        self._depth = 0
        self.read_now = timer

    def __call__(self) -> Ordered:
        """The moment that it is, or at which the timer is held."""
        return self.read_now()

    def __enter__(self) -> Ordered:
        now = self.read_now()
        self.read_now = lambda: now
        self._depth += 1
        return now

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.read_now = self.wrapped

    def __reduce__(self) -> tuple[type[FreezableTimer], tuple[Callable[[], Ordered]]]:
        # A copy runs: nobody is inside its `with`.
        return type(self), (self.wrapped,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)
