"""How hard to try again: waits with jitter, and a budget for retries.

Pure: time and chance are handed in. What is tried, and where, is decided by the caller.

Invariants: a wait is never above its ceiling, and a ceiling never above the most; whatever is asked
for, retries stay within a share of the traffic plus a small floor.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 0.1
MOST_S = 20.0
DOUBLINGS_MAX = 32  # beyond this a ceiling has long met its most; the exponent need not grow


def full_jitter(attempt: int, chance: float, *, first: float, most: float) -> float:
    """The wait before attempt number `attempt` (0 is the first repeat): anything up to a ceiling.

    The ceiling doubles with every attempt. The whole range is used, because clients that lost the
    same server at the same moment would otherwise come back together.
    """
    ceiling: float = first * 2 ** min(attempt, DOUBLINGS_MAX)
    return chance * min(most, ceiling)


class Backoff:
    """The waits between attempts that keep failing; a success makes it start over."""

    def __init__(
        self, chance: Callable[[], float], *, first: float = FIRST_S, most: float = MOST_S
    ) -> None:
        if not 0 < first <= most:
            raise ValueError(f"a backoff needs 0 < first <= most, not {first} and {most}")
        self._chance = chance
        self._first = first
        self._most = most
        self.failures = 0

    def wait(self) -> float:
        """Seconds to wait now that one more attempt has failed."""
        wait = full_jitter(self.failures, self._chance(), first=self._first, most=self._most)
        self.failures += 1
        return wait

    def reset(self) -> None:
        """An attempt has succeeded."""
        self.failures = 0


class RetryBudget:
    """Retries that a caller may still make: a share of its traffic, and a floor for the quiet.

    A server in trouble is not helped by clients that ask it twice as often: retries are paid for,
    and each request earns a tenth of one. Time earns a few too, so that a lone caller gets its own.
    What is earned is kept up to a limit; a long calm does not pay for a storm.
    """

    def __init__(
        self, *, share: float = 0.1, floor_per_s: float = 1.0, saved_max: float = 100.0
    ) -> None:
        if not (share >= 0 and floor_per_s >= 0 and saved_max >= 1):
            raise ValueError("a retry budget needs share >= 0, floor_per_s >= 0 and saved_max >= 1")
        self._share = share
        self._floor_per_s = floor_per_s
        self._saved_max = saved_max
        self._saved = min(saved_max, max(1.0, 10 * floor_per_s))
        self._asked = 0
        self._at: float | None = None

    def spend(self, asked: int, now: float) -> bool:
        """Whether one more retry may be made, which is then paid for.

        `asked` counts all requests since the beginning: the budget looks at it only here, so that a
        request that succeeds costs nothing.
        """
        self._earn(asked, now)
        if self._saved < 1:
            return False
        self._saved -= 1
        return True

    def _earn(self, asked: int, now: float) -> None:
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        earned = self._share * max(0, asked - self._asked) + self._floor_per_s * elapsed
        self._saved = min(self._saved_max, self._saved + earned)
        self._asked, self._at = max(asked, self._asked), now


class TokenBucket:
    """A rate that may be exceeded for a moment: so much a second, and a burst on top of a calm.

    What is larger than the burst is let through once the bucket is full, and paid for afterwards:
    refused for good it would be asked for again and again.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        if not (rate > 0 and burst >= 1):
            raise ValueError(f"a bucket needs rate > 0 and burst >= 1, not {rate} and {burst}")
        self.rate, self.burst = rate, burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, amount: float, now: float) -> float:
        """Take so much, and give 0; or take nothing, and give the seconds until it can be had."""
        if self._at is not None and now > self._at:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now if self._at is None else max(now, self._at)
        wanted = min(amount, self.burst)
        if self._tokens < wanted:
            return (wanted - self._tokens) / self.rate
        self._tokens -= amount
        return 0.0

    def change(self, rate: float, burst: float) -> None:
        """Go by another rate and burst; what was taken stays taken."""
        self._tokens = min(burst, self._tokens)
        self.rate, self.burst = rate, burst
