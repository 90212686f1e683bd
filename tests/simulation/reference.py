"""What one history of the log led to: its entries, and the state, the answers and the members.

Whatever any node applies is held against it. An epoch that begins after a loss has a history of its
own, which shares a beginning with the one before; who is still in the older epoch is judged by the
older history, to which nothing may be added any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from peers.core.entry import Dot, Entry, Origin
from peers.core.membership import Membership
from tests.simulation.ledger import Ledger
from tlru.engine.machine import Machine


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"invariant {number}: {what}")
        self.number = number


class Reference:
    """One history of the log."""

    def __init__(self, membership: Membership) -> None:
        self.committed: list[Entry] = []  # whatever any node has applied, in order
        self.applied = (
            0  # so much of it was: after a loss a new epoch's leader holds more than that
        )
        self.truth = Machine()  # to which every entry is applied as soon as any node has
        self.digests = [self.truth.digest()]  # of it, by index
        self.ledger = Ledger()
        self.membership = membership  # the newest that is committed
        self.memberships = [(0, membership)]
        self.dots: dict[Dot, int] = {}
        self.sequences: dict[tuple[Origin, int], int] = {}
        self.incarnations: dict[Origin, int] = {}
        self.is_over = False  # another epoch went on from an earlier place
        self.named: Membership | None = None  # with whom the newest epoch began

    def add(self, entry: Entry) -> None:
        """One more entry; what it breaks is told."""
        assert entry.index == len(self.committed) + 1
        if self.is_over:
            raise Broken(5, f"{entry.index} is committed in an epoch that was given up")
        if self.committed and entry.at < self.committed[-1].at:
            raise Broken(9, f"time went back at {entry.index}: {self.committed[-1].at}, {entry.at}")
        self.committed.append(entry)
        applied = self.truth.apply([entry])
        if len(self.ledger.entries) < entry.index:
            self.ledger.differs(entry, applied)  # no node has put it out: the reference does
        self.digests.append(self.truth.digest())
        if entry.membership is not None:
            self._changes(entry.index, entry.membership)
        if entry.dot is not None:
            self._new_dot(entry.dot, entry.index)

    def _changes(self, index: int, membership: Membership) -> None:
        """One at a time: a majority of the one before and one of this share a voter."""
        changed = self.membership.origins() ^ membership.origins()
        named, self.named = self.named, None
        if len(changed) > 1 and membership != named:
            raise Broken(3, f"at {index} {sorted(changed)} come and go at once")
        self.membership = membership
        self.memberships.append((index, membership))

    def _new_dot(self, dot: Dot, index: int) -> None:
        if dot in self.dots:
            raise Broken(6, f"{dot} stands at {self.dots[dot]} and at {index}")
        self.dots[dot] = index
        life = (dot.origin, dot.incarnation)
        if dot.sequence != self.sequences.get(life, 0) + 1:
            raise Broken(6, f"{dot} follows {self.sequences.get(life, 0)}")
        self.sequences[life] = dot.sequence
        if dot.incarnation < self.incarnations.get(dot.origin, 0):
            raise Broken(6, f"{dot} is of a life that another has shut")
        self.incarnations[dot.origin] = dot.incarnation

    # -- looking

    def membership_at(self, index: int) -> Membership:
        """Who belonged at `index`."""
        return next(m for since, m in reversed(self.memberships) if since <= index)

    def above(self, level: int) -> int | None:
        """The first entry that puts a higher feature level in force; None where there is none."""
        if self.membership.level <= level:
            return None
        return next(since for since, m in self.memberships if m.level > level)

    # -- a loss

    def shared(self, log: Sequence[Entry]) -> int:
        """How much of this history a log begins with."""
        pairs = zip(self.committed, log, strict=False)
        return next((n for n, (ours, its) in enumerate(pairs) if ours != its), self._least(log))

    def _least(self, log: Sequence[Entry]) -> int:
        return min(len(self.committed), len(log))

    def from_log(self, log: Sequence[Entry]) -> Reference:
        """The history that goes on from the end of a log, and not from this one's; this is over."""
        new = Reference(self.memberships[0][1])
        for entry in log:
            new.add(entry)
        new.applied = self.shared(log)
        return new


class Loss:
    """An epoch began from a log that lacks some of what was committed.

    At that moment nobody serves, and nothing that was under way before can come into the new
    epoch's log any more. So whatever clients see is judged in two: what they were told before, by
    the older history, and what they are told since, by the newer one, which begins with `values`.
    """

    def __init__(self, at: int, before: Reference, log: Sequence[Entry]) -> None:
        self.at = at  # in the time of the world
        self.before = before
        self.after = before.from_log(log)
        before.is_over = True
        self.begins = len(log)
        items = self.after.truth.items.store.entries
        self.values = {key: item.value for key, item in items.items()}
