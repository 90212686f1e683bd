"""The plain old forms: `/cache` and `/v1/command`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.node.http.visiting import JSON, Heard, get, put, visit
from tests.running import a_node, run, talking
from tlru.node import Node

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_a_value_is_saved_by_query_and_read_back_as_json() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            saved = await visit(node, "POST", "/cache?key=a+key&value=10%25+%2B&minutes=5")
            assert saved.status == 200
            assert saved.json == {"key": "a key", "value": "10% +", "minutes": 5}
            found = await visit(node, "GET", "/cache?key=a%20key")
            assert (found.status, found.json) == (200, "10% +")
            age = (await get(node, "a key")).headers["cache-control"]
            assert 280 <= int(age.removeprefix("max-age=")) <= 300

    run(scenario())


@pytest.mark.parametrize(
    ("target", "body", "headers"),
    [
        ("/cache", b"key=a&value=b+c&minutes=0.5", FORM),
        ("/cache", b'{"key": "a", "value": "b c", "minutes": 0.5}', JSON),
        ("/cache?key=a&minutes=0.5", b"value=b%20c", FORM),
        ("/cache?key=a", b'{"value": "b c", "minutes": "0.5"}', JSON),
    ],
)
def test_a_body_may_be_a_form_or_json(target: str, body: bytes, headers: dict[str, str]) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            saved = await visit(node, "POST", target, body=body, headers=headers)
            assert saved.json == {"key": "a", "value": "b c", "minutes": 0.5}
            assert (await get(node, "a")).json == "b c"

    run(scenario())


def test_without_minutes_a_value_stays() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for target, sent in (
                ("/cache?key=a&value=b", {}),
                ("/cache", {"json": {"key": "a", "value": "b", "minutes": None}}),
            ):
                saved = await visit(node, "POST", target, **sent)  # type: ignore[arg-type]
                assert saved.json == {"key": "a", "value": "b", "minutes": None}
                assert (await get(node, "a")).headers["cache-control"] == "no-cache"

    run(scenario())


def test_json_may_save_more_than_strings() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            value = {"n": [1, {"$b64": "AA=="}]}
            saved = await visit(node, "POST", "/cache", json={"key": "a", "value": value})
            assert saved.json["value"] == value
            assert (await visit(node, "GET", "/cache?key=a")).json == value

    run(scenario())


def test_a_cache_miss_is_404() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            missing = await visit(node, "GET", "/cache?key=nothing")
            assert (missing.status, missing.code) == (404, "not_found")

    run(scenario())


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/cache", None),
        ("GET", "/cache?key=", None),
        ("GET", "/cache?key=a&nonsense=1", None),
        ("POST", "/cache", None),
        ("POST", "/cache?key=a", None),
        ("POST", "/cache?value=a", None),
        ("POST", "/cache?key=a&value=b&minutes=0", None),
        ("POST", "/cache?key=a&value=b&minutes=-1", None),
        ("POST", "/cache?key=a&value=b&minutes=soon", None),
        ("POST", "/cache?key=a&value=b&minutes=", None),
        ("POST", "/cache?key=a&value=b&minutes=nan", None),
        ("POST", "/cache?key=a&value=b&minutes=1_0", None),
        ("POST", "/cache?key=a&value=b&minutes=99999999", None),
        ("POST", "/cache?key=a&value=b&ttl=5", None),
        ("POST", "/cache?key=a&value=b", {"value": "c"}),
        ("POST", "/cache", {"key": "a", "value": "b", "minutes": True}),
        ("POST", "/cache", {"key": "a", "value": "b", "minutes": [5]}),
        ("POST", "/cache", {"key": 5, "value": "b"}),
        ("POST", "/cache", {"key": "a", "value": "b", "ttl": 5}),
        ("POST", "/cache", ["a", "b"]),
    ],
)
def test_what_is_wrong_with_an_old_form_is_refused(method: str, target: str, body: Any) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            sent = {} if body is None else {"json": body}
            refused = await visit(node, method, target, **sent)
            assert refused.status == 400
            assert refused.code == "bad_request"
            assert (await get(node, "a")).status == 404

    run(scenario())


async def command(node: Node, message: Any, **headers: str) -> Heard:
    """Send a command."""
    told = {name.replace("_", "-"): text for name, text in headers.items()}
    return await visit(node, "POST", "/v1/command", json=message, headers=told)


def test_commands_set_get_and_delete() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await command(
                node, {"command": "SET", "attributes": {"key": "a", "value": {"n": 1}, "ttl": 60}}
            )
            assert done.json == {
                "command": "SET_OUT",
                "attributes": {"key": "a", "value": {"n": 1}},
            }
            found = await command(node, {"command": "GET", "key": "a"})
            assert found.json == {
                "command": "GET_OUT",
                "attributes": {"key": "a", "value": {"n": 1}},
            }
            assert (await get(node, "a")).headers["cache-control"].startswith("max-age=")
            gone = await command(node, {"command": "DELETE", "attributes": {"key": "a"}})
            assert gone.json["attributes"] == {"key": "a", "deleted": 1}
            nothing = await command(node, {"command": "GET", "attributes": {"key": "a"}})
            assert nothing.json["attributes"] == {"key": "a", "value": None}

    run(scenario())


def test_a_command_says_the_same_over_http_and_over_the_websocket() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await put(node, "a", [1])
            for asked in (
                {"command": "GET", "attributes": {"key": "a"}},
                {"command": "SET", "attributes": {"key": "b", "value": "x"}},
                {"command": "DELETE", "key": "a"},
            ):
                await put(node, "a", [1])
                over_http = (await command(node, asked)).json
                await put(node, "a", [1])
                await client.send({**asked, "id": 1})
                said = await client.receive()
                assert said.pop("id") == 1
                assert said == over_http

    run(scenario())


@pytest.mark.parametrize("name", ["GET", "SET", "DELETE"])
@pytest.mark.parametrize("absent", [{}, {"key": None}])
def test_a_command_without_a_key_says_so_in_both_ways(name: str, absent: dict[str, Any]) -> None:
    """`DELETE` once found out too late: the node failed, or closed the connection."""

    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            asked = {"command": name, "attributes": {"value": 1, **absent}}
            if name != "SET":
                asked = {"command": name, **absent}
            told = await command(node, asked, Idempotency_Key="x")
            assert (told.status, told.json["detail"]) == (400, f"{name} lacks `key`")
            await client.send({**asked, "id": 1})
            said = await client.receive()
            assert said["error"]["message"] == f"{name} lacks `key`"
            assert (await client.ask("ping"))["ok"] is True

    run(scenario())


def test_a_command_with_an_idempotency_key_is_done_once() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            delete = {"command": "DELETE", "attributes": {"key": "a"}}
            await put(node, "a", 1)
            first = await command(node, delete, Idempotency_Key="x")
            await put(node, "a", 2)
            again = await command(node, delete, Idempotency_Key="x")
            assert again.json == first.json
            assert (await get(node, "a")).json == 2

    run(scenario())


def test_a_command_reads_no_older_than_the_position_it_carries() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await put(node, "a", 1)
            asked = {"command": "GET", "key": "a"}
            here = await command(node, asked, Tlru_Position=done.headers["tlru-position"])
            assert here.json["attributes"]["value"] == 1
            other = await command(node, asked, Tlru_Position="9-ffffffff-1")
            assert (other.status, other.code) == (409, "wrong_epoch")

    run(scenario())


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"command": "DROP"}, "unknown_op"),
        ({"command": ["GET"]}, "unknown_op"),
        ({}, "unknown_op"),
        ([], "bad_request"),
        ({"command": "GET"}, "bad_request"),
        ({"command": "GET", "attributes": []}, "bad_request"),
        ({"command": "GET", "attributes": {"key": "a", "ttl": 5}}, "bad_request"),
        ({"command": "SET", "attributes": {"key": "a"}}, "bad_request"),
    ],
)
def test_what_is_wrong_with_a_command_is_refused(message: Any, code: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            refused = await command(node, message)
            assert (refused.status, refused.code) == (400, code)

    run(scenario())
