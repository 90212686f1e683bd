"""What the tests of the cache share: a clock that is moved by hand, a listener, small buckets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, settings

from tlru.engine import expiry
from tlru.engine.removal import Removal

# A test may take as long as the machine needs that day.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Clock:
    """A timer that stands still until it is moved."""

    def __init__(self, now: Any = 0) -> None:
        self.now = now

    def __call__(self) -> Any:
        return self.now

    def advance(self, by: Any) -> None:
        self.now = self.now + by


class Listener:
    """An `on_remove` that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, Any, Removal]] = []

    def __call__(self, key: Any, value: Any, reason: Removal) -> None:
        self.heard.append((key, value, reason))

    def take(self) -> list[tuple[Any, Any, Removal]]:
        """What was heard since the last time."""
        heard, self.heard = self.heard, []
        return heard


@contextmanager
def buckets_of(size: int) -> Iterator[None]:
    """Let the expiry index divide its buckets early, so that a few keys go through all of it."""
    with patch.multiple(expiry, BUCKET_MAX=size, NEAR_MAX=size):
        yield
