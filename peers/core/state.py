"""What a replica knows, as all parts of the core see it.

Pure. The parts decide, each in its own module; here stands what they share: who we are, the term
and the vote, the log and how far it is committed and kept, who leads, who is heard, what time it
is. `draft` takes up what a step wants done.

Invariant: `commit` never goes back, and never passes the end of the log; what is applied, or is to
be applied by this step's output, is committed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from peers.core.base import Base
from peers.core.clock import FollowedClock
from peers.core.draft import Draft
from peers.core.entry import Batch, Epoch, Origin, Position
from peers.core.log import Log
from peers.core.membership import Membership, NodeId
from peers.core.messages import Message, Noted, PreVote
from peers.core.output import NOTHING, Committed, Install, Life, Output, Promise
from peers.core.timing import Bounds, Stamps, Timing

# An election takes a third of a second and more: in no cluster's life do so many pass while one
# node is away.
TERMS_AHEAD_MAX: Final = 1 << 30


class Part(enum.Enum):
    """What a node does at the moment."""

    FOLLOWER = enum.auto()
    CANDIDATE = enum.auto()
    LEADER = enum.auto()


class State:
    """The shared part of a replica."""

    def __init__(
        self,
        node: NodeId,
        promise: Promise,
        log: Log,
        *,
        commit: int,
        resumed: int,
        now: int,
        chance: Callable[[], float],
        timing: Timing,
        bounds: Bounds,
        level: int,
        volatile: bool,
        wall_ahead: int,
    ) -> None:
        self.id = node
        self.origin = Origin(node, promise.birth)
        self.epoch: Epoch = promise.epoch
        self.birth = promise.birth
        self.incarnation = promise.incarnation
        self.term = promise.term
        self.vote: Origin | None = promise.vote
        self.log = log
        self.commit = commit
        self.applied = commit  # what the application was given, or will be at the end of this step
        self.intact = True  # the application's state is what the majority's is
        self.noted: Noted | None = None  # its digest at the last checkpoint
        self.volatile = volatile  # nothing of the log is kept on a disk
        self.stored = log.last.index  # what was read from the disk is on it
        self.agreed = commit  # how far the log is the present leader's
        self.counts = promise.whole  # False while something promised is missing
        self.removed = promise.removed
        self.ancestors = promise.ancestors
        self.named = promise.named
        if promise.named is not None:
            log.name(*promise.named)
        self.accepted = promise.accepted  # another epoch: then we take no more part in this one
        newest = log.newest_with(self.origin)
        # Where the newest list stands that has us; a list that is older is not about us.
        self.added = promise.added if newest is None else max(newest, promise.added or 0)
        self.level = level  # the highest feature level that this release can apply
        self.levels: dict[Origin, int] = {}  # of the others, as they say
        assert commit >= log.base.position.index, "the state lies before the log"
        self.outdated = log.membership_at(commit)[1].level > level  # an entry is above it
        self.part = Part.FOLLOWER
        self.leader: NodeId | None = None
        self.clock = FollowedClock()
        self.resumed = resumed
        self.wall_ahead = wall_ahead  # of this machine's clock that `now` is, the time of day is
        self.heard: dict[NodeId, int] = {}
        self.lives: dict[NodeId, Life] = {}
        self.started = now
        self.stamps = Stamps()
        self.chance = chance
        self.timing = timing
        self.bounds = bounds
        self.draft = Draft(self.lives)

    @property
    def can_apply_all(self) -> bool:
        """Whether nothing in the log is above the feature level of this release."""
        return self.log.membership.level <= self.level

    @property
    def takes_part(self) -> bool:
        """Whether this node may vote and count: it holds what it promised to keep, and has not
        agreed to go on in another epoch."""
        return self.counts and self.accepted is None

    @property
    def membership(self) -> Membership:
        """Who belongs, by the newest entry of the log, committed or not."""
        return self.log.membership

    def take_output(self) -> Output:
        """All that a step wants done; the next begins with nothing."""
        draft = self.draft
        if draft.is_empty:
            return NOTHING
        self.draft = Draft(self.lives)
        return draft.finish()

    # -- promises

    def promised(self) -> Promise:
        """All of them, as they are now."""
        return Promise(
            *(self.epoch, self.birth, self.incarnation, self.term, self.vote),
            *(self.counts, self.removed, self.added, self.accepted, self.ancestors),
            self.named,
        )

    def promise(self) -> None:
        """What was changed of them is to be kept before anything else leaves."""
        self.draft.promise = self.promised()

    def enter_term(self, term: int) -> None:
        """A later term: nobody leads in it yet, for all that we know, and we have not voted."""
        assert term > self.term
        self.term = term
        self.vote = None
        self.part = Part.FOLLOWER
        self.leader = None
        self.agreed = self.commit
        self.promise()

    def climbs(self, message: Message) -> bool:
        """Whether its term is so far ahead that this node comes to it in steps, of which this was
        one: whoever is there will be heard again. If it leapt there, one word could use up the
        terms of all; if it refused to go, one word could part two nodes for ever."""
        term: int = getattr(message, "term", 0)
        if not self.is_far(term) or isinstance(message, PreVote):
            return False
        self.enter_term(self.term + TERMS_AHEAD_MAX)
        return True

    def is_far(self, term: int) -> bool:
        """Whether no node that was away can find the others in such a term."""
        return term > self.term + TERMS_AHEAD_MAX

    # -- the log

    def committed(self) -> Position:
        """Where what is committed ends."""
        term = self.log.term_at(self.commit)
        assert term is not None, "commits end with batches"
        return Position(term, self.commit)

    def append(self, batch: Batch) -> None:
        """Put a batch at the end of the log, and see that it is kept."""
        self.log.append(batch)
        self.draft.append.append(batch)
        if self.volatile:
            self.stored = batch.last.index  # there is nothing to wait for

    def commit_to(self, index: int) -> None:
        """What is up to `index` can never be undone any more: it is to be applied."""
        if index <= self.commit:
            return
        assert index <= self.log.last.index
        before, self.commit = self.commit, index
        self._note_members(before)
        if self.intact:
            self.apply_committed()

    @property
    def belongs(self) -> bool:
        """Whether this node is a member, for good: by what is committed."""
        return self.log.membership_at(self.commit)[1].has(self.origin)

    def apply_committed(self) -> None:
        """The application is to carry out what it has not yet; nothing above its feature level."""
        through = self.log.last_below(self.level, self.commit)
        self.outdated = through < self.commit
        entries = self.log.entries(self.applied, through) if through > self.applied else ()
        if entries:
            self.applied = through
            self.clock.at_least(entries[-1].at)
            self.draft.apply.extend(entries)

    def _note_members(self, before: int) -> None:
        """Whether who belongs has changed for good with what was committed behind `before`."""
        since, membership = self.log.membership_at(self.commit)
        if since > before:
            self.draft.membership = Committed(since, membership)

    def install(self, number: int, base: Base) -> bool:
        """Put the snapshot in the place of the application's state; False where that cannot be.

        It is of what was committed. One that is behind what we have committed is of use only where
        our state is not to be trusted, and our log still has all that follows.
        """
        index = base.position.index
        held = self.log.term_at(index)
        if index <= self.commit and (self.intact or held is None):
            return False
        if base.position.term > self.term:
            # Its giver was in a later one, and we must never answer to an earlier one again.
            self.enter_term(base.position.term)
        keeps_log = held == base.position.term
        if not keeps_log:
            self.log.begin(base)
        self.intact = True
        self.noted = None
        self.commit, self.applied = max(self.commit, index), index
        # A log that began anew ends here, however much was stored of the one before.
        self.stored = max(self.stored, index) if keeps_log else index
        self.agreed = max(self.agreed, index)
        self.clock.at_least(base.at)
        self.draft.install = Install(number, base, keeps_log)
        self.draft.membership = Committed(index, self.log.membership_at(index)[1])
        self.apply_committed()
        return True

    def trust(self) -> None:
        """The application's state is the majority's after all: it goes on."""
        self.intact = True
        self.apply_committed()

    def let_go(self, pinned: int | None) -> None:
        """Keep no more of the log than its window, and what `pinned` needs behind it."""
        through = self.applied if pinned is None else min(self.applied, pinned)
        self.log.let_go(through, self.bounds.window_bytes, self.bounds.window_entries)

    def cut(self, index: int) -> None:
        """Take away what is behind `index`: another leader's log goes on differently there."""
        assert index >= self.commit, "what is committed is never cut"
        assert self.draft.install is None, "a snapshot takes its place in a step of its own"
        self.log.cut(index)
        self.stored = min(self.stored, index)
        self.agreed = min(self.agreed, index)
        self.draft.cut = index if self.draft.cut is None else min(self.draft.cut, index)
        self.draft.append = [b for b in self.draft.append if b.last.index <= index]

    # -- others

    def reaches(self, now: int) -> tuple[NodeId, ...]:
        """The members that were heard within an election timeout. Of one that was never heard
        nothing is known for as long after the start."""
        since = now - self.timing.election_timeout_ms
        heard, never, me = self.heard, self.started, self.id
        reached: list[NodeId] = []
        for member in self.membership.members:
            if member.id != me and heard.get(member.id, never) > since:
                reached.append(member.id)
        return tuple(reached)

    def silent(self, now: int) -> tuple[NodeId, ...]:
        """The members that were not."""
        reached = set(self.reaches(now))
        return tuple(node for node in self.membership.others(self.id) if node not in reached)
