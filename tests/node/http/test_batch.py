"""A list of operations in one request."""

from __future__ import annotations

import json as jsonlib
from typing import Any

import pytest

from tests.node.http.visiting import JSON, Heard, get, put, visit
from tests.running import a_node, run
from tlru.node import Node


async def batch(node: Node, *operations: Any) -> Heard:
    """Send a batch."""
    return await visit(node, "POST", "/v1/batch", json=list(operations))


def test_results_come_in_the_order_of_the_operations() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "a", "before")
            done = await batch(
                node,
                {"op": "get", "key": "a"},
                {"op": "set", "key": "a", "value": 1, "id": 7},
                {"op": "incr", "key": "a", "by": 2},
                {"op": "set", "key": "a", "value": [None], "old": True},
                {"op": "get_many", "keys": ["a", "nothing"], "id": -3},
                {"op": "delete", "key": "a"},
                {"op": "ping"},
            )
            assert done.status == 200
            assert "tlru-position" in done.headers
            results = done.json
            assert [each.get("id") for each in results] == [None, 7, None, None, -3, None, None]
            assert all(each["ok"] for each in results)
            assert results[0]["value"] == "before"
            assert results[2]["value"] == 3
            assert results[3]["old"] == 3
            assert [each["found"] for each in results[4]["values"]] == [True, False]
            assert results[5]["deleted"] == 1
            assert "id" not in results[0]

    run(scenario())


def test_each_operation_fails_by_itself() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await batch(
                node,
                {"op": "set", "key": "a", "value": 1},
                {"op": "set", "key": ""},
                {"op": "nonsense"},
                {"op": "hello"},
                {"op": ["get"]},
                5,
                {"op": "get", "key": "a", "id": "x"},
                {"op": "get", "key": "a", "nonsense": 1},
                {"op": "set", "key": "_tlru/x", "value": 1},
                {"op": "node", "node": "nowhere"},
                {},
                {"op": "set", "key": "b", "value": {"$nonsense": 1}},
                {"op": "set", "key": "c", "value": 2},
            )
            codes = [each.get("error", {}).get("code") for each in done.json]
            bad = "bad_request"
            assert codes == [
                None, bad, "unknown_op", "unknown_op", "unknown_op", bad, bad, bad, "forbidden",
                bad, "unknown_op", bad, None,
            ]  # fmt: skip
            assert (await get(node, "c")).json == 2

    run(scenario())


def test_a_batch_may_ask_about_the_node() -> None:
    async def scenario() -> None:
        async with a_node(id="me") as node:
            status, nodes, one, other = (
                await batch(
                    node,
                    {"op": "status"},
                    {"op": "nodes"},
                    {"op": "node"},
                    {"op": "node", "node": "me"},
                )
            ).json
            assert status["node"] == "me"
            assert [each["id"] for each in nodes["nodes"]] == ["me"]
            assert one["node"]["id"] == other["node"]["id"] == "me"

    run(scenario())


def test_locks_are_taken_and_waited_for_in_a_batch() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            held, turn = (
                await batch(
                    node,
                    {"op": "lock", "name": "l", "ttl": 0.05},
                    {"op": "lock", "name": "l", "ttl": 10, "wait": 60},
                )
            ).json
            assert held["held"] is True
            assert turn["held"] is True
            assert turn["fence"] > held["fence"]
            freed = (await batch(node, {"op": "unlock", "name": "l", "fence": turn["fence"]})).json
            assert freed[0]["released"] is True

    run(scenario())


def test_every_operation_answers_as_it_is_described() -> None:
    """`visit` compares every result with the schemas, so this walks through all of them."""

    async def scenario() -> None:
        async with a_node() as node:
            taken = {"lock": {"name": "l", "ttl": 60}}
            fence = (await batch(node, {"op": "lock", **taken["lock"]})).json[0]["fence"]
            operations: list[dict[str, Any]] = [
                {"op": "set", "key": "a", "value": 1, "ttl": 60, "rev": 1, "mime": "x/y"},
                {"op": "set", "key": "a", "value": 2, "rev": 1},
                {"op": "set", "key": "a", "value": 2, "if": "present", "ack": "all"},
                {"op": "set", "key": "a", "value": 2, "if": {"unchanged": 0}},
                {"op": "set", "key": "a", "value": 2, "ack": "none"},
                {"op": "set", "key": "a", "value": 2, "ack": "leader"},
                {"op": "set_many", "items": [{"key": "b", "value": 1, "rev": "x"}]},
                {"op": "set_many", "items": [{"key": "b", "value": 1, "rev": "a"}]},
                {"op": "get", "key": "a", "touch": 5},
                {"op": "get", "key": "b", "min": 0},
                {"op": "get", "key": "nothing"},
                {"op": "get_many", "keys": ["a", "b", "nothing"]},
                {"op": "touch", "key": "b", "ttl": 5},
                {"op": "scan"},
                {"op": "scan", "values": True, "limit": 1},
                {"op": "incr", "key": "n"},
                {"op": "delete", "key": "b", "rev": "a"},
                {"op": "delete", "keys": ["b", "c"]},
                {"op": "publish", "channel": "c", "value": None},
                {"op": "clear", "prefix": "a"},
                {"op": "lock", "name": "l", "ttl": 60},
                {"op": "renew", "name": "l", "fence": fence, "ttl": 30},
                {"op": "renew", "name": "l", "fence": 0, "ttl": 30},
                {"op": "unlock", "name": "l", "fence": fence},
                {"op": "status"},
                {"op": "nodes"},
                {"op": "node"},
                {"op": "ping"},
            ]
            results = (await batch(node, *operations)).json
            assert [each for each in results if not each["ok"]] == []

    run(scenario())


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", JSON, 400),
        (b"", JSON, 400),
        (b"[", JSON, 400),
        (b"[]", {"Content-Type": "text/plain"}, 415),
        (b"[]", {**JSON, "Idempotency-Key": "x"}, 400),
        (jsonlib.dumps([{}] * 1025).encode(), JSON, 413),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            refused = await visit(node, "POST", "/v1/batch", body=body, headers=headers)
            assert refused.status == status

    run(scenario())


def test_an_empty_batch_has_no_results() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            assert (await batch(node)).json == []

    run(scenario())


def test_what_follows_a_full_answer_is_not_done() -> None:
    async def scenario() -> None:
        async with a_node(message_bytes=4096, value_bytes=3000) as node:
            await visit(node, "PUT", "/v1/keys/large", json="x" * 2900)
            reads: list[Any] = [{"op": "get", "key": "large"}] * 3
            done = await batch(node, *reads, {"op": "set", "key": "a", "value": 1})
            told = [(each["ok"], each.get("error", {}).get("code")) for each in done.json]
            assert told == [(True, None), (True, None), (False, "too_large"), (False, "too_large")]
            assert len(done.body) < 4096 + 3000 + 1000
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_old_values_fill_an_answer_as_reads_do() -> None:
    async def scenario() -> None:
        async with a_node(message_bytes=4096, value_bytes=3000) as node:
            await visit(node, "PUT", "/v1/keys/large", json="x" * 2900)
            swaps: list[Any] = [
                {"op": "set", "key": "large", "value": 1, "if": {"unchanged": 0}},
                {"op": "delete", "key": "large", "rev": 1, "if": "absent"},
                {"op": "set", "key": "large", "value": 2},
            ]
            done = (await batch(node, *swaps)).json
            assert [each["ok"] for each in done] == [True, True, False]
            assert (await get(node, "large")).json == "x" * 2900

    run(scenario())


def test_reads_of_a_batch_are_no_older_than_the_position_it_carries() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            done = await put(node, "a", 1)
            operations = [{"op": "get", "key": "a"}, {"op": "get", "key": "a", "min": 0}]
            for position, codes in (
                (done.headers["tlru-position"], [None, None]),
                ("9-ffffffff-1", ["wrong_epoch", None]),
            ):
                told = await visit(
                    node,
                    "POST",
                    "/v1/batch",
                    json=[*operations, {"op": "set", "key": "b", "value": 1}],
                    headers={"Tlru-Position": position},
                )
                given = [each.get("error", {}).get("code") for each in told.json]
                assert given == [*codes, None]

    run(scenario())
