"""Which server next, and how an address is written."""

from __future__ import annotations

import pytest

from tlru.client.servers import LEARNED_MAX, Servers
from tlru.client.settings import complete_url, complete_urls
from tlru.errors import BadRequest

A, B, C = "ws://a:8400/ws", "ws://b:8400/ws", "wss://c/ws"


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


def test_without_addresses_it_is_the_usual_one() -> None:
    assert complete_urls([], "default") == ("ws://127.0.0.1:8400/ws",)
    assert complete_urls(["ws://a", "ws://a/ws", "ws://b"], "default") == (
        "ws://a/ws",
        "ws://b/ws",
    )


def test_a_failure_moves_on_and_after_the_last_comes_the_first() -> None:
    servers = Servers([A, B], "default")
    assert servers.current() == A
    servers.failed(A, "refused")
    assert servers.current() == B
    assert not servers.all_failed()
    servers.failed(B, "silent")
    assert servers.current() == A
    assert servers.all_failed()
    assert servers.told() == f"{A}: refused; {B}: silent"


def test_a_success_makes_earlier_problems_old_news() -> None:
    servers = Servers([A, B], "default")
    servers.failed(A, "refused")
    servers.worked(B)
    assert servers.current() == B
    assert not servers.problems


def test_a_late_failure_of_another_does_not_move() -> None:
    servers = Servers([A, B], "default")
    servers.failed(B, "it asked to be left")
    assert servers.current() == A


def test_the_clusters_list_comes_after_what_the_program_named() -> None:
    servers = Servers([A], "default")
    servers.learn([{"url": B}, {"url": A}, {"url": C, "status": "active"}])
    order = []
    for _ in range(4):
        order.append(servers.current())
        servers.failed(servers.current(), "x")
    assert order == [A, B, C, A]


def test_the_server_in_use_may_leave_the_list() -> None:
    servers = Servers([A], "default")
    servers.learn([{"url": B}])
    servers.failed(A, "x")
    servers.learn([{"url": C}])
    assert servers.current() == B, "it is used for as long as it works"
    servers.failed(B, "gone")
    assert servers.current() == A


@pytest.mark.parametrize(
    "told",
    [
        None,
        "ws://b",
        [],
        [{"url": 7}, {"nourl": B}, "x", None, {"url": "http://b"}],
        [{"url": B, "status": "draining"}],
    ],
)
def test_a_list_without_use_changes_nothing(told: object) -> None:
    servers = Servers([A], "default")
    servers.learn(told)
    assert len(servers) == 1


def test_what_was_wrong_with_a_server_that_left_the_list_is_forgotten() -> None:
    servers = Servers([A], "default")
    for index in range(10):
        servers.learn([{"url": f"ws://n{index}"}])
        servers.failed(f"ws://n{index}/ws", "x")
    assert list(servers.problems) == ["ws://n9/ws"]


def test_a_list_is_bounded() -> None:
    servers = Servers([A], "default")
    servers.learn([{"url": f"ws://n{index}"} for index in range(1000)])
    assert len(servers) == 1 + LEARNED_MAX
