"""Which servers there are, which is next, and when another is better."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.client.cache import connect
from tlru.client.choosing import BREAK_AFTER, BREAK_S
from tlru.client.nearness import NOISE_S
from tlru.client.server import Server, complete_url, named
from tlru.client.servers import LEARNED_MAX, MEASURED_MAX, ROUNDS, Servers
from tlru.errors import REFUSING_STATUSES, BadRequest

A, B, C = "ws://a:8400/ws", "ws://b:8400/ws", "wss://c/ws"


def made(*servers: str | Server, seed: int = 1, **own: str) -> Servers:
    """The servers of a client that was told these."""
    return Servers(named(servers, "default"), "default", chance=random.Random(seed).random, **own)


def entry(url: str, **told: Any) -> dict[str, Any]:
    """A server as a cluster tells of it."""
    return {"url": url, "id": url, "status": "active", **told}


def order(servers: Servers, now: float = 0.0) -> list[str]:
    """All of them, as they would be tried."""
    found = []
    for _ in range(len(servers)):
        found.append(servers.next(now))
        servers.failed(found[-1], "x", now)
    return found


def rounds(servers: Servers, count: int, trips: dict[str, float | None]) -> str | None:
    """So many rounds of measurements; where to move after the last."""
    better = None
    for now in range(count):
        for url, seconds in trips.items():
            servers.measured(url, seconds, now)
        better = servers.better(now)
    return better


# -- addresses


@pytest.mark.parametrize(
    ("given", "cache", "complete"),
    [
        ("ws://a:8400", "default", "ws://a:8400/ws"),
        ("ws://a:8400/", "default", "ws://a:8400/ws"),
        ("wss://a", "default", "wss://a/ws"),
        ("ws://a", "big", "ws://a/ws?cache=big"),
        ("ws://a/tlru/ws?x=1", "a b&c", "ws://a/tlru/ws?x=1&cache=a%20b%26c"),
        ("ws://a/ws?cache=own", "big", "ws://a/ws?cache=own"),
        ("ws://[::1]:8400", "default", "ws://[::1]:8400/ws"),
    ],
)
def test_an_address_is_completed(given: str, cache: str, complete: str) -> None:
    assert complete_url(given, cache) == complete
    assert complete_url(complete, cache) == complete


@pytest.mark.parametrize(
    "url",
    [
        "a:8400",
        "http://a:8400",
        "localhost",
        "",
        "ws://",
        "ws://a:99999",
        "ws://me:secret@a:8400",
        "ws://a/ws#here",
    ],
)
def test_a_mistyped_address_is_told_at_once(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        complete_url(url, "default")
    assert "secret" not in str(caught.value)
    with pytest.raises(BadRequest):
        connect(Server(url))


def test_without_addresses_it_is_the_usual_one() -> None:
    assert "ws://127.0.0.1:8400/ws" in repr(connect())
    assert "/etc/servers" in repr(connect(servers_file="/etc/servers"))


def test_an_address_is_named_once_and_with_what_is_said_of_it_first() -> None:
    given: list[str | Server] = [Server("ws://a", region="eu"), "ws://a/ws", "ws://b"]
    assert named(given, "default") == (Server("ws://a/ws", region="eu"), Server("ws://b/ws"))


# -- the next one


def test_named_servers_are_tried_in_their_order_and_after_the_last_comes_the_first() -> None:
    servers = made(A, B)
    assert servers.next(0) == A
    servers.failed(A, "refused", 0)
    assert servers.next(0) == B
    assert not servers.all_failed()
    servers.failed(B, "silent", 0)
    assert servers.next(0) == A
    assert servers.all_failed()
    assert servers.told() == f"{A}: refused; {B}: silent"


def test_a_priority_goes_before_the_order() -> None:
    servers = made(A, Server(B, priority=101), Server(C, priority=99))
    assert order(servers) == [B, A, C]


def test_a_success_makes_earlier_problems_old_news() -> None:
    servers = made(A, B)
    servers.failed(A, "refused", 0)
    servers.worked(B)
    assert servers.in_use == B
    assert not servers.problems


def test_ones_own_region_and_zone_come_first_where_nothing_is_measured() -> None:
    servers = made(
        Server("ws://us", region="us"),
        Server("ws://eu-a", region="eu", zone="a"),
        Server("ws://eu-b", region="eu", zone="b"),
        region="eu",
        zone="b",
    )
    assert order(servers) == ["ws://eu-b/ws", "ws://eu-a/ws", "ws://us/ws"]


def test_a_zone_of_the_same_name_in_another_region_is_not_ones_own() -> None:
    servers = made(
        Server(A, region="us", zone="1"), Server(B, region="eu", zone="2"), region="eu", zone="1"
    )
    assert order(servers) == [B, A]


def test_the_nearer_comes_first_whatever_its_region_says() -> None:
    servers = made(Server(A, region="eu"), Server(B, region="us"), region="eu")
    servers.measured(A, 0.080, 0)
    servers.measured(B, 0.010, 0)
    assert order(servers) == [B, A]


def test_what_differs_by_noise_is_equally_near_and_the_region_decides() -> None:
    servers = made(Server(A, region="us"), Server(B, region="eu"), region="eu")
    servers.measured(A, 0.0002, 0)
    servers.measured(B, 0.0002 + 0.9 * NOISE_S, 0)
    assert order(servers) == [B, A]


@pytest.mark.parametrize("status", [*REFUSING_STATUSES, "silent"])
def test_whoever_refuses_comes_last_and_is_tried_all_the_same(status: str) -> None:
    servers = made(A)
    servers.learn([entry(A, status=status), entry(B), entry(C)])
    found = order(servers)
    assert found[-1] == A
    assert sorted(found) == sorted([A, B, C])


def test_a_server_that_failed_several_times_is_tried_after_the_others_for_a_while() -> None:
    servers = made(A, B)
    for now in range(BREAK_AFTER):
        assert servers.next(now) == A
        servers.failed(A, "cut", now)
        servers.worked(B)
    assert servers.next(BREAK_AFTER) == B
    assert servers.next(BREAK_AFTER + BREAK_S) == A, "and then it is given a trial"


def test_a_server_that_was_not_found_when_it_was_measured_is_tried_after_the_others() -> None:
    servers = made(A, B)
    servers.measured(A, None, 0)
    assert servers.next(0) == B
    servers.measured(A, 0.001, 60)
    assert servers.next(60) == A, "and it is there again"


def test_failures_do_not_count_any_more_after_a_time_of_use() -> None:
    servers = made(A, B)
    for now in range(5 * BREAK_AFTER):
        assert servers.next(now) == A
        servers.worked(A)
        servers.lasted(A)
        servers.failed(A, "cut", now)
        servers.worked(B)


def test_another_entrance_of_a_node_that_just_failed_comes_after_other_nodes() -> None:
    servers = made()
    servers.learn([entry("ws://n1-a", id="n1"), entry("ws://n1-b", id="n1"), entry(C, id="n2")])
    assert [url != C for url in order(servers)].index(False) <= 1


# -- the cluster's list


def test_servers_of_the_cluster_come_after_those_that_are_named() -> None:
    """Until its whole list is known; from then on those that were named are as others in it."""
    servers = made(A)
    servers.learn([entry(B), entry(C)], whole=False)
    assert order(servers)[0] == A


def test_whom_the_cluster_tells_of_no_longer_is_forgotten_unless_named() -> None:
    servers = made(A)
    servers.learn([entry(A), entry(B)])
    servers.learn([entry(C)])
    assert order(servers) == [C, A], "and comes after those who are listed"


def test_a_list_that_is_not_whole_takes_nothing_away() -> None:
    servers = made(A)
    servers.learn([entry(A), entry(B)])
    servers.learn([entry(C)], whole=False)
    assert sorted(order(servers)) == sorted([A, B, C])
    assert [each.url for each in servers.listed] == [A, B]


def test_a_named_entrance_of_a_listed_node_is_as_good_as_the_listed_one() -> None:
    """A cluster seldom lists the name that a program calls it by."""
    servers = made("ws://localhost")
    servers.worked("ws://localhost/ws", "n1")
    servers.learn([entry(A, id="n1", status="draining"), entry(B, id="n2")])
    assert order(servers)[0] == B, "its node is draining, by whichever entrance"
    servers = made("ws://localhost", "ws://nobody-knows")
    servers.worked("ws://localhost/ws", "n1")
    servers.learn([entry(A, id="n1"), entry(B, id="n2")])
    assert order(servers)[-1] == "ws://nobody-knows/ws"


def test_the_server_in_use_may_leave_the_list() -> None:
    servers = made(A)
    servers.learn([entry(B)])
    servers.worked(B)
    servers.learn([entry(C)])
    assert servers.in_use == B, "it is used for as long as it works"
    servers.failed(B, "gone", 0)
    assert B not in order(servers)


@pytest.mark.parametrize(
    "told",
    [
        None,
        "ws://b",
        [],
        [{"url": 7}, {"nourl": B}, "x", None, {"url": "http://b"}, {"url": "ws://[b"}],
        [{"url": "ws://" + "b" * 10_000}],
        [{"url": "ws://b\0"}, {"url": "ws://\ud800"}, {"url": "ws://b\u202e"}],
    ],
)
def test_a_list_without_use_changes_nothing(told: object) -> None:
    servers = made(A)
    assert not servers.learn(told)
    assert order(servers) == [A]
    assert servers.listed == ()


def test_of_an_entry_what_makes_no_sense_is_left_out() -> None:
    servers = made(A)
    odd = {"region": 7, "zone": "z" * 10_000, "priority": "high", "weight": float("nan"), "id": []}
    servers.learn([{"url": B, "status": "active", **odd}])
    assert servers.listed == (Server(B, status="active"),)
    servers.learn([{"url": B, "status": "active", "priority": 10**400, "weight": -1}])
    assert servers.listed == (Server(B, status="active"),)


def test_what_was_wrong_with_a_server_that_left_the_list_is_forgotten() -> None:
    servers = made(A)
    for index in range(10):
        servers.learn([{"url": f"ws://n{index}"}])
        servers.failed(f"ws://n{index}/ws", "x", 0)
    assert list(servers.problems) == ["ws://n9/ws"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_list_is_bounded(whole: bool) -> None:
    servers = made(A)
    for start in range(0, 1000, 100):
        servers.learn([{"url": f"ws://n{start + n}"} for n in range(100)], whole=whole)
    assert len(servers) <= 1 + LEARNED_MAX


def test_clients_spread_over_equal_servers_by_weight_and_priority() -> None:
    """By 1,000 clients, each with a lot of its own; the bounds are five deviations away."""
    first: Counter[str] = Counter()
    for seed in range(1000):
        servers = made(A, seed=seed)
        servers.learn(
            [
                entry(A, weight=9.0, priority=0),
                entry(B, weight=1.0, priority=100),
                entry(C, weight=0.0),
            ]
        )
        assert servers.next(0) == servers.next(0), "it does not change its mind"
        first[servers.next(0)] += 1
        assert order(servers)[-1] == C, "without weight: when nothing else is left"
    assert abs(first[A] - 818) < 61, "900 to 200"


# -- the way to them


def test_a_server_that_is_clearly_nearer_for_several_rounds_is_better() -> None:
    servers = made(A, B)
    servers.worked(A)
    assert rounds(servers, ROUNDS - 1, {A: 0.080, B: 0.010}) is None
    assert rounds(servers, 1, {A: 0.080, B: 0.010}) == B


def test_a_round_in_which_it_was_not_nearer_starts_the_count_anew() -> None:
    servers = made(A, B)
    servers.worked(A)
    assert rounds(servers, ROUNDS - 1, {A: 0.080, B: 0.010}) is None
    assert rounds(servers, 1, {A: 0.080, B: None}) is None
    assert rounds(servers, ROUNDS - 1, {A: 0.080, B: 0.010}) is None


def test_nobody_moves_to_a_server_that_failed_of_late() -> None:
    servers = made(A, B)
    servers.worked(A)
    assert rounds(servers, ROUNDS, {A: 0.080, B: 0.010}) == B
    servers.failed(B, "it let nobody in", 0)
    assert rounds(servers, ROUNDS - 1, {A: 0.080, B: 0.010}) is None


def test_a_server_that_became_unfit_is_left_for_any_that_was_reached() -> None:
    servers = made(A)
    servers.worked(A)
    servers.learn([entry(A, status="isolated"), entry(B), entry(C)])
    assert rounds(servers, 1, {A: 0.001, B: None, C: 0.100}) == C


def test_who_is_near_his_server_leaves_the_others_in_peace() -> None:
    servers = made(A, B)
    servers.worked(A)
    near: dict[str, float | None] = {A: 0.0005, B: 0.0005}
    for _ in range(ROUNDS):
        assert servers.to_measure(0) == [A, B]
        rounds(servers, 1, near)
    assert servers.to_measure(0) == [A]
    servers.learn([entry(A), entry(B), entry(C)])
    assert servers.to_measure(0) == [A, C], "a newcomer is looked at"


def test_where_there_is_no_choice_nothing_is_measured() -> None:
    servers = made(A)
    servers.worked(A)
    assert servers.to_measure(0) == []


def test_a_node_alone_is_alone_by_whatever_names_it_is_called() -> None:
    servers = made("ws://localhost")
    servers.worked("ws://localhost/ws", "n1")
    servers.learn([entry(A, id="n1")])
    assert not servers.elsewhere("ws://localhost/ws")
    assert servers.to_measure(0) == []
    servers.learn([entry(A, id="n1"), entry(B, id="n2")])
    assert servers.elsewhere("ws://localhost/ws")
    assert made(A, B).elsewhere(A), "for all that is known"
    assert not made(A).elsewhere(A)


def test_a_round_is_bounded_and_all_get_their_turn() -> None:
    servers = made(A)
    servers.learn([entry(A), *(entry(f"ws://n{n}") for n in range(30))])
    servers.worked(A)
    seen = set()
    for now in range(1, 6):
        urls = servers.to_measure(now)
        assert len(urls) <= MEASURED_MAX
        seen.update(urls)
        for url in urls:
            servers.measured(url, 0.05, now)
    assert len(seen) == 31


# -- laws

URLS = [f"ws://n{n}/ws" for n in range(5)]
STATUS = st.sampled_from(["active", "silent", "draining", "isolated", "removed"])
TRIPS = st.lists(st.none() | st.floats(0.0001, 0.3), min_size=5, max_size=5)


@given(st.lists(STATUS, min_size=5, max_size=5), TRIPS, st.integers(1, 5), st.integers(0, 99))
def test_one_that_serves_is_always_tried_before_one_that_refuses(
    statuses: list[str], trips: list[float | None], count: int, seed: int
) -> None:
    servers = made(*URLS[:count], seed=seed)
    told = dict(zip(URLS, statuses, strict=True))
    servers.learn([entry(url, status=status) for url, status in told.items()])
    for url, trip in zip(URLS, trips, strict=True):
        if trip is not None:
            servers.measured(url, trip, 0)
    refusals = [told[url] != "active" for url in order(servers)]
    assert refusals == sorted(refusals)


@given(
    st.lists(STATUS, min_size=5, max_size=5),
    TRIPS,
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=20),
    st.lists(st.floats(0, 30), min_size=25, max_size=25),
)
def test_every_server_is_tried_before_any_is_tried_again(
    statuses: list[str],
    trips: list[float | None],
    before: list[tuple[int, bool]],
    waits: list[float],
) -> None:
    """Whatever happened before, and however they stand: an outage leaves nobody out."""
    servers = made(*URLS[:2])
    servers.learn([entry(u, status=s) for u, s in zip(URLS, statuses, strict=True)])
    for url, trip in zip(URLS, trips, strict=True):
        servers.measured(url, trip, 0)
    for index, worked in before:
        if worked:
            servers.worked(URLS[index])
        else:
            servers.failed(URLS[index], "x", 0)
    servers.worked(URLS[0])
    tried: Counter[str] = Counter()
    now = 0.0
    for wait in waits:
        url = servers.next(now)
        servers.failed(url, "x", now)
        tried[url] += 1
        now += wait
        assert max(tried.values()) - min(tried[url] for url in URLS) <= 1


@given(
    st.floats(0.0001, 0.3),
    st.lists(st.lists(st.floats(-1, 1), min_size=5, max_size=5), min_size=1, max_size=30),
    st.integers(0, 99),
)
def test_nobody_hops_for_the_sake_of_noise(
    trip: float, disturbances: list[list[float]], seed: int
) -> None:
    servers = made(*URLS, seed=seed)
    servers.worked(URLS[3])
    for now, disturbance in enumerate(disturbances):
        for url, share in zip(URLS, disturbance, strict=True):
            servers.measured(url, trip + share * max(NOISE_S / 2, 0.1 * trip), now)
        assert servers.better(now) is None


@given(st.lists(st.lists(st.floats(0.0001, 0.3), min_size=5, max_size=5), min_size=20, max_size=60))
def test_whatever_is_measured_moves_are_rare(measured: list[list[float]]) -> None:
    """After each move it takes some rounds until the next."""
    servers = made(*URLS)
    servers.worked(URLS[0])
    moved_at = 0
    for now, trips in enumerate(measured, start=1):
        for url, trip in zip(URLS, trips, strict=True):
            servers.measured(url, trip, now)
        if (better := servers.better(now)) is not None:
            assert now - moved_at >= ROUNDS
            servers.worked(better)
            moved_at = now
