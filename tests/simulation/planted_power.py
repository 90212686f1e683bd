"""Faults in what comes after a power cut, in the time after a stop, and in feature levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from unittest.mock import PropertyMock, patch

from peers.core.changes import Changing
from peers.core.entry import Position
from peers.core.epochs import Epochs
from peers.core.greeting import Greeting
from peers.core.log import Log
from peers.core.messages import EpochPropose, Hello
from peers.core.office import Office
from peers.core.state import State
from tests.simulation import node
from tests.simulation.disk import Disk
from tests.simulation.planting import planted
from tlru.engine.locks import Held, Locks


@planted("after a power cut a node takes what is left of its log for all of it", "unplug", "crash")
def takes_itself_for_whole() -> Iterator[None]:
    honest = Disk.lose_power

    def lose_power(self: Disk, random: Random, now: int, *, all_of_it: bool) -> None:
        honest(self, random, now, all_of_it=True)
        self.damaged = False

    with patch.object(Disk, "lose_power", lose_power):
        yield


@planted("a new epoch goes on from whichever log", "blackout", nodes=5)
def opens_from_an_older_log() -> Iterator[None]:
    honest = Epochs.on_propose

    def on_propose(
        self: Epochs, sender: str, proposal: EpochPropose, now: int, in_touch: bool
    ) -> None:
        honest(self, sender, replace(proposal, last=Position(1 << 30, 1 << 30)), now, in_touch)

    def has_the_newest(self: Epochs, said: dict[str, Hello]) -> bool:
        return all(hello.last >= self.state.log.last for hello in said.values())

    with (
        patch.object(Epochs, "on_propose", on_propose),
        patch.object(Epochs, "_has_the_newest", has_the_newest),
    ):
        yield


@planted("fences are counted on from what is left of the log", "blackout")
def counts_fences() -> Iterator[None]:
    def take(self: Locks, name: str, ttl: int, at: int) -> Held:
        self.last_fence += 1
        held = Held(name, self.last_fence, at + ttl)
        self._hold(held)
        return held

    with patch.object(Locks, "take", take):
        yield


@planted("where only strangers speak nobody answers", scenario="one_who_has_missed_a_voter")
def greets_only_whom_it_knows() -> Iterator[None]:
    honest = Greeting.tick

    def tick(self: Greeting, now: int) -> None:
        self._strangers.clear()
        honest(self, now)

    with patch.object(Greeting, "tick", tick):
        yield


@planted("after a stop the time follows a wall clock that was set back", "wall_jump")
def follows_the_wall_back() -> Iterator[None]:
    def resume_from(cluster_ms: int, stored_wall_ms: int, wall_ms: int, age_ms: int) -> int:
        return max(0, cluster_ms + wall_ms - stored_wall_ms)

    with patch.object(node, "resume_from", resume_from):
        yield


@planted("a stop takes no time at all by a wall clock that was set back", "wall_jump", "blackout")
def forgets_how_old_a_note_is() -> Iterator[None]:
    with patch.object(node, "NOTE_AGE_MS", 0):
        yield


@planted("a new leader goes by the wall clock though others know the time", "wall_jump", "crash")
def goes_by_the_wall() -> Iterator[None]:
    honest = Office._time_to_go_on_from

    def time_to_go_on_from(self: Office, now: int) -> int:
        return max(honest(self, now), self.state.resumed, *self._election.resumed)

    with patch.object(Office, "_time_to_go_on_from", time_to_go_on_from):
        yield


@planted(
    "a node applies what is above its feature level", "take_back", "upgrade", "raise_level", nodes=5
)
def applies_what_it_cannot() -> Iterator[None]:
    with patch.object(Log, "last_below", lambda self, level, through: through):
        yield


@planted(
    "a node stands that cannot apply what is in force",
    scenario="a_release_that_is_taken_back_does_not_lead",
)
def stands_without_the_level() -> Iterator[None]:
    with patch.object(State, "can_apply_all", PropertyMock(return_value=True)):
        yield


@planted(
    "what the former node of a name could apply is counted for the present one",
    scenario="a_level_that_only_the_former_one_could_apply",
)
def counts_the_former_level() -> Iterator[None]:
    def levels(self: Changing) -> dict[str, int]:
        said = {origin.id: level for origin, level in self.state.levels.items()}
        others = self.state.membership.others(self.state.id)
        return {id: said.get(id, 0) for id in others}

    with patch.object(Changing, "_levels", levels):
        yield
