"""The pages among the examples, in a real browser, on three processes of which one is killed."""

from __future__ import annotations

from pathlib import Path

from tests.integration.processes import processes
from tests.js.running_node import run_tests
from tests.ports import free_ports
from tests.running import run

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_pages_are_used_and_outlive_a_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        (port,) = free_ports(1)
        flags = ("--cors-origins", f"http://127.0.0.1:{port}")
        async with processes(tmp_path, "n1", "n2", "n3", flags=flags) as cluster:
            nodes = [
                {"id": id, "port": each.port, "url": each.url, "pid": each.pid}
                for id, each in cluster.nodes.items()
            ]
            pictures = tmp_path / "pictures"
            pictures.mkdir()
            told = {
                "nodes": nodes,
                "examples": str(EXAMPLES),
                "port": port,
                "pictures": str(pictures),
            }
            assert "pass 2" in await run_tests("examples.test.js", told)
            assert len(list(pictures.glob("*.png"))) == 8

    run(scenario())
