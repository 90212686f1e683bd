"""Faults in who belongs: changes that overlap, births that are mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

from peers.core.changes import Changing
from peers.core.joining import Joining
from peers.core.membership import Member, Role
from peers.core.messages import Envelope, Removed
from peers.core.output import Output, Promise
from peers.core.replica import Replica
from tests.simulation.disk import Disk
from tests.simulation.planting import planted
from tests.simulation.world import EPOCH, World


@planted(
    "a leader changes who belongs before an entry of its own term is committed",
    scenario="the_single_server_bug",
)
def changes_before_its_first_entry() -> Iterator[None]:
    with patch.object(Changing, "refusal", lambda self: None):
        yield


@planted("the old birth goes and the new one comes in one entry", "replace")
def swaps_births_in_one_entry() -> Iterator[None]:
    honest = Changing._let_in

    def let_in(self: Changing, member: Member, there: Member | None, now: int) -> None:
        if there is None:
            honest(self, member, there, now)
        elif self.refusal() is None:
            swapped = replace(member, role=Role.OBSERVER, joining=member.role is Role.VOTER)
            self._leading.enter_membership(self.state.membership.with_member(swapped), now)

    with patch.object(Changing, "_let_in", let_in):
        yield


@planted(
    "a node that has lost everything takes itself for the one that it was",
    scenario="a_wiped_node_and_its_old_vote",
)
def takes_itself_for_the_old_birth() -> Iterator[None]:
    def wiped(self: World, id: str) -> None:
        node = self.nodes[id]
        birth = node.origin.birth
        node.crash()
        node.disk = Disk(Promise(EPOCH, birth, 0, 0, None), self.membership)

    with patch.object(World, "replace", wiped):
        yield


@planted(
    "a feature level is put in force before every member can apply it",
    scenario="a_level_that_one_cannot_apply",
)
def raises_the_level_too_early() -> Iterator[None]:
    def raise_level(self: Changing, level: int, now: int) -> None:
        self.enter(replace(self.state.membership, level=level), now)

    with patch.object(Changing, "raise_level", raise_level):
        yield


@planted("who was removed never learns of it", "remove")
def never_learns_of_its_removal() -> Iterator[None]:
    with patch.object(Joining, "on_removed", lambda self, *it: None):
        yield


@planted(
    "a late question lets in again who was taken out",
    scenario="a_question_that_comes_after_the_removal",
)
def lets_in_who_was_taken_out() -> Iterator[None]:
    with patch.object(Changing, "_was_in", lambda self, sender: None):
        yield


@planted("a voter that has no state directory any more is waited for, not replaced", "replace")
def waits_for_who_is_gone() -> Iterator[None]:
    with patch.object(Changing, "_is_heard", lambda self, there, now: True):
        yield


@planted(
    "what was said to one who had a name is heard by the one who has it now",
    scenario="a_late_word_of_who_had_the_name",
)
def hears_what_was_said_to_another() -> Iterator[None]:
    honest = Replica.receive

    def receive(self: Replica, envelope: Envelope, now: int) -> Output:
        if isinstance(envelope.message, Removed):
            envelope = envelope._replace(birth=self.state.birth)
        return honest(self, envelope, now)

    with patch.object(Replica, "receive", receive):
        yield
