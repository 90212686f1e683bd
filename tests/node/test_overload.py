"""The controller of overload, under a virtual clock: no node, no waiting."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.node.overload import HALVED, LAG_S_MAX, LEAST, REGAINED, TICK_S, Overload, Strain

WELL = Strain()
ALL_ASK = (10, 10, 10)
BULK_SUFFERS = Strain(lag_s=LAG_S_MAX[2] * 2)
ALL_SUFFER = Strain(lag_s=LAG_S_MAX[0] * 2)

strains = st.builds(Strain, *[st.floats(0, 5)] * 3)
asks = st.tuples(*[st.integers(0, 100)] * 3)


def test_the_least_important_rank_is_refused_first_and_alone() -> None:
    overload = Overload()
    overload.step(BULK_SUFFERS, ALL_ASK)
    assert overload.shares == [1.0, 1.0, HALVED]
    for _ in range(100):
        overload.step(BULK_SUFFERS, ALL_ASK)
    assert overload.shares == [1.0, 1.0, LEAST[2]]


def test_the_next_rank_is_refused_once_the_one_below_has_nothing_to_lose() -> None:
    overload, lost = Overload(), []
    for _ in range(200):
        before = list(overload.shares)
        overload.step(ALL_SUFFER, ALL_ASK)
        lost += [rank for rank in range(3) if overload.shares[rank] < before[rank]]
    assert lost == sorted(lost, reverse=True)
    assert set(lost) == {0, 1, 2}
    assert overload.shares == list(LEAST)


def test_a_rank_that_asks_for_nothing_protects_nobody() -> None:
    overload = Overload()
    for _ in range(6):
        overload.step(ALL_SUFFER, (10, 10, 0))
    assert overload.shares[1] < 1


def test_it_comes_back_little_by_little_and_wholly() -> None:
    overload = Overload()
    for _ in range(50):
        overload.step(BULK_SUFFERS, ALL_ASK)
    ticks = 0
    while overload.refuses:
        before = overload.shares[2]
        overload.step(WELL, ALL_ASK)
        ticks += 1
        assert before < overload.shares[2] <= before + REGAINED + 1e-9
    assert ticks * TICK_S == pytest.approx(2.5, abs=0.1)


@given(st.lists(st.tuples(strains, asks), max_size=80))
def test_whatever_is_measured_the_bounds_hold(
    measured: list[tuple[Strain, tuple[int, ...]]],
) -> None:
    overload = Overload()
    for strain, asked in measured:
        overload.step(strain, asked)
        overload.check()
        assert overload.refuses == (min(overload.shares) < 1)


@given(st.lists(st.tuples(strains, asks), max_size=40), st.floats(0, 5))
def test_more_strain_never_gives_more(
    measured: list[tuple[Strain, tuple[int, ...]]], more: float
) -> None:
    """Monotone: of two nodes with the same past, the one that suffers more lets no more in."""
    one, other = Overload(), Overload()
    for strain, asked in measured:
        one.step(strain, asked)
        other.step(strain, asked)
    last = Strain(1.0, 0.5, 0.5)
    one.step(last, (0, 0, 1))
    other.step(Strain(last.lag_s + more, last.backlog, last.memory), (0, 0, 1))
    assert other.shares[2] <= one.shares[2]


def test_of_a_hundred_as_many_are_let_in_as_the_share_says_and_evenly() -> None:
    overload = Overload()
    overload.shares[2] = 0.25
    let_in = [overload.admits(2) for _ in range(100)]
    assert let_in == [False, False, False, True] * 25


@dataclass
class Server:
    """Can do so much in a second; what is let in beyond that makes its turns late."""

    can_s: float
    overload: Overload = field(default_factory=Overload)
    queue: float = 0.0

    def tick(self, offered_s: tuple[float, float, float]) -> float:
        """One tick; what of the least important was let in, in a second."""
        shares = self.overload.shares
        let_in = [each * share * TICK_S for each, share in zip(offered_s, shares, strict=True)]
        self.queue = max(0.0, self.queue + sum(let_in) - self.can_s * TICK_S)
        asked = tuple(round(each * TICK_S) for each in offered_s)
        self.overload.step(Strain(lag_s=self.queue / self.can_s), asked)
        return let_in[2] / TICK_S


def test_under_five_times_what_it_can_do_it_settles_where_it_is_busy_and_on_time() -> None:
    """The lesser class gets what is left, neither nothing nor all, and the better one is whole."""
    server = Server(can_s=10_000)
    bulk, lags = [], []
    for tick in range(1_200):
        got = server.tick((1_000, 0, 50_000))
        if tick >= 200:
            bulk.append(got)
            lags.append(server.queue / server.can_s)
    assert server.overload.shares[:2] == [1.0, 1.0]
    assert min(bulk) > 0
    assert 5_000 < sum(bulk) / len(bulk) <= 9_500
    assert max(lags) < 0.05
    for _ in range(60):
        server.tick((1_000, 0, 5_000))
    assert not server.overload.refuses
