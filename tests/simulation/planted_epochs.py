"""Faults in how an epoch begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from peers.core.epochs import Epochs, Opening
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
