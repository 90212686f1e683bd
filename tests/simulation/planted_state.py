"""Faults in what keeps states the same and the log short: snapshots, windows, digests, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

from peers.core import following
from peers.core.base import Base
from peers.core.digests import Digests
from peers.core.election import Election
from peers.core.following import Following
from peers.core.messages import Append, Checked, Noted, Piece, SnapshotPiece
from peers.core.office import Office
from peers.core.output import Install
from peers.core.repair import Repair
from peers.core.state import State
from peers.core.syncing import Giving
from tests.simulation.node import Node
from tests.simulation.planting import planted

# -- snapshots


@planted(
    "what a node has is dropped as soon as the first piece of a snapshot is there",
    scenario="whoever_gives_a_snapshot_fails",
)
def replaces_before_it_is_complete() -> Iterator[None]:
    honest = Node._take

    def take(self: Node, piece: SnapshotPiece) -> None:
        self.disk.begin(piece.base)
        self.disk.snapshot = None
        honest(self, piece)

    with patch.object(Node, "_take", take):
        yield


@planted("a snapshot says how far the log is when it is sent, not when it was begun", nodes=3)
def takes_the_vector_at_the_end() -> Iterator[None]:
    honest = Giving.on_piece

    def on_piece(self: Giving, piece: Piece) -> None:
        now = self.state.log.base_at(self.state.applied)
        for session in self._sessions.values():
            if now is not None:
                session.base = replace(session.base, vector=now.vector)
        honest(self, piece)

    with patch.object(Giving, "on_piece", on_piece):
        yield


@planted("a snapshot is installed, whatever was committed since", scenario="a_stale_snapshot")
def installs_what_is_stale() -> Iterator[None]:
    def install(self: State, number: int, base: Base) -> bool:
        self.log.begin(base)
        index = base.position.index
        self.commit = self.applied = self.stored = self.agreed = index
        self.draft.install = Install(number, base, keeps_log=False)
        return True

    with patch.object(State, "install", install):
        yield


# -- the window


@planted("whoever lacks the entry just before the window is told that it is in it")
def is_off_by_one_at_the_edge() -> Iterator[None]:
    honest = Following._disagree

    def disagree(self: Following, leader: str, append: Append, now: int) -> None:
        honest(self, leader, append._replace(since=append.since - 1), now)

    with patch.object(Following, "_disagree", disagree):
        yield


# -- digests


@planted("the leader's own digest is believed, not the majority's", "corrupt")
def believes_its_own_digest() -> Iterator[None]:
    def agreed(self: Digests) -> Noted | None:
        return self._state.noted

    with patch.object(Digests, "agreed", agreed):
        yield


@planted(
    "a node whose state is not the majority's goes on serving it",
    scenario="a_leader_whose_state_is_corrupt",
)
def serves_what_is_corrupt() -> Iterator[None]:
    honest = Repair.on_checked

    def on_checked(self: Repair, checked: Checked) -> None:
        honest(self, replace(checked, agrees=True))

    with patch.object(Repair, "on_checked", on_checked):
        yield


# -- clocks


@planted("a leader's time is taken, however far ahead it is", scenario="a_leader_whose_clock_leaps")
def takes_any_time() -> Iterator[None]:
    with patch.object(Following, "_is_ahead", lambda self, append, now: False):
        yield


@planted(
    "a new leader takes the highest clock of its voters, believed or not",
    scenario="a_voter_whose_clock_leaps",
)
def believes_any_vote() -> Iterator[None]:
    def highest(self: Office, now: int) -> int:
        clocks = [clock for clock, _ in self._election.clocks]
        return max([self.state.log.last_at, self.state.clock.running(now), *clocks])

    with patch.object(Office, "_time_to_go_on_from", highest):
        yield


@planted(
    "whoever took a snapshot since the last checkpoint is given no other to note",
    scenario="a_right_state_that_noted_nothing",
)
def gives_nothing_to_note() -> Iterator[None]:
    def lacks_one(self: Digests, now: int) -> bool:
        return False

    with patch.object(Digests, "lacks_one", lacks_one):
        yield


@planted(
    "what an older checkpoint called wrong is wrong for good",
    scenario="a_checkpoint_that_names_what_nobody_has",
)
def never_trusts_again() -> Iterator[None]:
    def trust(self: State) -> None:
        return

    with patch.object(State, "trust", trust):
        yield


@planted(
    "nobody stands whose state is not trusted, even where nobody's is",
    scenario="nobody_has_what_is_named_and_the_leader_fails",
)
def nobody_stands_untrusted() -> Iterator[None]:
    def is_nobody_able(self: Election, now: int) -> bool:
        return False

    with patch.object(Election, "_is_nobody_able", is_nobody_able):
        yield


@planted(
    "a leader's time that is refused is refused for ever",
    scenario="half_of_them_hold_entries_of_a_wrong_time",
)
def refuses_for_ever() -> Iterator[None]:
    with patch.object(following, "PATIENCE", 1 << 40):
        yield
