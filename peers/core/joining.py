"""How a node becomes a member, and hears that it is none any more.

Pure. A newcomer asks any member it knows of, is told who leads, and asks there until it is told at
which entry it was added. From then on it is in the cluster's epoch and follows like everybody else.

Who is removed may never see the entry that says so: nobody sends it anything. Any member tells it,
with the index of that entry; what is older than its own addition is not about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from peers.core.entry import Epoch
from peers.core.membership import NOBODY, Member, NodeId
from peers.core.messages import JoinAnswer, JoinAsk, Removed
from peers.core.state import State

CONTACTS_MAX: Final = 256  # are asked in turn; whoever became known first is forgotten first


class Joining:
    """One node's way in; idle where it belongs already."""

    def __init__(self, state: State, member: Member | None, contacts: Sequence[NodeId]) -> None:
        self.state = state
        self.refused = ""  # why it may not join, as the leader last said
        self.told = NOBODY  # who belongs, as whoever was asked last said: there they can be reached
        self._member = member  # what it would be
        self._contacts = list(contacts)
        self._leader: NodeId | None = None
        self._ask_at = 0

    def may_ask(self, node: NodeId) -> None:
        """One more whom it can ask."""
        if node not in self._contacts and node != self.state.id:
            self._contacts.append(node)
            del self._contacts[:-CONTACTS_MAX]

    def come_as(self, member: Member) -> None:
        """What it would be has changed; of use until it is a member."""
        if self._member is not None:
            self._member = member

    def tick(self, now: int) -> None:
        """Ask, and ask again, now this one and now that one."""
        state = self.state
        if self._member is None or self._has_list() or now < self._ask_at:
            return
        self._ask_at = now + state.timing.election_timeout_ms // 2
        to, self._leader = self._leader, None
        if to is None and self._contacts:
            to = self._contacts.pop(0)
            self._contacts.append(to)
        if to is not None and to != state.id:
            state.draft.tell(to, JoinAsk(self._member, state.level))

    def _has_list(self) -> bool:
        """Whether it was added, and has heard from the log who else belongs: until then what added
        it may be lost, with all who knew of it."""
        return self.state.added is not None and bool(self.state.membership.members)

    def on_answer(self, sender: NodeId, answer: JoinAnswer, now: int) -> None:
        """A member says how far that is."""
        state = self.state
        if self._member is None or self._has_list():
            return
        self.refused = answer.refused
        self.told = answer.members
        if answer.index and answer.epoch == state.epoch:
            state.added = answer.index
        elif answer.index and (state.epoch.is_none or answer.epoch.number > state.epoch.number):
            state.epoch, state.added = answer.epoch, answer.index
            state.promise()
        elif answer.leader is not None and not answer.refused:
            if answer.leader != sender:
                self._ask_at = now  # not where we have just asked in vain
            self._leader = answer.leader

    def on_removed(self, epoch: Epoch, removed: Removed, alone_ms: int) -> None:
        """A member's list lacks us: of our epoch, or of one that came from it. That epoch may have
        been opened by mistake while ours lives on: as long as we are not alone, it is of no
        concern."""
        ours = self.state.epoch
        given_up = alone_ms >= self.state.timing.cold_start_wait_ms
        if epoch == ours:
            self._on_lacking(removed.index)
        elif ours.random in removed.ancestors and given_up and self._has_list():
            self._leave()  # at whatever index: our addition may have been lost with the old epoch

    def look(self) -> None:
        """Whether the list that is committed has us."""
        state = self.state
        since, membership = state.log.membership_at(state.commit)
        if membership.has(state.origin):
            state.added = max(since, state.added or 0)
        else:
            self._on_lacking(since)

    def _on_lacking(self, index: int) -> None:
        """The list at this index lacks us: where that is later than our addition, we are out."""
        if self.state.added is not None and index > self.state.added:
            self._leave()

    def _leave(self) -> None:
        state = self.state
        if state.added is not None and not state.removed:
            state.removed = True
            state.promise()
