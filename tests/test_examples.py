"""Every example runs as it stands, against a real node, and shows what it says."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.running import a_node, run

EXAMPLES = Path(__file__).parents[1] / "examples"


async def output_of(name: str, *args: str) -> str:
    """What an example prints, run as a user would."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def test_every_example_has_a_test_and_a_line_in_the_readme() -> None:
    here = Path(__file__).read_text()
    readme = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in here, f"{path.name} is run by no test"
        assert f"({path.name})" in readme, f"{path.name} is not in the README"


def test_quickstart() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            said = await output_of("quickstart.py", node.url)
            assert "greeting: hello" in said
            assert "prices: {'EUR': 1.08, 'GBP': 1.27}" in said
            assert "updated: True" in said
            assert "updated from what was read before: False" in said
            assert "visits: 1" in said
            assert "EUR 1.09" in said

    run(scenario())


def test_embedded() -> None:
    said = run(output_of("embedded.py"))
    assert "serving at ws://127.0.0.1:" in said
    assert "kept: {'one': 'process'}" in said
    assert "status: active" in said


def test_workers() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            said = await output_of("workers.py", node.url, "2")
            assert "reports: 10" in said
            assert "fence" in said

    run(scenario())


def load_example(name: str) -> Any:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location("example_under_test", EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_web_service() -> None:
    """Many requests, one load; a change is seen; and without the cache it still serves."""
    example = load_example("web_service.py")

    async def scenario() -> None:
        async with a_node() as node, aiohttp.ClientSession() as session:
            app = example.make_app(node.url)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/users/7"

            async def ask() -> Any:
                async with session.get(url) as response:
                    return await response.json()

            try:
                found = await asyncio.gather(*(ask() for _ in range(30)))
                assert found == [{"id": "7", "name": "User 7"}] * 30
                assert app[example.LOADS] == ["7"]
                async with session.delete(url) as response:
                    assert response.status == 204
                await ask()
                assert app[example.LOADS] == ["7", "7"]
                await node.stop()
                assert (await ask())["id"] == "7", "the cache is away, the site is not"
            finally:
                await runner.cleanup()

    run(scenario())
