"""What is recorded of real clients is judged, and a lie in it is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.integration.history import History
from tests.integration.recorder import recording
from tests.running import a_node, run
from tests.simulation.histories import Did, Outcome
from tests.simulation.linearizability import Call, Kind


def a_true_history() -> tuple[History, dict[str, int | None]]:
    """What clients did with a real node, and what it held in the end."""

    async def scenario() -> tuple[History, dict[str, int | None]]:
        async with a_node() as node, recording(node.url, clients=3, warm=60) as recorder:
            await recorder.more(1)
        assert recorder.errors == []
        return recorder.history, recorder.finals

    return run(scenario())


@pytest.fixture(scope="module")
def true() -> tuple[History, dict[str, int | None]]:
    return a_true_history()


def copy(history: History) -> History:
    found = History(list(history.calls))
    for session, seen in history.observations.items():
        found.observations[session] = list(seen)
    return found


def read_of_a_write(history: History) -> tuple[Call, Call]:
    """A register's write that nobody else did, and a read that saw it."""
    for write in history.calls:
        for read in history.calls:
            if write.kind is Kind.SET and read.kind is Kind.GET and read.result == write.argument:
                return write, read
    raise AssertionError("nobody read what was written")


def forget_a_write(history: History) -> None:
    history.calls.remove(read_of_a_write(history)[0])


def read_too_late(history: History) -> None:
    """What was overwritten long ago is read once more, at the end."""
    _, read = read_of_a_write(history)
    end = max(call.returned or 0 for call in history.calls)
    end_of_all = replace(read, invoked=end + 1, returned=end + 2)
    over = Call("x", 1, Kind.SET, read.key, "over", end - 1, end, Outcome.DONE)
    history.calls += [over, end_of_all]


def forget_an_increment(history: History) -> None:
    history.calls.remove(next(call for call in history.calls if call.kind is Kind.INCR))


def count_twice(history: History) -> None:
    call = next(call for call in history.calls if call.kind is Kind.INCR)
    history.calls.append(replace(call, number=10**6))


def apply_a_condition_twice(history: History) -> None:
    """Two clients are told that they were the only one to change a version."""
    call = next(c for c in history.calls if c.kind is Kind.INCR and "chain" in c.key)
    history.calls.append(replace(call, process="another"))


def go_back(history: History) -> None:
    """A session's two sights of a key, which differ, in the other order."""
    for seen in history.observations.values():
        for at, first in enumerate(seen):
            for later, second in enumerate(seen[at + 1 :], at + 1):
                alike = first.key == second.key and 0 < first.version < second.version
                if alike and Did.READ is first.did is second.did:
                    seen[at], seen[later] = replace(second, minimum=0), replace(first, minimum=0)
                    return
    raise AssertionError("nobody has seen a change")


def answer_from_before(history: History) -> None:
    """A read is answered by a node that is not as far as its asker."""
    seen = next(iter(history.observations.values()))
    at = next(at for at, each in enumerate(seen) if each.minimum)
    seen[at] = replace(seen[at], minimum=seen[at].pos + 1)


def test_what_is_true_passes(true: tuple[History, dict[str, int | None]]) -> None:
    history, finals = true
    assert history.judge(finals) == []
    kinds = {call.kind for call in history.calls}
    assert kinds == set(Kind), "everything was tried"


@pytest.mark.parametrize(
    "lie",
    [
        forget_a_write,
        read_too_late,
        forget_an_increment,
        count_twice,
        apply_a_condition_twice,
        go_back,
        answer_from_before,
    ],
)
def test_a_lie_is_found_out(
    true: tuple[History, dict[str, int | None]], lie: Callable[[History], None]
) -> None:
    history, finals = copy(true[0]), true[1]
    lie(history)
    assert history.judge(finals) != []
