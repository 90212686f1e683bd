"""When failures make a node not ready, and successes ready again; and what each check says."""

from __future__ import annotations

import pytest

from tlru.node import checks
from tlru.node.checks import READ, WRITE, Check
from tlru.node.steadiness import FAILURES_MAX, SUCCESSES_MIN, Steadiness


def told(steady: Steadiness, outcomes: str) -> str:
    """What it says after each of these: + is ready, - is not."""
    return "".join("+" if steady.take(good=each == "+") else "-" for each in outcomes)


def test_the_first_success_of_all_makes_a_node_ready() -> None:
    assert told(Steadiness(), "---+") == "---+"


def test_it_takes_failures_in_a_row_to_be_not_ready_and_successes_to_be_ready_again() -> None:
    assert (FAILURES_MAX, SUCCESSES_MIN) == (2, 3)
    assert told(Steadiness(), "+-+-+-+") == "+++++++", "one failure alone sends nobody away"
    assert told(Steadiness(), "+--++-+++") == "++------+", "and one success brings nobody back"


@pytest.mark.parametrize(
    ("good", "bad", "decides"),
    [
        (checks.loop_lag(499.9), checks.loop_lag(500.0), {READ, WRITE}),
        (checks.probe("c", 3.0, ""), checks.probe("c", 3.0, "it was refused"), {WRITE}),
        (checks.lag("c", checks.LAG_MAX), checks.lag("c", checks.LAG_MAX + 1), {READ, WRITE}),
        (checks.lag("c", 0), checks.lag("c", None, "nobody said"), {READ, WRITE}),
        (
            checks.digest("c", 7, 1, agrees=True),
            checks.digest("c", 7, 1, agrees=False),
            {READ, WRITE},
        ),
        (checks.clock_error("c", 1_000), checks.clock_error("c", 1_001), {WRITE}),
        (checks.disk(""), checks.disk("the disk is full"), {WRITE}),
        (checks.room(checks.ROOM_MIN_BYTES), checks.room(checks.ROOM_MIN_BYTES - 1), set()),
        (checks.room(checks.ROOM_MIN_BYTES), checks.room(None), set()),
    ],
)
def test_each_check_has_a_bound_and_says_beyond_it_what_to_do(
    good: Check, bad: Check, decides: set[str]
) -> None:
    assert good.ok
    assert not bad.ok
    assert good.decides == bad.decides == decides
    assert not {"problem", "do"} & good.told().keys()
    assert all(bad.told()[name] for name in ("problem", "do"))
