"""Who may what is described as it is decided: each route by its row in the table of rights."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.node.access.holders import bearer, token_file
from tests.node.http.visiting import visit
from tests.running import a_node, run, until
from tlru.access.rights import ROUTES, Route
from tlru.node.http.openapi import describe
from tlru.wire.limits import Limits

GUARDED = describe(Limits(), guarded=True)
OPEN = describe(Limits())


def _operation(document: Any, method: str, path: str) -> Any:
    return document["paths"][path][method.lower()]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_is_described_by_its_row(method: str, path: str) -> None:
    row = ROUTES[method, path]
    found = _operation(GUARDED, method, path)
    schemes = [name for each in found["security"] for name in each]
    assert (
        schemes
        == {
            Route.OPEN: [],
            Route.TOKEN: ["token"],
            Route.OPERATION: ["token"],
            Route.TICKET: ["token", "ticket"],
            Route.ADMIN: ["token"],
        }[row]
    )
    answers = set(found["responses"])
    assert ("401" in answers) == (row is not Route.OPEN)
    assert ("429" in answers) == (row in (Route.OPERATION, Route.TICKET))
    assert "503" in answers or row is Route.OPEN
    assert "403" in answers or row in (Route.OPEN, Route.TOKEN)
    assert ("right `admin`" in found.get("description", "")) == (row is Route.ADMIN)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_node_of_everybodys_describes_no_token(method: str, path: str) -> None:
    found = _operation(OPEN, method, path)
    assert "security" not in found
    assert "401" not in found["responses"] or ROUTES[method, path] is Route.TICKET


def test_a_node_describes_itself_as_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, _ = token_file(tmp_path, reader={"read": [""]})
        async with a_node(tokens_file=file) as guarded, a_node() as everybodys:
            told = (await visit(guarded, "GET", "/openapi.json")).json
            validate(told)
            assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
            told = (await visit(everybodys, "GET", "/openapi.json")).json
            validate(told)
            assert "securitySchemes" not in told["components"]

    run(scenario())


def test_refusals_have_the_headers_that_are_described(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, tokens = token_file(tmp_path, one={"read": [""]}, boss=ADMIN)
        async with a_node(tokens_file=file) as node:
            nobody = await visit(node, "GET", "/v1/status")
            assert (nobody.status, nobody.headers["www-authenticate"]) == (401, "Bearer")
            limits = {"limits": "default: operations=1"}
            boss = bearer(tokens["boss"])
            changed = await visit(node, "PATCH", "/v1/settings", json=limits, headers=boss)
            assert changed.status == 200, changed
            await until(lambda: node.services["default"].guard.watches)
            one = bearer(tokens["one"])
            asking = [visit(node, "GET", "/v1/keys/a", headers=one) for _ in range(20)]
            answers = await asyncio.gather(*asking)  # at once: one a second is let through
            refused = next((each for each in answers if each.status == 429), None)
            assert refused is not None, answers
            assert int(refused.headers["retry-after"]) >= 1
            header = GUARDED["components"]["responses"]["RateLimited"]["headers"]["Retry-After"]
            assert header["required"]

    run(scenario())


ADMIN = {"admin": True}
