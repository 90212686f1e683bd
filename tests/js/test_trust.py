"""The JavaScript client on nodes that ask who it is, and how much it wants."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.integration.processes import free_ports
from tests.js.running_node import run_tests
from tests.node.access.holders import SECRET, jwks
from tests.running import a_node, run


def test_tokens_run_out_under_it(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(tests=SECRET))

    async def scenario() -> None:
        async with a_node(jwt_keys=keys) as node:
            told = {
                "url": node.url,
                "nowhere": f"ws://127.0.0.1:{free_ports(1)[0]}/ws",
                "secret": base64.b64encode(SECRET).decode(),
            }
            await run_tests("tokens.test.js", told)

    run(scenario())


def test_the_dashboard_asks_for_a_token_and_offers_what_it_allows(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(tests=SECRET))
    pictures = tmp_path / "pictures"
    pictures.mkdir()

    async def scenario() -> None:
        async with a_node(jwt_keys=keys) as node:
            told = {
                "url": node.url,
                "page": f"{node.http_url}/dashboard/",
                "secret": base64.b64encode(SECRET).decode(),
                "pictures": str(pictures),
            }
            await run_tests("dashboard_tokens.test.js", told)

    run(scenario())
    assert len(list(pictures.glob("*.png"))) == 8
