"""What is wished of the cluster is checked, each with its name in the refusal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.node.http.visiting import visit
from tests.running import a_node, run
from tlru.wire.limits import NUMBER_MAX


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("POST", "/v1/rebalance", {"within": False}, "within"),
        ("POST", "/v1/rebalance", {"within": True}, "within"),
        ("POST", "/v1/rebalance", {"within": "1"}, "within"),
        ("PATCH", "/v1/settings", {"tombstone_ms": NUMBER_MAX + 1}, "tombstone_ms"),
        ("PATCH", "/v1/settings", {"max_bytes": NUMBER_MAX + 1}, "max_bytes"),
        ("PATCH", "/v1/settings", {"once_ms": None}, "once_ms"),
    ],
)
def test_what_no_wish_may_hold_is_refused(
    method: str, path: str, body: dict[str, Any], named: str
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            refused = await visit(node, method, path, json=body)
            assert (refused.status, refused.code) == (400, "bad_request")
            assert f"`{named}`" in refused.json["detail"]

    run(scenario())


def test_a_wish_may_be_given_the_least_of_times() -> None:
    """`timeout` is a number as JSON has it, whatever its notation."""

    async def scenario() -> None:
        async with a_node() as node:
            done = await visit(node, "POST", "/v1/rebalance?timeout=5e-1", json={"within": 1e1})
            assert done.status == 200

    run(scenario())
