"""Whether to ask again after a refusal, and how long to wait first.

Pure: time and chance are handed in.

A request is asked again only where the refusal says that it was not done (or, with a name, that
asking again can tell), only if its caller will still be waiting, and only within the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from peers.resilience import RetryBudget, full_jitter
from tlru.client.coming_back import after_of
from tlru.client.requests import Kind, Request
from tlru.client.settings import Timing
from tlru.errors import Retry, Timeout, TlruError, Unauthenticated

LOST_MAX: Final = 3  # connections that may die under one request before it is given up


class Retries:
    """The retries of one client."""

    def __init__(self, chance: Callable[[], float], timing: Timing, *, renewable: bool) -> None:
        self._chance = chance
        self._timing = timing
        self._renewable = renewable  # whether another token can be had
        self._budget = RetryBudget()

    def delay(self, request: Request, error: TlruError, *, asked: int, now: float) -> float | None:
        """Seconds until the request is asked again; None where its caller is told the error."""
        if not self._may_help(request, error):
            return None
        history = request.history()
        wait = self._wait(history.tries, error)
        if now + wait >= request.deadline or not self._budget.spend(asked, now):
            return None
        history.tries += 1
        history.refusal = error
        history.unsure |= error.retry is Retry.UNKNOWN
        return wait

    def repeat(self, request: Request, *, asked: int, now: float) -> bool:
        """Whether a request whose connection died is sent again.

        The first time is free: how often connections are opened has limits of its own, and each of
        those who wait would otherwise ask again by themselves. After some times it may well be the
        request that connections die of.
        """
        history = request.history()
        history.lost += 1
        if history.lost > LOST_MAX:
            return False
        return history.lost == 1 or self._budget.spend(asked, now)

    def _may_help(self, request: Request, error: TlruError) -> bool:
        if isinstance(error, Unauthenticated):
            return self._renewable and request.history().tries == 0
        if isinstance(error, Timeout):
            return request.kind is Kind.NAMED and not error.outcome_known
        return error.retry in (Retry.SAME, Retry.OTHER)

    def _wait(self, tries: int, error: TlruError) -> float:
        jitter = full_jitter(
            tries,
            self._chance(),
            first=self._timing.backoff_first,
            most=self._timing.backoff_most,
        )
        return jitter + after_of(error, most=math.inf)  # its caller's patience is the bound
