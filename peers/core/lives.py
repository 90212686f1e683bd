"""Which life of its sender, and of this node, a message belongs to.

Pure. A member begins another life with every start, and another birth with every state directory.
What comes late from a life that is over counts for nothing, and what was meant for an earlier one
of ours answers questions that this one has not asked.
"""

from __future__ import annotations

from typing import Final

from peers.core.messages import Append, Envelope
from peers.core.output import UNKNOWN, Life
from peers.core.state import State

KNOWN_MAX: Final = 1_024  # nodes of which it is known; of more, strangers are forgotten


class Lives:
    """What one node knows of the lives of the others."""

    def __init__(self, state: State) -> None:
        self.state = state

    def note(self, envelope: Envelope) -> None:
        """This is the life of its sender that we talk to, unless our list has another one in its
        place. Who leads is in that place by now, though our list may be too old to say so: if what
        we answer went to the former one, the leader would never hear how far behind we are."""
        sender, message = envelope.sender, envelope.message
        lives, membership = self.state.lives, self.state.membership
        leads = isinstance(message, Append) and message.term >= self.state.term
        if not (leads or membership.has(sender) or membership.get(sender.id) is None):
            return
        if lives.get(sender.id) != (sender.birth, envelope.incarnation):
            if len(lives) >= KNOWN_MAX and sender.id not in lives:
                self._forget_strangers()
            lives[sender.id] = Life(sender.birth, envelope.incarnation)

    def _forget_strangers(self) -> None:
        lives, membership = self.state.lives, self.state.membership
        for node in [node for node in lives if membership.get(node) is None]:
            del lives[node]

    def is_over(self, envelope: Envelope) -> bool:
        """Whether its sender has begun another life since: as we have heard, or by the log."""
        state, sender = self.state, envelope.sender
        if sender.id not in state.lives:
            incarnation, _ = state.log.vector.of(sender)
            if envelope.incarnation < incarnation:
                state.lives[sender.id] = Life(sender.birth, incarnation)
        birth, newest = state.lives.get(sender.id, UNKNOWN)
        return birth == sender.birth and envelope.incarnation < newest

    def is_for_another(self, envelope: Envelope) -> bool:
        """Whether it was meant for a life of ours that is over, or for one who had our name: it
        would answer what we have not asked in this one."""
        state = self.state
        return envelope.birth not in ("", state.birth) or 0 < envelope.life < state.incarnation
