"""Faults in how an epoch begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from peers.core.entry import Epoch, Origin
from peers.core.epochs import Epochs, Opening
from peers.core.following import Following
from peers.core.joining import Joining
from peers.core.log import Log
from peers.core.messages import Envelope, Probe, ProbeAnswer, Removed
from peers.core.output import Output
from peers.core.replica import Replica
from tests.simulation.planting import planted


@planted(
    "an epoch is opened when most have accepted it",
    scenario="a_cold_start_that_one_does_not_accept",
)
def opens_before_all_have_accepted() -> Iterator[None]:
    honest = Epochs._count

    def count(self: Epochs, opening: Opening, node: str, time: int) -> None:
        opening.accepted.add(node)
        if opening.membership.is_majority(opening.accepted):
            opening.accepted |= set(opening.membership.voters)
        honest(self, opening, node, time)

    with patch.object(Epochs, "_count", count):
        yield


@planted("a founder begins with those who are there", scenario="a_fresh_cluster")
def founds_without_the_others() -> Iterator[None]:
    honest = Epochs._found

    def found(self: Epochs, now: int) -> None:
        listed = self._founders
        self._founders = tuple(
            node for node in listed if node == self.state.id or node in self._fresh(now)
        )
        honest(self, now)
        self._founders = listed

    with patch.object(Epochs, "_found", found):
        yield


@planted(
    "who has dropped its log for the new epoch's counts at once", "power_cut", "crash", nodes=5
)
def counts_in_the_new_epoch_at_once() -> Iterator[None]:
    honest = Epochs._enter

    def enter(self: Epochs, *rest: Any, time: int) -> None:
        honest(self, *rest, time=time)
        entrance = self.state.draft.enter
        assert entrance is not None
        promise = replace(entrance.promise, whole=True)
        self.state.draft.enter = replace(entrance, promise=promise)

    with patch.object(Epochs, "_enter", enter):
        yield


@planted(
    "who has accepted an epoch enters it by its leader's word alone",
    scenario="an_epoch_whose_opener_fails_at_once",
)
def waits_for_the_opener() -> Iterator[None]:
    with patch.object(Epochs, "on_word_from", lambda self, epoch, now: None):
        yield


@planted(
    "who is led drops its state for an epoch that came from its own",
    scenario="a_revive_while_the_majority_was_only_cut_off",
)
def gives_way_while_it_is_led() -> Iterator[None]:
    honest = Epochs.on_other

    def on_other(
        self: Epochs, leader: Origin, epoch: Epoch, term: int, now: int, led: bool
    ) -> None:
        honest(self, leader, epoch, term, now, False)

    with patch.object(Epochs, "on_other", on_other):
        yield


@planted(
    "who hears from a later epoch that it is out believes it, though it is led",
    scenario="a_revive_while_the_majority_was_only_cut_off",
)
def believes_at_once_that_it_is_out() -> Iterator[None]:
    honest = Joining.on_removed

    def on_removed(self: Joining, epoch: Epoch, removed: Removed, alone_ms: int) -> None:
        honest(self, epoch, removed, 1 << 40)

    with patch.object(Joining, "on_removed", on_removed):
        yield


@planted(
    "a revived node forgets with whom it was to go on",
    scenario="a_revive_that_stops_at_once",
)
def forgets_who_was_named() -> Iterator[None]:
    with patch.object(Log, "name", lambda self, index, membership: None):
        yield


@planted(
    "a leader that probes is not heard from another epoch",
    scenario="a_revive_with_one_who_comes_late",
)
def probes_are_for_members_alone() -> Iterator[None]:
    honest = Replica.receive

    def receive(self: Replica, envelope: Envelope, now: int) -> Output:
        if isinstance(envelope.message, Probe) and envelope.epoch != self.state.epoch:
            return self.state.take_output()
        return honest(self, envelope, now)

    with patch.object(Replica, "receive", receive):
        yield


@planted(
    "a copy of a state directory takes itself for the one that it was copied from",
    scenario="a_state_directory_that_was_restored",
)
def copies_are_not_told() -> Iterator[None]:
    honest = Replica.receive

    def receive(self: Replica, envelope: Envelope, now: int) -> Output:
        return honest(self, envelope._replace(life=min(envelope.life, self.state.incarnation)), now)

    with patch.object(Replica, "receive", receive):
        yield


@planted(
    "who was taking itself out begins no epoch, though its log is the newest",
    scenario="a_leader_that_was_taking_itself_out",
)
def goes_by_its_own_list_alone() -> Iterator[None]:
    with patch.object(Epochs, "_members", lambda self: self.state.membership):
        yield


@planted(
    "a probe of a later term is answered in an earlier one",
    scenario="an_epoch_that_is_entered_by_a_greeting",
)
def stays_behind_a_probe() -> Iterator[None]:
    def on_probe(self: Following, leader: str, probe: Probe) -> None:
        self.state.draft.tell(leader, ProbeAnswer(self.state.term, probe.sent))

    with patch.object(Following, "on_probe", on_probe):
        yield
