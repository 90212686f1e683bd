"""Every example runs as it stands, against a real node if it needs one, and shows what it says."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from peers.core.entry import Dot, Entry, Origin
from peers.ordered_log import Settled
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
    tests = (Path(__file__), *(Path(__file__).parent / "examples").glob("*.py"))
    here = "".join(file.read_text() for file in tests)
    readme = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in here, f"{path.name} is run by no test"
        assert f"({path.name})" in readme, f"{path.name} is not in the README"
    for path in EXAMPLES.glob("*/*.py"):
        name = f"{path.parent.name}/{path.name}"
        assert f'"{name}"' in here, f"{name} is run by no test"
        assert f"({path.parent.name})" in readme, f"{name} is not in the README"


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


def test_ledger(tmp_path: Path) -> None:
    """What is spent twice is refused once; the second run goes on from the first, in its epoch."""

    def lines_of_run() -> list[str]:
        return run(output_of("ledger.py", "--data-dir", str(tmp_path))).splitlines()

    first, second = lines_of_run(), lines_of_run()
    epoch = first[0].split()[2].rstrip(",")
    assert first == [
        f"opened: epoch {epoch}, entry 0, {{}}",
        "outside pays ann 100: done (entry 1)",
        "ann pays bob 80: done (entry 2)",
        "ann pays cat 80: refused: ann has 20 (entry 3)",
        "as of now: {'outside': -100, 'ann': 20, 'bob': 80}",
        f"opened: epoch {epoch}, entry 3, {{'outside': -100, 'ann': 20, 'bob': 80}}",
        "ann pays cat 20: done (entry 4)",
        "as of now: {'outside': -100, 'ann': 0, 'bob': 80, 'cat': 20}",
    ]
    assert second[0] == f"opened: epoch {epoch}, entry 4, {first[-1].removeprefix('as of now: ')}"
    assert second[-1] == "as of now: {'outside': -200, 'ann': 0, 'bob': 160, 'cat': 40}"


def test_ledger_needs_no_directory_and_explains_itself() -> None:
    assert "ann pays cat 20: done (entry 4)" in run(output_of("ledger.py"))
    assert "--data-dir" in run(output_of("ledger.py", "--help"))


def load_example(name: str) -> Any:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location("example_under_test", EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FarLog:
    """Orders nothing by itself: the test says what becomes of each operation."""

    def __init__(self) -> None:
        self.operations: list[bytes] = []

    def now(self) -> int:
        return 1_000

    def propose(self, operation: bytes, until: int) -> Dot:
        assert until > self.now()
        self.operations.append(operation)
        return Dot(Origin("n", "birth"), 1, len(self.operations))

    async def read_barrier(self) -> int:
        return 5


def test_ledger_takes_what_only_the_log_of_a_cluster_says() -> None:
    """A leader's own entry, a void, what is late, an asker who has gone, a read ahead of all."""
    log = FarLog()
    ledger = load_example("ledger.py").Ledger(log)

    async def scenario() -> None:
        asked = [asyncio.create_task(ledger.transfer("outside", "ann", 5)) for _ in range(5)]
        reading = asyncio.create_task(ledger.read())
        await asyncio.sleep(0)
        operation = log.operations[0]
        void, late, done, gone, unknown = [Dot(Origin("n", "birth"), 1, n) for n in range(1, 6)]
        ledger.apply([Entry(1, 2, 1_000, None, None, b""), Entry(2, 2, 1_000, void, None, b"")])
        ledger.apply([Entry(3, 2, 7_000, late, 6_000, operation)])
        asked[3].cancel()
        await asyncio.sleep(0)
        ledger.apply([Entry(4, 2, 7_000, done, 7_000, operation)])
        await asyncio.sleep(0)
        assert not reading.done()
        ledger.apply([Entry(5, 2, 7_000, gone, 8_000, operation)])
        ledger.settle(unknown, Settled.UNKNOWN)
        assert await reading == {"outside": -10, "ann": 10}
        asked.pop(3)
        assert await asyncio.gather(*asked) == [
            "not done: it came too late (entry 2)",
            "not done: it came too late (entry 3)",
            "done (entry 4)",
            "perhaps done",
        ]

    run(scenario())


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
