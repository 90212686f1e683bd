"""The JavaScript client and the dashboard on nodes that ask who it is, and how much it wants."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.authority import Authority, shown
from tests.js.running_node import run_tests
from tests.js.signing import key_hash, keys_file, secret
from tests.node.access.holders import SECRET, bearer, signed
from tests.node.test_limits import set_limits
from tests.ports import free_ports
from tests.running import a_node, run

LIMITS = (
    "bulk: operations=50 operations_burst=5; scarce: operations=1 operations_burst=1; "
    "few: connections=1 connections_burst=1"
)


def test_tokens_run_out_under_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path)) as node:
            nowhere = f"ws://127.0.0.1:{free_ports(1)[0]}/ws"
            told = {"url": node.url, "nowhere": nowhere, "secret": secret()}
            await run_tests("tokens.test.js", told)

    run(scenario())


def test_limits_are_obeyed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path)) as node:
            headers = bearer(signed(SECRET, "HS256", tlru={"admin": True}))
            async with aiohttp.ClientSession(node.http_url, headers=headers) as http:
                await set_limits(node, http, LIMITS)
            await run_tests("limits.test.js", {"url": node.url, "secret": secret()})

    run(scenario())


def test_the_dashboard_asks_for_a_token_and_offers_what_it_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    certificate = authority.node("n1")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(authority.ca))
    pictures = tmp_path / "pictures"
    pictures.mkdir()

    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path), **shown(certificate)) as node:
            told = {
                "url": node.url,
                "page": f"{node.http_url}/dashboard/",
                "spki": key_hash(certificate),
                "secret": secret(),
                "pictures": str(pictures),
            }
            await run_tests("dashboard_tokens.test.js", told)

    run(scenario())
    assert len(list(pictures.glob("*.png"))) == 8
