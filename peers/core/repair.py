"""How a state that is not the majority's is replaced.

Pure. Which digest the majority has stands in the checkpoints; the application compares. A node that
differs refuses requests, keeps its log, and takes the state of whoever leads; a leader lets another
lead first.
"""

from __future__ import annotations

from peers.core.following import Following
from peers.core.forwarding import Forwarding
from peers.core.messages import Checked, Restored
from peers.core.recovery import Recovery
from peers.core.replication import Leading
from peers.core.state import State
from peers.core.syncing import Giving, Taking


class Repair:
    """One node's state, as far as it is to be trusted."""

    def __init__(
        self,
        state: State,
        taking: Taking,
        giving: Giving,
        following: Following,
        forwarding: Forwarding,
        recovery: Recovery,
    ) -> None:
        self.state = state
        self._taking, self._giving = taking, giving
        self._following, self._forwarding = following, forwarding
        self._recovery = recovery

    def on_checked(self, checked: Checked) -> None:
        """A digest that is not the majority's: the state is not to be used any more."""
        state = self.state
        state.noted = checked.noted
        if not checked.agrees and state.intact:
            state.intact = False
            self._giving.close_all()

    def tick(self, leading: Leading | None, now: int) -> None:
        """Replace a state that is not to be trusted.

        What was found wrong by an older checkpoint may be what the majority has by the newest: then
        those whose digest that was have replaced their states since, and ours is what they have.
        """
        state = self.state
        if state.intact:
            return
        if leading is None:
            if state.leader is not None and self._following.in_touch(now):
                self._taking.begin(state.leader, now)
        elif state.noted is not None and state.noted == leading.digests.agreed():
            state.trust()
        elif leading.transfer_to is None:
            leading.hand_over_to_next(now)

    def on_restored(self, restored: Restored) -> None:
        """A snapshot is complete and kept: it takes the place of the state, if it may."""
        base = self._taking.on_restored(restored)
        if base is not None:
            self._giving.close_all()  # they are of the state that is gone
            self._following.lacks = False
            self._forwarding.on_passed_over(base.vector)
            self._recovery.look()
