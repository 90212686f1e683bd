"""Staying awake: for how long, and how soon it is given up where it is of no use."""

from __future__ import annotations

from collections.abc import Callable

from peers.awake import CREDIT_MAX, PROBE_EVERY, STAKE, Awake, Bets

STAY_S = 0.5


class Turns:
    """An event loop whose turns take as long as is said."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ready: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.ready.append(callback)

    def turn(self, seconds: float) -> bool:
        """One turn; False where the loop would have waited in the kernel instead."""
        self.now += seconds
        ready, self.ready = self.ready, []
        for callback in ready:
            callback()
        return bool(ready)

    def until_asleep(self, seconds: float) -> int:
        turns = 0
        while self.turn(seconds):
            turns += 1
        return turns


def waking(turns: Turns, stay_s: float = STAY_S) -> Awake:
    return Awake(turns, stay_s, lambda: turns.now)


def test_the_loop_turns_until_what_is_expected_has_come() -> None:
    turns = Turns()
    awake = waking(turns)
    awake.expect()
    assert all(turns.turn(0.1) for _ in range(4))
    awake.came()
    assert turns.until_asleep(0.1) == 1
    assert awake.bets.credit == CREDIT_MAX


def test_the_loop_turns_no_longer_than_a_stay() -> None:
    turns = Turns()
    awake = waking(turns)
    awake.expect()
    assert turns.until_asleep(0.125) == 4
    assert awake.bets.credit == CREDIT_MAX - STAKE


def test_a_further_expectation_lengthens_the_stay_and_adds_no_turns() -> None:
    turns = Turns()
    awake = waking(turns)
    awake.expect()
    turns.turn(0.25)
    awake.expect()
    assert len(turns.ready) == 1
    assert turns.until_asleep(0.125) == 4


def test_what_comes_again_before_the_next_turn_is_waited_for_again() -> None:
    turns = Turns()
    awake = waking(turns)
    awake.expect()
    awake.came()
    awake.expect()
    assert len(turns.ready) == 1
    assert turns.until_asleep(0.125) == 4


def test_nothing_is_stayed_awake_for_where_that_is_turned_off() -> None:
    turns = Turns()
    awake = waking(turns, stay_s=0)
    awake.expect()
    awake.came()
    assert turns.ready == []


def test_bets_that_are_lost_are_soon_not_made_any_more() -> None:
    turns = Turns()
    awake = waking(turns)
    for _ in range(CREDIT_MAX // STAKE):
        awake.expect()
        assert turns.until_asleep(0.1) > 0
    for _ in range(PROBE_EVERY - 1):
        awake.expect()
        assert turns.ready == []
    awake.expect()
    assert turns.until_asleep(0.1) > 0, "one is made now and then, to find out"


def test_a_bet_that_is_won_again_brings_more_of_them() -> None:
    bets = Bets()
    bets.credit = 0
    assert [bets.make() for _ in range(PROBE_EVERY)] == [False] * (PROBE_EVERY - 1) + [True]
    bets.end(won=True)
    assert all(bets.make() for _ in range(PROBE_EVERY))
