"""How a node that lost some of what it promised to keep comes back.

Pure. Such a node neither votes nor counts: a majority that leans on it could lose what it
acknowledged. It asks for a leader of its own term or a later one, takes that leader's log up to
where it ended when the question came, and then counts again: whatever this node once acknowledged
is in there. One leader's word is enough.
"""

from __future__ import annotations

from peers.core.membership import NodeId
from peers.core.messages import Recover, RecoverAnswer
from peers.core.origin import Origin
from peers.core.state import State


class Recovery:
    """One node's way back; idle where nothing was lost."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._number = 0
        self._through: int | None = None  # once our log holds this of the leader's, we count
        self._term = 0  # in which that was said
        self._ask_at = 0

    def tick(self, now: int) -> None:
        """Ask, and ask again."""
        state = self.state
        if state.counts or self._through is not None or now < self._ask_at:
            return
        self._ask_at = now + state.timing.heartbeat_ms * 2
        self._number += 1
        # Who leads may have come after the list that we have was written.
        others = {*state.membership.others(state.id), state.leader or state.id} - {state.id}
        state.draft.tell_all(sorted(others), Recover(self._number, state.term))

    def on_answer(self, answer: RecoverAnswer) -> None:
        """A leader says how far its log went when it heard the question."""
        state = self.state
        if state.counts or answer.number != self._number or answer.term < state.term:
            return
        self._through, self._term = answer.through, answer.term
        self.look()

    def _origin_of(self, leader: NodeId) -> Origin | None:
        """Nobody else is to have our vote in the term of whoever gave us back what we lacked: in
        the first term of an epoch it leads without having asked for votes."""
        member = self.state.membership.get(leader)
        return None if member is None else member.origin

    def look(self) -> None:
        """Count again, if the log holds what has to be in it."""
        state = self.state
        if state.counts or self._through is None:
            return
        if state.term != self._term:
            self._through = None  # its leader is out of office: ask the next one
        elif min(state.agreed, state.stored) >= self._through:
            state.counts = True
            if state.vote is None and state.leader is not None:
                state.vote = self._origin_of(state.leader)
            state.promise()  # only then: who fails on the way is on the way again afterwards
