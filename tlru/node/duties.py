"""What the leader owes the log by itself: expiry, eviction, checkpoints.

This module decides when such entries are written; what they do is the machine's. Only the node that
leads writes them, so that every node removes the same items in the same order.
"""

from __future__ import annotations

from collections.abc import Callable

from peers.core.entry import Dot
from peers.ordered_log import Notes
from tlru.engine.machine import Machine
from tlru.engine.operations import Checkpoint, Evict, Expire, Operation

EXPIRE_EVERY_MS = 50
CHECKPOINT_EVERY_MS = 1_000
MORE_MAX = 5  # checkpoints without a change: who has noted nothing by then does not for another one
EVICT_MAX = 1_000  # victims in one entry

# How far above its budget a cache may be, beside what is being evicted, before writes are refused.
WINDOW_ENTRIES = 10_000
WINDOW_BYTES = 16 << 20


class Duties:
    """One cache's leader entries."""

    def __init__(
        self,
        machine: Machine,
        propose: Callable[[Operation], Dot | None],
        notes: Callable[[], Notes],
    ) -> None:
        """`notes`: what the voters have noted at checkpoints."""
        self._machine = machine
        self._propose = propose
        self._notes = notes
        self._last_expire: Dot | None = None
        self._last_evict: Dot | None = None
        self._going = (0, 0)  # entries and bytes that proposed evictions will free
        self._checkpoint_due = 0
        self._checkpoint_index = 0
        self._unsaid = False  # what was noted at the last checkpoint is in no later one
        self._more = 0  # checkpoints since something changed

    def tick(self, now: int) -> None:
        """Every `EXPIRE_EVERY_MS`: write what is owed by now."""
        self._expire(now)
        # A leader's time that was wrong may be set right, back to an earlier one.
        if now >= self._checkpoint_due or self._checkpoint_due - now > CHECKPOINT_EVERY_MS:
            self._checkpoint(now)

    def applied(self, now: int) -> None:
        """After entries were applied: keep the budget, and go on with what is still over."""
        if self._last_expire is not None and self._done(self._last_expire):
            self._last_expire = None
            self._expire(now)  # more was over than one entry may take
        if self._last_evict is not None and self._done(self._last_evict):
            self._last_evict, self._going = None, (0, 0)
        if self._last_evict is None:
            self._evict()

    def _checkpoint(self, now: int) -> None:
        """Owed when something has changed; and then until what a majority noted of it was said:
        whoever took a snapshot meanwhile, and noted nothing, is given another to note."""
        (agreed, lacking), noted = self._notes(), self._machine.noted
        changed = self._machine.index > self._checkpoint_index
        known = agreed is not None and noted is not None and agreed[0] == noted[0]
        lacking = lacking and self._more < MORE_MAX
        if not changed and not (self._unsaid and (known or lacking)):
            return
        self._more = 0 if changed else self._more + 1
        self._checkpoint_due = now + CHECKPOINT_EVERY_MS
        self._unsaid = changed or not known
        # It is an entry itself; the next is owed only once another follows it.
        self._checkpoint_index = self._machine.index + 1
        self._propose(Checkpoint(*(agreed or (0, None))))

    def blocked(self) -> bool:
        """Whether the cache is so far above its budget that writes have to wait."""
        entries, size = self._machine.over_budget()
        return entries - self._going[0] > WINDOW_ENTRIES or size - self._going[1] > WINDOW_BYTES

    def _expire(self, now: int) -> None:
        due = self._machine.next_due()
        if due is not None and due <= now and self._last_expire is None:
            self._last_expire = self._propose(Expire(now))

    def _evict(self) -> None:
        entries, size = over = self._machine.over_budget()
        if entries or size:
            victims = self._machine.victims()
            for start in range(0, len(victims), EVICT_MAX):
                chosen = tuple(victims[start : start + EVICT_MAX])
                self._last_evict = self._propose(Evict(chosen))
            self._going = over

    def _done(self, dot: Dot) -> bool:
        return self._machine.vector.of(dot.origin) >= (dot.incarnation, dot.sequence)
