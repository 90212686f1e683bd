"""What members tell each other of themselves, whatever else is said.

Pure. A greeting keeps nobody silent, and carries what others need to know of a node: whom it hears,
how far its log goes, what it can apply. Strangers are told that they are strangers.
"""

from __future__ import annotations

from collections.abc import Sequence

from peers.core.entry import Origin
from peers.core.membership import NodeId
from peers.core.messages import Hello, Removed
from peers.core.state import Part, State


class Greeting:
    """This node's greetings."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._at = state.started
        self._strangers: set[NodeId] = set()  # who greeted us since

    def tick(self, now: int) -> None:
        """Greet everybody, now and then."""
        state = self.state
        if now >= self._at:
            self._at = now + state.timing.election_timeout_ms // 4
            # Where nobody leads, who is a stranger by our list may be a member by a newer one, and
            # wait for a word of ours before it begins a new epoch.
            strangers = () if state.leader is not None else tuple(sorted(self._strangers))
            self._strangers.clear()
            self.greet((*state.membership.others(state.id), *strangers), now)

    def greet(self, to: Sequence[NodeId], now: int) -> None:
        """Say how this node is."""
        state = self.state
        leads = state.part is Part.LEADER
        hello = Hello(state.reaches(now), state.level, state.log.last, state.takes_part, leads)
        state.draft.tell_all(to, hello)

    def tell_former(self, stranger: Origin) -> None:
        """Who is in an epoch that ours came from hears that it is out, if our list is the one with
        which ours began, or a later one: what added it may have been lost by then."""
        state = self.state
        if state.log.term_at(state.commit) == state.term:
            self.tell_stranger(stranger)

    def tell_stranger(self, stranger: Origin) -> None:
        """Who does not belong, by what is committed here, hears so; perhaps it knows better."""
        state = self.state
        if state.membership.get(stranger.id) is None:
            self._strangers.add(stranger.id)
        index, membership = state.log.membership_at(state.commit)
        if membership.members and not membership.has(stranger):
            state.draft.tell_origin(stranger, Removed(index, state.ancestors))
