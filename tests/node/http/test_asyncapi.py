"""What `/asyncapi.json` says of the WebSocket is well formed, whole, and true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from tests.authority import Authority, shown
from tests.node.access.holders import token_file
from tests.node.http.visiting import assert_described, visit
from tests.running import CODECS, Talker, a_node, run, talking
from tlru.node.http import asyncapi
from tlru.wire.codec import CODECS as SPOKEN
from tlru.wire.limits import Limits
from tlru.wire.requests import OPS

DOCUMENT = asyncapi.describe(Limits(), "ws://localhost:8400/ws")


def _found(reference: str) -> Any:
    part: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return part


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, each in part.items():
            if name == "$ref":
                yield each
            else:
                yield from _references(each)
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)


def _resolved(part: Any) -> Any:
    if isinstance(part, dict):
        if "$ref" in part:
            return _resolved(_found(part["$ref"]))
        return {name: _resolved(each) for name, each in part.items()}
    return [_resolved(each) for each in part] if isinstance(part, list) else part


def test_the_document_is_what_a_node_gives_with_its_own_address() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = await visit(node, "GET", "/asyncapi.json")
            assert told.status == 200
            assert told.json == asyncapi.describe(node.limits, node.url)

    run(scenario())


def test_a_node_says_whether_its_socket_is_ws_or_wss_and_where_a_token_goes(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, _ = token_file(tmp_path, reader={"read": [""]})
        certificate = shown(Authority(tmp_path).node("n1"))
        async with a_node(tokens_file=file, **certificate) as node:
            told = json.loads(node.http.descriptions.asyncapi)
            server = told["servers"]["node"]
            assert (server["protocol"], server["pathname"]) == ("wss", "/ws")
            assert server["host"] == f"127.0.0.1:{node.port}"
            assert server["security"] == [{"$ref": "#/components/securitySchemes/token"}]
            assert "`hello`" in told["components"]["securitySchemes"]["token"]["description"]
        assert DOCUMENT["servers"]["node"] == {
            "host": "localhost:8400",
            "pathname": "/ws",
            "protocol": "ws",
        }

    run(scenario())


def test_it_has_what_asyncapi_3_wants() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert "channel" in operation
    for name, message in DOCUMENT["components"]["messages"].items():
        assert {"payload", "contentType", "name"} <= set(message), name
    for name in (*DOCUMENT["components"]["schemas"], *DOCUMENT["components"]["messages"]):
        assert name.isalnum()


def test_every_reference_leads_somewhere_and_every_part_is_used() -> None:
    used = set(_references(DOCUMENT))
    for reference in used:
        assert _found(reference) is not None
    for kind in ("messages", "schemas"):
        for name in DOCUMENT["components"][kind]:
            assert f"#/components/{kind}/{name}" in used, name


def test_messages_of_an_operation_are_those_of_its_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            assert part["messages"]
            for message in part["messages"]:
                assert message["$ref"].startswith(f"{channel}/messages/")


def test_every_schema_is_a_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        OAS31Validator.check_schema(_resolved(schema))
    for message in DOCUMENT["components"]["messages"].values():
        OAS31Validator.check_schema(_resolved(message["payload"]))


def test_both_subprotocols_have_every_operation() -> None:
    assert set(asyncapi.SUBPROTOCOLS) == {codec.name for codec in SPOKEN}
    for name, _, _ in asyncapi.SUBPROTOCOLS.values():
        received = {
            key
            for key, operation in DOCUMENT["operations"].items()
            if operation["channel"]["$ref"] == f"#/channels/{name}"
            and operation["action"] == "receive"
        }
        assert received == {f"{op}{name.capitalize()}" for op in OPS}


# What brings each operation to an answer, and some to a refusal.
LONG_AGO = {"epoch": "1-00000000", "pos": 1}

EXCHANGES: list[dict[str, Any]] = [
    {"op": "hello", "client": "test"},
    {"op": "set", "key": "a", "value": 1, "ttl": 60, "rev": 1, "mime": "x/y"},
    {"op": "set", "key": "a", "value": 2, "rev": 1},
    {"op": "set", "key": "a", "value": 2, "old": True, "ack": "none"},
    {"op": "get", "key": "a"},
    {"op": "get", "key": "a", "touch": 9},
    {"op": "get", "key": "nothing"},
    {"op": "get_many", "keys": ["a", "nothing"]},
    {"op": "set_many", "items": []},
    {"op": "delete", "key": "a", "if": 1},
    {"op": "delete", "keys": ["a"]},
    {"op": "touch", "key": "a"},
    {"op": "incr", "key": "n"},
    {"op": "scan", "values": True},
    {"op": "scan"},
    {"op": "publish", "channel": "c", "value": 1},
    {"op": "subscribe", "pattern": "a"},
    {"op": "subscribe"},
    {"op": "unsubscribe", "feed": 1},
    {"op": "lock", "name": "l", "ttl": 60},
    {"op": "lock", "name": "l", "ttl": 60},
    {"op": "renew", "name": "l", "fence": 1, "ttl": 60},
    {"op": "unlock", "name": "l", "fence": 1},
    {"op": "clear", "prefix": "a"},
    {"op": "status"},
    {"op": "nodes"},
    {"op": "node"},
    {"op": "ping"},
    {"op": "get"},
]


async def _ask(client: Talker, asked: dict[str, Any]) -> Any:
    """Send a request, and give its reply as it stands in the message."""
    sent = {"id": 1, **asked}
    if "value" in sent:
        sent["value"] = client.value(sent["value"])
    await client.send(sent)
    return await client.receive()


def _as_text(part: Any) -> Any:
    """Bytes as the text that schemas have for binary data."""
    if isinstance(part, bytes):
        return part.decode("latin-1")
    if isinstance(part, dict):
        return {name: _as_text(each) for name, each in part.items()}
    return [_as_text(each) for each in part] if isinstance(part, list) else part


@pytest.mark.parametrize("codec", CODECS)
def test_replies_are_as_they_are_described(codec: str) -> None:
    name = asyncapi.SUBPROTOCOLS[codec][0]

    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            for asked in EXCHANGES:
                reply = _as_text(await _ask(client, asked))
                operation = DOCUMENT["operations"][f"{asked['op']}{name.capitalize()}"]
                answered, refused = (
                    _resolved(_found(_found(each["$ref"])["$ref"])["payload"])
                    for each in operation["reply"]["messages"]
                )
                payload = answered if reply["ok"] else refused
                OAS31Validator(payload).validate(reply)
                if reply["ok"]:
                    head, body = payload["allOf"]
                    fields = {k: v for k, v in reply.items() if k not in head["properties"]}
                    assert_described(body, fields)

    run(scenario())


def test_the_exchanges_bring_every_operation_to_an_answer() -> None:
    assert {each["op"] for each in EXCHANGES} == set(OPS)


def test_a_goaway_is_as_it_is_described() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await client.ask("ping")
            await node.stop()
            push = await client.receive()
            payload = _resolved(DOCUMENT["components"]["messages"]["GoawayJson"]["payload"])
            OAS31Validator(payload).validate(push)
            assert_described(payload, push)

    run(scenario())


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_pushed_on_a_feed_is_as_it_is_described(codec: str) -> None:
    name = asyncapi.SUBPROTOCOLS[codec][0].capitalize()

    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            one = client.value(1)
            begun: tuple[dict[str, Any], ...] = (
                {"op": "set", "key": "a", "value": one, "ttl": 60, "rev": 1, "mime": "x/y"},
                {"op": "subscribe", "pattern": "*", "snapshot": True, "since": LONG_AGO},
                {"op": "subscribe", "pattern": "#*"},
            )
            then: tuple[dict[str, Any], ...] = (
                {"op": "set", "key": "b", "value": one, "ttl": 60, "rev": 1, "mime": "x/y"},
                {"op": "touch", "key": "b", "ttl": 9},
                {"op": "delete", "key": "b"},
                {"op": "publish", "channel": "c", "value": one},
                {"op": "clear"},
            )
            for number, each in enumerate(begun):
                await client.send({**each, "id": number})
            seen: set[str] = set()
            while not seen >= {"reset", "snapshot", "set", "touch", "delete", "message", "clear"}:
                push = _as_text(await client.receive())
                if "push" not in push:
                    assert push["ok"], push
                    continue
                seen |= {push["push"], *(each["type"] for each in push.get("events", ()))}
                if push.get("last"):
                    for number, each in enumerate(then):
                        await client.send({**each, "id": number})
                told = DOCUMENT["components"]["messages"][f"{push['push'].capitalize()}{name}"]
                payload = _resolved(told["payload"])
                OAS31Validator(payload).validate(push)
                assert_described(payload, push)

    run(scenario())
