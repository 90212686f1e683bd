"""Every operation over every way in, by somebody who may do something, and not this.

The tables below have a row for each operation and each route; a new one without a row fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.node.access.holders import bearer, token_file
from tests.node.http.visiting import visit
from tests.running import CODECS, Talker, a_node, run, talking
from tlru.access.rights import HELLO, ROUTES, Route
from tlru.node import Node
from tlru.node.http.batch import OF_A_CONNECTION
from tlru.node.http.routes import ROUTES as SERVED
from tlru.wire.requests import OPS

FOREIGN, OWN = "z:1", "a:1"
OF_A_PREFIX = ("a:",)
LITTLE = {"read": OF_A_PREFIX, "write": OF_A_PREFIX, "subscribe": OF_A_PREFIX, "publish": ("a:",)}

# How each operation asks for something that is not granted; None: any token will do for it.
ASKED: dict[str, list[dict[str, Any]] | None] = {
    "get": [{"key": FOREIGN}],
    "get_many": [{"keys": [OWN, FOREIGN]}],
    "set": [{"key": FOREIGN, "value": 1}],
    "set_many": [{"items": [{"key": OWN, "value": 1}, {"key": FOREIGN, "value": 1}]}],
    "delete": [{"key": FOREIGN}, {"keys": [OWN, FOREIGN]}],
    "touch": [{"key": FOREIGN}],
    "incr": [{"key": FOREIGN}],
    "clear": [{"prefix": "z:"}, {"prefix": "a"}, {}],
    "scan": [{"prefix": "z:"}, {"prefix": "a"}, {}],
    "publish": [{"channel": FOREIGN, "value": 1}],
    "subscribe": [
        {"key": FOREIGN},
        {"prefix": "a"},
        {"channel": FOREIGN},
        {"channel_prefix": ""},
        {"pattern": "*"},
        {"pattern": "#*"},
        {"pattern": "z:*"},
    ],
    "unsubscribe": None,
    "lock": [{"name": FOREIGN, "ttl": 5}],
    "unlock": [{"name": FOREIGN, "fence": 1}],
    "renew": [{"name": FOREIGN, "fence": 1, "ttl": 5}],
    "status": None,
    "nodes": None,
    "node": None,
    "ping": None,
}
NEEDED: dict[str, dict[str, Any]] = {"unsubscribe": {"feed": 1}}

# A request to each route that asks for something that is not granted: target, and JSON body.
FORBIDDEN: dict[tuple[str, str], tuple[str, Any]] = {
    ("GET", "/cache"): (f"/cache?key={FOREIGN}", ...),
    ("POST", "/cache"): (f"/cache?key={FOREIGN}&value=1", ...),
    ("POST", "/v1/keys/incr"): (f"/v1/keys/incr?key={FOREIGN}", ...),
    ("POST", "/v1/keys/{key}/incr"): (f"/v1/keys/{FOREIGN}/incr", ...),
    ("GET", "/v1/keys/{key}"): (f"/v1/keys/{FOREIGN}", ...),
    ("PUT", "/v1/keys/{key}"): (f"/v1/keys/{FOREIGN}", 1),
    ("DELETE", "/v1/keys/{key}"): (f"/v1/keys/{FOREIGN}", ...),
    ("GET", "/v1/keys"): ("/v1/keys?prefix=a", ...),
    ("PUT", "/v1/keys"): (f"/v1/keys?key={FOREIGN}", 1),
    ("DELETE", "/v1/keys"): (f"/v1/keys?key={FOREIGN}", ...),
    ("POST", "/v1/channels/{channel}"): (f"/v1/channels/{FOREIGN}", 1),
    ("GET", "/v1/events"): ("/v1/events?pattern=*", ...),
    ("POST", "/v1/ticket"): ("/v1/ticket", {"pattern": "z:*"}),
    ("POST", "/v1/batch"): ("/v1/batch", [{"op": "get", "key": FOREIGN}]),
    ("POST", "/v1/command"): ("/v1/command", {"command": "GET", "key": FOREIGN}),
    ("POST", "/v1/nodes"): ("/v1/nodes", {"id": "n2"}),
    ("PATCH", "/v1/nodes/{id}"): ("/v1/nodes/n1", {"priority": 1}),
    ("DELETE", "/v1/nodes/{id}"): ("/v1/nodes/n1", ...),
    ("POST", "/v1/nodes/{id}/lead"): ("/v1/nodes/n1/lead", ...),
    ("POST", "/v1/nodes/{id}/reload"): ("/v1/nodes/n1/reload", ...),
    ("POST", "/v1/nodes/{id}/restart"): ("/v1/nodes/n1/restart", ...),
    ("POST", "/v1/nodes/{id}/restore"): ("/v1/nodes/n1/restore", ...),
    ("POST", "/v1/nodes/{id}/revive"): ("/v1/nodes/n1/revive", {"members": ["n1"]}),
    ("POST", "/v1/rebalance"): ("/v1/rebalance", ...),
    ("PATCH", "/v1/settings"): ("/v1/settings", {"max_entries": 1}),
    ("POST", "/v1/upgrade/finalize"): ("/v1/upgrade/finalize", ...),
}


def test_every_operation_and_route_is_tried() -> None:
    assert set(ASKED) == set(OPS) - {HELLO}
    closed = {place for place, route in ROUTES.items() if route not in (Route.OPEN, Route.TOKEN)}
    assert set(FORBIDDEN) == closed
    assert set(ROUTES) == {(m, route.path) for route in SERVED.routes for m in route.methods}


def _asked(op: str, client: Talker | None) -> list[dict[str, Any]]:
    """The requests of an operation, with values as the encoding has them."""
    made = []
    for fields in ASKED[op] or [NEEDED.get(op, {})]:
        told = dict(fields)
        if client is not None and "value" in told:
            told["value"] = client.value(told["value"])
        if client is not None and "items" in told:
            told["items"] = [{**row, "value": client.value(row["value"])} for row in told["items"]]
        made.append({"op": op, **told})
    return made


async def _answers(client: Talker, *messages: dict[str, Any]) -> list[Any]:
    await client.send(*({"id": n, **message} for n, message in enumerate(messages)))
    found: dict[int, Any] = {}
    while len(found) < len(messages):
        reply = await client.receive()
        found[reply["id"]] = reply
    return [found[n] for n in range(len(messages))]


@pytest.mark.parametrize("codec", CODECS)
def test_a_token_opens_what_it_is_for_and_nothing_else(codec: str, tmp_path: Path) -> None:
    file, tokens = token_file(tmp_path, little=LITTLE)

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node, talking(node, codec) as client:
            hello = await client.ask("hello", token=tokens["little"])
            assert hello["may"] == {name: list(told) for name, told in LITTLE.items()} | {
                "admin": False
            }
            for op, told in ASKED.items():
                replies = await _answers(client, *_asked(op, client))
                for reply in replies:
                    error = reply.get("error", {})
                    if told is None:
                        assert error.get("code") in (None, "bad_request"), (op, reply)
                    else:
                        assert error.get("code") == "forbidden", (op, reply)
            (reply,) = await _answers(client, {"command": "GET", "key": FOREIGN})
            assert reply["error"]["code"] == "forbidden"
            for command in ("SET", "DELETE"):
                value = {"value": client.value(1)} if command == "SET" else {}
                (reply,) = await _answers(client, {"command": command, "key": FOREIGN, **value})
                assert reply["error"]["code"] == "forbidden"
            assert (await client.ask("set", key=OWN, value=5))["applied"]
            assert (await client.ask("get", key=OWN))["value"] == 5
            assert (await client.ask("subscribe", pattern="a:*"))["ok"]
            assert node.services["default"].machine.items.count == 1  # nothing else was done

    run(scenario())


@pytest.mark.parametrize("codec", CODECS)
def test_nobody_gets_an_answer_to_anything(codec: str, tmp_path: Path) -> None:
    file, _ = token_file(tmp_path, little=LITTLE)

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node:
            asked = [{"op": op} for op in OPS] + [{"command": "GET", "key": OWN}]
            full = [_asked(op, None)[0] for op in ASKED] + asked[-1:] + [{"op": HELLO}]
            for message in full:
                async with talking(node, codec) as client:
                    if "value" in message:
                        message = {**message, "value": client.value(1)}
                    if "items" in message:
                        message = _asked("set_many", client)[0]
                    (reply,) = await _answers(client, message)
                    assert reply["error"]["code"] == "unauthenticated", (message, reply)
                    assert await client.closed() == 4401

    run(scenario())


async def _visits(node: Node, token: str | None, place: tuple[str, str]) -> Any:
    target, body = FORBIDDEN[place]
    headers = {} if token is None else bearer(token)
    return await visit(node, place[0], target, json=body, headers=headers)


def test_every_route_asks_who_it_is(tmp_path: Path) -> None:
    file, tokens = token_file(tmp_path, little=LITTLE)

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node:
            for place, route in ROUTES.items():
                if route in (Route.OPEN, Route.TOKEN):
                    target = place[1].replace("{file}", "nothing").replace("{id}", "n1")
                    heard = await visit(node, place[0], target)
                    assert (heard.status == 401) is (route is Route.TOKEN), (place, heard)
                    if route is Route.TOKEN:
                        assert heard.headers["www-authenticate"] == "Bearer"
                        heard = await visit(
                            node, place[0], target, headers=bearer(tokens["little"])
                        )
                        assert heard.status == 200, (place, heard)
                    continue
                for wrong in (None, "tlru_wrong", "a.b.c"):
                    heard = await _visits(node, wrong, place)
                    assert (heard.status, heard.code) == (401, "unauthenticated"), (place, heard)
                heard = await _visits(node, tokens["little"], place)
                if place[1] == "/v1/batch":
                    assert heard.json[0]["error"]["code"] == "forbidden"
                else:
                    assert (heard.status, heard.code) == (403, "forbidden"), (place, heard)
            assert node.services["default"].machine.items.count == 0

    run(scenario())


def test_every_operation_of_a_batch_is_checked(tmp_path: Path) -> None:
    file, tokens = token_file(tmp_path, little=LITTLE)
    asked = [
        (told is None, message)
        for op, told in ASKED.items()
        if op not in OF_A_CONNECTION
        for message in _asked(op, None)
    ]

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node:
            batch = [message for _, message in asked] + [{"op": "set", "key": OWN, "value": 1}]
            headers = bearer(tokens["little"])
            heard = await visit(node, "POST", "/v1/batch", json=batch, headers=headers)
            *others, own = heard.json
            assert own["ok"] is True
            for (free, message), result in zip(asked, others, strict=True):
                code = result.get("error", {}).get("code")
                assert code == (None if free else "forbidden"), (message, result)
            assert node.services["default"].machine.items.count == 1

    run(scenario())


def test_a_token_at_the_upgrade_needs_no_hello(tmp_path: Path) -> None:
    file, tokens = token_file(tmp_path, little=LITTLE)

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node:
            headers = bearer(tokens["little"])
            async with connect(node.url, additional_headers=headers, proxy=None) as socket:
                client = Talker(socket, False)
                assert (await client.ask("set", key=OWN, value=1))["applied"]
                assert (await client.ask("get", key=FOREIGN))["error"]["code"] == "forbidden"
            for wrong in ("Bearer wrong", "Basic " + tokens["little"], "Bearer ", "x"):
                with pytest.raises(InvalidStatus) as caught:
                    async with connect(
                        node.url, additional_headers={"Authorization": wrong}, proxy=None
                    ):
                        pass
                assert caught.value.response.status_code == 401

    run(scenario())


def test_a_ticket_carries_the_rights_of_who_took_it(tmp_path: Path) -> None:
    file, tokens = token_file(tmp_path, little=LITTLE)

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node:
            headers = bearer(tokens["little"])
            heard = await visit(
                node, "POST", "/v1/ticket", json={"pattern": "a:*"}, headers=headers
            )
            ticket = heard.json["ticket"]
            heard = await visit(node, "GET", f"/v1/events?pattern=z:*&ticket={ticket}")
            assert heard.status == 403
            heard = await visit(node, "GET", f"/v1/events?ticket={ticket}")
            assert heard.status == 401  # it was used up
            heard = await visit(
                node, "POST", "/v1/ticket", json={"pattern": "a:*"}, headers=headers
            )
            heard = await visit(node, "GET", f"/v1/events?ticket={heard.json['ticket']}")
            assert heard.status == 200
            heard = await visit(node, "GET", "/v1/events?pattern=a:*", headers=headers)
            assert heard.status == 200

    run(scenario())


def test_who_says_nothing_is_left(tmp_path: Path) -> None:
    file, _ = token_file(tmp_path, little=LITTLE)

    async def scenario() -> None:
        async with a_node(tokens_file=file, hello_s=0.1) as node, talking(node) as client:
            assert await client.closed() == 4408

    run(scenario())


def test_without_authentication_a_token_is_passed_over() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            hello = await client.ask("hello", token="whatever")
            assert hello["may"]["admin"] is True
            heard = await visit(node, "GET", "/v1/status", headers={"Authorization": "junk"})
            assert heard.status == 200

    run(scenario())
