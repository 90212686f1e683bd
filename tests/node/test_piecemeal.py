"""Long work in pieces: a step at a time, by the clock that the test holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.running import run, until
from tlru.node.piecemeal import PIECE_S, Piecemeal


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tlru.node.piecemeal.clock", clock)
    return clock


def test_what_is_short_is_done_at_once_and_what_is_long_lets_others_in_between(
    clock: Clock,
) -> None:
    done: list[int] = []
    over: list[int] = []
    step_s = PIECE_S / 10

    def work() -> Iterator[None]:
        for number in range(25):
            done.append(number)
            clock.now += step_s
            yield

    async def test() -> None:
        nonlocal step_s
        piecemeal = Piecemeal(work, lambda: over.append(len(done)))
        piecemeal.begin()
        assert 10 <= len(done) <= 11
        assert piecemeal.under_way
        piecemeal.begin()
        assert len(done) <= 11, "it is under way"
        await until(lambda: over)
        assert (done, over) == (list(range(25)), [25])
        step_s = PIECE_S / 100
        piecemeal.begin()
        assert over == [25, 50]
        assert not piecemeal.under_way

    run(test())


def test_what_is_stopped_does_not_go_on(clock: Clock) -> None:
    async def test() -> None:
        steps = 0

        def work() -> Iterator[None]:
            nonlocal steps
            while True:
                steps += 1
                clock.now += PIECE_S
                yield

        piecemeal = Piecemeal(work)
        piecemeal.begin()
        await until(lambda: steps > 3)
        piecemeal.stop()
        before = steps
        await asyncio.sleep(0.02)
        assert steps == before
        assert not piecemeal.under_way

    run(test())


def test_work_that_fails_is_told_and_can_be_begun_again(clock: Clock) -> None:
    async def test() -> None:
        begun = ended = 0

        def work() -> Iterator[None]:
            nonlocal begun
            begun += 1
            yield
            raise KeyError

        def over() -> None:
            nonlocal ended
            ended += 1

        piecemeal = Piecemeal(work, over)
        for _ in range(2):
            with pytest.raises(KeyError):
                piecemeal.begin()
        assert (begun, ended) == (2, 2)

    run(test())
