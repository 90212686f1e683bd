"""Requests that run out of time are found in time, and no other ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tlru.client.deadlines import SLACK_S, Deadlines


@dataclass
class Waiting:
    """Somebody who waits until a deadline."""

    deadline: float
    answered: bool = False
    told: float | None = None

    def settled(self) -> bool:
        return self.answered or self.told is not None


def test_nothing_is_watched_at_first() -> None:
    assert Deadlines().due == math.inf


def test_the_earliest_deadline_is_the_next_look() -> None:
    deadlines = Deadlines()
    assert deadlines.watch(5) == 5
    assert deadlines.watch(3) == 3
    assert deadlines.watch(4) == 3


def test_a_look_finds_what_is_due_in_every_part() -> None:
    early, late, answered = Waiting(1), Waiting(9), Waiting(1, answered=True)
    other = Waiting(2)
    deadlines = Deadlines()
    deadlines.look(now=2)
    assert deadlines.overdue(2, [early, late, answered]) == [early]
    assert deadlines.overdue(2, [other]) == [other]
    assert deadlines.due == 9


def test_looks_keep_a_distance() -> None:
    """A thousand deadlines in a row cost a few walks, not a thousand."""
    deadlines = Deadlines()
    deadlines.look(now=10)
    deadlines.overdue(10, [Waiting(10.0001)])
    assert deadlines.due == 10 + SLACK_S


times = st.floats(0, 3, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(st.sampled_from(["ask", "answer", "pass"]), times), max_size=80))
def test_none_is_told_early_and_none_later_than_the_slack(steps: list[tuple[str, float]]) -> None:
    """A timer that fires exactly when told is enough, whatever is asked, answered and forgotten."""
    deadlines = Deadlines()
    now = 0.0
    waiting: list[Waiting] = []

    def run_until(end: float) -> None:
        nonlocal now
        while deadlines.due <= end:
            now = max(now, deadlines.due)
            deadlines.look(now)
            for each in deadlines.overdue(now, waiting):
                each.told = now
        now = max(now, end)

    for what, amount in steps:
        if what == "pass":
            run_until(now + amount)
        elif what == "ask":
            waiting.append(Waiting(now + amount))
            deadlines.watch(now + amount)
        elif waiting:
            waiting[int(amount * 1000) % len(waiting)].answered = True
    run_until(now + 10)
    for each in waiting:
        assert each.told is not None or each.answered, "somebody waits for ever"
        if each.told is not None:
            assert each.deadline <= each.told <= each.deadline + SLACK_S + 1e-9
