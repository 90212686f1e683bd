"""Which digest of the state the voters have noted, as far as their leader has heard. Pure.

A digest is noted at a checkpoint, and the next checkpoint names the one that a majority noted. A
state that came by a snapshot has noted none since: where that is what a majority lacks, one more
checkpoint makes all of them note again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from peers.core.follower import Follower
from peers.core.membership import NodeId
from peers.core.messages import Noted
from peers.core.state import State


class Digests:
    """What was noted under one leader."""

    def __init__(self, state: State, followers: Mapping[NodeId, Follower]) -> None:
        self._state = state
        self._followers = followers

    def _of(self, node: NodeId) -> Noted | None:
        state = self._state
        if node == state.id:
            return state.noted if state.counts else None
        follower = self._followers.get(node)
        return None if follower is None else follower.noted

    def _notes(self) -> Counter[Noted]:
        """How many voters noted which digest at their last checkpoint."""
        notes = [self._of(node) for node in self._state.membership.voters]
        return Counter(note for note in notes if note is not None)

    def agreed(self) -> Noted | None:
        """The newest digest that a majority of the voters noted at one checkpoint."""
        majority = self._state.membership.majority
        return max(
            (note for note, count in self._notes().items() if count >= majority), default=None
        )

    @property
    def is_split(self) -> bool:
        """Whether all voters have noted a digest at one checkpoint, and no majority the same:
        nobody can say who is right. A person has to look."""
        notes = self._notes()
        everybody = notes.total() == len(self._state.membership.voters)
        return everybody and len({n.index for n in notes}) == 1 and self.agreed() is None

    def lacks_one(self, now: int) -> bool:
        """Whether a voter that is in touch and has the log up to the newest checkpoint has noted no
        digest there, and will not."""
        state = self._state
        newest = max(self._notes(), default=None)
        if newest is None:
            return False
        since = now - state.timing.election_timeout_ms
        for node in state.membership.voters:
            note = self._of(node)
            if note is not None and note.index == newest.index:
                continue
            if node == state.id:
                return True
            follower = self._followers.get(node)
            if follower is not None and follower.heard > since and follower.match >= newest.index:
                return True
        return False
