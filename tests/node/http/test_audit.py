"""What admins did is told: every route that is theirs, who, from where, and what became of it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.node.clusters import three
from tests.node.http.visiting import visit
from tests.running import a_node, run
from tlru.errors import TlruError
from tlru.node import Node
from tlru.node.audit import REFUSALS_AT_ONCE, WORD_CHARS_MAX, Audit
from tlru.node.http.audited import AUDITED
from tlru.node.http.routes import ROUTES

SAFE = ("GET", "HEAD")

# What changes nothing but what is kept, or nothing at all: no matter of admins.
OF_CLIENTS = {
    ("POST", "/cache"),
    ("POST", "/v1/keys/incr"),
    ("POST", "/v1/keys/{key}/incr"),
    ("PUT", "/v1/keys/{key}"),
    ("DELETE", "/v1/keys/{key}"),
    ("PUT", "/v1/keys"),
    ("DELETE", "/v1/keys"),
    ("POST", "/v1/channels/{channel}"),
    ("POST", "/v1/ticket"),
    ("POST", "/v1/batch"),
    ("POST", "/v1/command"),
}

# What changes nothing, and takes everything away.
OF_READING = {("GET", "/v1/snapshot")}

# Each with a body, what is told of it, and what became of it at a node of three.
ASKED: dict[tuple[str, str], tuple[Any, dict[str, Any], str]] = {
    ("POST", "/v1/nodes"): ({"id": "n9", "priority": 5}, {"id": "n9", "to_priority": 5}, "ok"),
    ("PATCH", "/v1/nodes/{id}"): ({"priority": 7}, {"target": "n9", "to_priority": 7}, "not_found"),
    ("DELETE", "/v1/nodes/{id}"): (..., {"target": "n9"}, "not_found"),
    ("POST", "/v1/nodes/{id}/lead"): (..., {"target": "n9"}, "not_found"),
    ("POST", "/v1/nodes/{id}/reload"): (..., {"target": "n9"}, "not_found"),
    ("POST", "/v1/nodes/{id}/restart"): (..., {"target": "n9"}, "not_found"),
    ("POST", "/v1/nodes/{id}/restore"): (..., {"target": "n9"}, "not_found"),
    ("POST", "/v1/nodes/{id}/revive"): (
        {"members": ["n1", "n9"]},
        {"target": "n9", "to_members": '["n1", "n9"]'},
        "not_found",
    ),
    ("GET", "/v1/snapshot"): (..., {}, "begun"),
    ("POST", "/v1/snapshot"): (..., {}, "bad_request"),
    ("POST", "/v1/rebalance"): ({"within": 0}, {"to_within": 0}, "ok"),
    ("PATCH", "/v1/settings"): ({"max_entries": 9}, {"to_max_entries": 9}, "ok"),
    ("POST", "/v1/upgrade/finalize"): (..., {}, "ok"),
}


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_route_that_is_not_of_clients_is_audited() -> None:
    changing = {
        (method, route.path)
        for route in ROUTES.routes
        for method in route.methods
        if method not in SAFE
    }
    assert changing - OF_CLIENTS | OF_READING == set(AUDITED) == set(ASKED)
    assert changing >= OF_CLIENTS


def test_what_an_admin_asks_for_is_told_with_what_became_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tlru.audit")
    file = tmp_path / "audit.jsonl"

    async def scenario() -> None:
        async with three(audit_file=file) as made:
            for (method, route), (body, _, _) in ASKED.items():
                more = {} if body is ... else {"json": body}
                await visit(made["n1"], method, route.replace("{id}", "n9"), **more)
            await visit(made["n1"], "PUT", "/v1/keys/a", json=1)

    run(scenario())
    told = [line for line in lines(file) if line.pop("time").endswith("Z")]
    (ended,) = [line for line in told if "bytes" in line]
    assert (ended["action"], ended["outcome"]) == ("snapshot", "ok")
    assert ended["bytes"] > 0
    assert [line for line in told if line is not ended] == [
        {
            "node": "n1",
            "who": "anybody",
            "from": "127.0.0.1",
            "action": AUDITED[asked].action,
            "outcome": outcome,
            **what,
        }
        for asked, (_, what, outcome) in ASKED.items()
    ]
    said = [vars(one) for one in caplog.records if one.name == "tlru.audit"]
    assert [one["action"] for one in said] == [one["action"] for one in told]
    assert [one["outcome"] for one in said] == [one["outcome"] for one in told]


def test_nothing_is_told_of_a_body_but_what_the_table_names(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    async def scenario() -> None:
        async with a_node(audit_file=file) as node:
            for body in ({"max_entries": "a secret"}, {"max_entries": 5, "token": "a secret"}):
                await visit(node, "PATCH", "/v1/settings", json=body)
            node.audit.note("a", "b", "c", "ok", {"long": "x" * 5_000, "list": [1] * 5_000})

    run(scenario())
    *refused, long = lines(file)
    assert [line["outcome"] for line in refused] == ["bad_request"] * 2
    assert not any("to_max_entries" in line for line in refused)
    assert long["long"] == "x" * WORD_CHARS_MAX + "..."
    assert len(long["list"]) == WORD_CHARS_MAX + 3
    assert "secret" not in file.read_text()


def test_the_file_goes_on_and_can_be_rotated(tmp_path: Path) -> None:
    file, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"

    async def once() -> None:
        async with a_node(audit_file=file) as node:
            await visit(node, "PATCH", "/v1/settings", json={})

    async def rotated() -> None:
        async with a_node(audit_file=file) as node:
            file.rename(old)
            await visit(node, "PATCH", "/v1/settings", json={})
            node.go_by(node.config, None)  # as a reload does
            await visit(node, "PATCH", "/v1/settings", json={})

    run(once())
    run(once())
    assert len(lines(file)) == 2
    run(rotated())
    assert (len(lines(old)), len(lines(file))) == (3, 1)


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(TlruError, match=r"audit_file: .* cannot be written"):
        Node(audit_file=tmp_path / "nowhere" / "audit.jsonl")


def test_refusals_are_told_but_fill_no_disk(tmp_path: Path) -> None:
    """Strangers are told of until there are many, and hide nothing that somebody with a token
    tried."""
    file = tmp_path / "audit.jsonl"
    audit = Audit("n1", file)
    for _ in range(1_000):
        audit.note("nobody", "192.0.2.1", "settings", "unauthenticated", {})
    audit.note("ann", "192.0.2.2", "settings", "forbidden", {})
    audit.note("ops", "192.0.2.3", "settings", "ok", {})
    for _ in range(1_000):
        audit.note("ann", "192.0.2.2", "settings", "forbidden", {})
    for _ in range(1_000):
        audit.note("ops", "192.0.2.3", "settings", "bad_request", {})
    audit.close()
    told = Counter((line["who"], line["outcome"]) for line in lines(file))
    assert told == {
        ("nobody", "unauthenticated"): REFUSALS_AT_ONCE,
        ("ann", "forbidden"): REFUSALS_AT_ONCE,
        ("ops", "ok"): 1,
        ("ops", "bad_request"): 1_000,
    }
    left_out = [line["left_out"] for line in lines(file) if "left_out" in line]
    assert left_out == [1_000 - REFUSALS_AT_ONCE, 1_001 - REFUSALS_AT_ONCE]
