"""Tickets: who may use one, for what, how often and how long."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.node.http.streams import listening
from tests.node.http.test_events import refused
from tests.node.http.visiting import put, visit
from tests.running import a_node, run
from tlru.engine.patterns import Kind, Pattern
from tlru.errors import Forbidden, Overloaded, Unauthenticated
from tlru.node import Node
from tlru.node.http import tickets
from tlru.node.http.tickets import Leave, Tickets

SHOP, OTHER = "https://shop.example", "https://other.example"
LISTED: dict[str, Any] = {"cors_origins": (SHOP, OTHER)}
LEAVE = Leave("default", Pattern(Kind.PREFIX, "price:"), None)


async def a_ticket(node: Node, watched: dict[str, str], **headers: str) -> str:
    """A ticket of a node."""
    told = {name.replace("_", "-"): text for name, text in headers.items()}
    heard = await visit(node, "POST", "/v1/ticket", json=watched, headers=told)
    assert heard.status == 200
    assert heard.headers["cache-control"] == "no-store"
    given = heard.json
    assert given == {"ticket": given["ticket"], "expires_in": 30}
    return str(given["ticket"])


# -- over HTTP


def test_a_ticket_opens_one_stream_of_what_it_was_given_for() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            given = await a_ticket(node, {"pattern": "price:*"})
            async with listening(node, f"ticket={given}") as stream:
                assert stream.status == 200
                await put(node, "other", 1)
                await put(node, "price:EUR", 1)
                assert [each["key"] for each in await stream.events(1)] == ["price:EUR"]
                told = await refused(node, f"/v1/events?ticket={given}")
                assert told == (401, "unauthenticated")

    run(scenario())


@pytest.mark.parametrize(
    ("watched", "query"),
    [
        ({"pattern": "a*"}, "prefix=a"),
        ({"key": "a*"}, "key=a*"),
        ({"prefix": "a"}, "pattern=a*"),
        ({"channel_prefix": ""}, "pattern=%23*"),
    ],
)
def test_what_a_ticket_says_may_be_said_again_in_any_way(
    watched: dict[str, str], query: str
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for more in ("", f"&{query}"):
                given = await a_ticket(node, watched)
                async with listening(node, f"ticket={given}{more}") as stream:
                    assert stream.status == 200
                    (feed,) = node.services["default"].feeds.feeds.feeds.values()
                    wanted = {"pattern": "prefix"}.get(*[next(iter(watched))] * 2)
                    assert feed.pattern.kind.value == wanted

    run(scenario())


def test_a_ticket_for_something_else_is_forbidden_and_is_used_up() -> None:
    async def scenario() -> None:
        async with a_node(caches=("default", "other")) as node:
            for query in ("key=a*", "pattern=*", "pattern=%23a*", "pattern=a*&cache=other"):
                given = await a_ticket(node, {"pattern": "a*"})
                told = await refused(node, f"/v1/events?ticket={given}&{query}")
                assert told == (403, "forbidden"), query
                told = await refused(node, f"/v1/events?ticket={given}")
                assert told == (401, "unauthenticated"), query
            assert not node.http.streams

    run(scenario())


def test_a_ticket_belongs_to_the_origin_that_asked_for_it() -> None:
    async def scenario() -> None:
        async with a_node(**LISTED) as node:
            own = f"http://127.0.0.1:{node.port}"
            host = f"127.0.0.1:{node.port}"
            pages: list[dict[str, Any]] = [{"Origin": SHOP}, {"Origin": OTHER}, {}]
            for asks in pages:
                for uses in pages:
                    given = await a_ticket(node, {"pattern": "*"}, **asks)
                    async with listening(node, f"ticket={given}", **uses) as stream:
                        assert stream.status == (200 if asks == uses else 403)
                        cors = stream.headers.get("access-control-allow-origin")
                        assert cors == uses.get("Origin")
            # A page of the node's own says so when it posts, and not when it reads.
            given = await a_ticket(node, {"pattern": "*"}, Origin=own, Host=host)
            async with listening(node, f"ticket={given}") as stream:
                assert stream.status == 200

    run(scenario())


def test_a_page_of_a_foreign_origin_gets_no_ticket() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = await visit(
                node, "POST", "/v1/ticket", json={"pattern": "*"}, headers={"Origin": SHOP}
            )
            assert (told.status, told.code) == (403, "forbidden")
            assert len(node.http.tickets) == 0

    run(scenario())


@pytest.mark.parametrize("ticket", ["", "x", "é", "a" * 48, "a" * 5000, "%00"])
def test_what_is_no_ticket_is_not_authenticated(ticket: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            target = f"/v1/events?pattern=*&ticket={ticket}".encode().replace(
                "é".encode(), b"%C3%A9"
            )
            told = await visit(node, "GET", target)
            assert (told.status, told.code) == (401, "unauthenticated")

    run(scenario())


@pytest.mark.parametrize(
    "body", [{}, {"pattern": 7}, {"pattern": ""}, {"key": "a", "prefix": "a"}, {"ttl": 1}, []]
)
def test_a_ticket_that_is_not_well_asked_for_is_not_given(body: Any) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = await visit(node, "POST", "/v1/ticket", json=body)
            assert (told.status, told.code) == (400, "bad_request")
            assert len(node.http.tickets) == 0

    run(scenario())


def test_no_ticket_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            given = await a_ticket(node, {"pattern": "*"})
            async with listening(node, f"ticket={given}") as stream:
                assert stream.status == 200
            await refused(node, f"/v1/events?ticket={given}")
            assert "/v1/events" in str([each.__dict__ for each in caplog.records])
            for record in caplog.records:
                assert given not in str(record.__dict__)

    with caplog.at_level(logging.DEBUG, logger="tlru"):
        run(scenario())


# -- the tickets themselves


def test_a_ticket_is_good_for_thirty_seconds() -> None:
    kept = Tickets()
    one, other = kept.give(LEAVE, now=100.0), kept.give(LEAVE, now=100.0)
    assert one != other
    assert kept.use(one, None, "default", now=129.9) == LEAVE
    with pytest.raises(Unauthenticated):
        kept.use(other, None, "default", now=130.0)
    assert len(kept) == 0


def test_a_wrong_secret_uses_nobodys_ticket_up() -> None:
    kept = Tickets()
    given = kept.give(LEAVE, now=0.0)
    for wrong in (given[:-1], given + "a", given[:-1] + chr(ord(given[-1]) ^ 1), given[::-1]):
        with pytest.raises(Unauthenticated):
            kept.use(wrong, None, "default", now=0.0)
    assert kept.use(given, None, "default", now=0.0) == LEAVE


def test_a_flood_costs_those_who_come_with_it_and_nobody_who_has_a_ticket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tickets, "TICKETS_MAX", 3)
    kept = Tickets()
    first, *_ = [kept.give(LEAVE, now=float(n)) for n in range(3)]
    with pytest.raises(Overloaded) as refusal:
        kept.give(LEAVE, now=3.0)
    assert refusal.value.facts["after"] > 0
    assert kept.use(first, None, "default", now=3.0) == LEAVE
    kept.give(LEAVE, now=3.0)  # there is room again
    for n in range(100, 400):
        kept.give(LEAVE, now=n * 20.0)  # those that are over make room by themselves
        assert len(kept) <= 3


def test_another_page_and_another_cache_are_told_from_a_wrong_ticket() -> None:
    kept = Tickets()
    for page, cache in ((SHOP, "default"), (None, "other")):
        given = kept.give(LEAVE, now=0.0)
        with pytest.raises(Forbidden):
            kept.use(given, page, cache, now=0.0)
        with pytest.raises(Unauthenticated):
            kept.use(given, None, "default", now=0.0)
