"""When the core is asked what is due.

At the end of each turn of the loop in which something was told to it that needs that, at once where
operations wait, a little later where something waits for more to go with it, with each beat, and
when a leader's next word is due. It decides nothing about what is due.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from peers.clocks import boot_ms, next_beat
from peers.core.due import gathers, has_work, rests, word_due_in
from peers.core.replica import Replica
from peers.core.timing import GATHER_MS


class Driver(Protocol):
    """Who drives the core."""

    replica: Replica | None

    def do_what_is_due(self) -> None:
        """Let the core do what is due now."""


class Turns:
    """The turns of one node's core."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._owed = False  # at the end of this turn of the loop
        self._gathering: asyncio.TimerHandle | None = None  # until what waits for more has to go

    def start(self) -> None:
        """Ask every so often, from now on."""
        self._loop = asyncio.get_running_loop()
        self._tick_often()

    def stop(self) -> None:
        """Ask no more by the time alone."""
        self._ticker.cancel()

    @property
    def owed(self) -> bool:
        """Whether something was told to the core, and it was not asked since."""
        return self._owed

    def owe(self) -> None:
        """Ask at the end of this turn of the loop."""
        if not self._owed:
            self._owed = True
            self._loop.call_soon(self._end_loop_turn)

    def told(self) -> None:
        """The core was told something: ask it then, unless it has nothing to do."""
        replica = self._driver.replica
        if replica is None:
            return
        now = boot_ms()
        if rests(replica, now):
            self._gather(replica, now)
        else:
            self.owe()

    def _end_loop_turn(self) -> None:
        if self._owed:  # nobody has seen to it meanwhile
            self.end()

    def end_peers(self) -> None:
        """A peer has said what it had to say. What waits to be put in order, or forwarded, goes at
        once; all else has time until the turn of the loop is over."""
        replica = self._driver.replica
        if replica is not None and has_work(replica):
            self.end()

    def end(self) -> None:
        """Ask now, since a turn is over."""
        self._owed = False
        self._driver.do_what_is_due()
        replica = self._driver.replica
        if replica is None:
            return
        if not replica.calm:
            self.owe()  # what has come of it is to be looked at as well
        self._gather(replica, boot_ms())

    def _gather(self, replica: Replica, now: int) -> None:
        """See to it that what waits for more to go with it does not wait for long."""
        if self._gathering is None and gathers(replica, now):
            self._gathering = self._loop.call_later(GATHER_MS / 1000, self._go_on)

    def _go_on(self) -> None:
        self._gathering = None
        self.owe()

    def _tick_often(self) -> None:
        now = self._loop.time()
        at, replica = next_beat(now), self._driver.replica
        if replica is not None and (word_ms := word_due_in(replica, boot_ms())) > 0:
            at = min(at, now + word_ms / 1000)
        self._ticker = self._loop.call_at(at, self._tick_often)
        self.owe()
