"""Whether an event loop stays awake for a moment in which something is about to come.

A process that waits in the kernel lets its core fall asleep; to wake it again takes longer than a
whole request, most of all on a virtual machine, where both ways lead through the host. So whoever
is about to hear something turns its loop for a moment instead of waiting in it. Nothing else is
held up by that: the loop goes on serving, and after each turn the core is offered to whatever else
is ready to run on it.

Every stay is a bet of a bounded time. Those that are won pay for more; where they are lost (the
other side is far away, or quiet, or needs this core itself) there are soon no more of them, but for
one now and then that finds out whether it has changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, Protocol

STAY_S: Final = 0.000_5  # a bet; what comes later than that comes from far away or from nobody
CREDIT_MAX: Final = 8
STAKE: Final = 2  # what a lost bet costs of the credit; one that is won earns 1
PROBE_EVERY: Final = 64  # without credit, one bet in so many is made all the same

# Linux, macOS and the BSDs have it; elsewhere a sleep of no length offers the core likewise.
_offer_core: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))


class Loop(Protocol):
    """What is needed of an event loop."""

    def call_soon(self, callback: Callable[[], object]) -> object:
        """Call in the next turn, before which the loop does not wait."""


class Bets:
    """Which bets are made, by how the last ones ended. Pure."""

    __slots__ = ("credit", "declined")

    def __init__(self) -> None:
        self.credit = CREDIT_MAX
        self.declined = 0

    def make(self) -> bool:
        """Whether to bet this time."""
        if self.credit > 0:
            return True
        self.declined += 1
        if self.declined < PROBE_EVERY:
            return False
        self.declined = 0
        return True

    def end(self, won: bool) -> None:
        """A bet has ended."""
        self.credit = min(self.credit + 1, CREDIT_MAX) if won else max(self.credit - STAKE, 0)


class Awake:
    """Keeps one event loop awake."""

    def __init__(
        self, loop: Loop, stay_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.bets = Bets()
        self._loop = loop
        self.stay_s = stay_s
        self._clock = clock
        self._until = 0.0  # of the present bet; 0 where there is none
        self._turning = False

    def expect(self) -> None:
        """Something is about to come: stay awake for it, where that has been of use."""
        if not self.stay_s or not (self._until or self.bets.make()):
            return
        self._until = self._clock() + self.stay_s
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def came(self) -> None:
        """It is there, or nobody waits for it any more."""
        if self._until:
            self._until = 0.0
            self.bets.end(won=True)

    def _turn(self) -> None:
        if self._clock() < self._until:
            _offer_core()
            self._loop.call_soon(self._turn)
            return
        self._turning = False
        if self._until:
            self._until = 0.0
            self.bets.end(won=False)
