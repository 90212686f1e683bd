"""The dashboard: its files, and the page in a real browser, on real nodes."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.processes import processes
from tests.js.running_node import run_tests
from tests.node.http.visiting import visit
from tests.running import a_node, run
from tlru.node.http.pages import FILES

IDS = ("n1", "n2", "n3")


def test_it_is_used_and_outlives_the_node_that_served_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with processes(tmp_path, *IDS) as cluster:
            await cluster.until_led_by(cluster.nodes["n1"])
            nodes = [
                {"id": id, "port": each.port, "url": each.url, "pid": each.pid}
                for id, each in cluster.nodes.items()
            ]
            pictures = tmp_path / "pictures"
            pictures.mkdir()
            said = await run_tests("dashboard.test.js", {"nodes": nodes, "pictures": str(pictures)})
            assert "pass 5" in said
            assert len(list(pictures.glob("*.png"))) == 7

    run(scenario())


def test_its_files_are_served_under_a_strict_policy_and_nothing_else_is() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = await visit(node, "GET", "/dashboard?cache=x")
            assert (told.status, told.headers["location"]) == (308, "dashboard/?cache=x")
            for name in ("", *FILES):
                told = await visit(node, "GET", f"/dashboard/{name}")
                assert told.status == 200
                policy = told.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                held = {"If-None-Match": told.headers["etag"]}
                again = await visit(node, "GET", f"/dashboard/{name}", headers=held)
                assert again.status == 304
            for name in ("nothing.js", "..%2f__init__.py", "%2e%2e", "__init__.py"):
                assert (await visit(node, "GET", f"/dashboard/{name}")).status == 404

    run(scenario())


def test_nothing_in_them_becomes_markup_or_is_inline() -> None:
    page = FILES["index.html"].body.decode()
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)| style=| on[a-z]+=", page)
    for name, file in FILES.items():
        text = file.body.decode()
        assert len(text.splitlines()) <= 500, name
        if name.endswith(".js"):
            assert text.startswith("// @ts-check\n"), name
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text)
            for source in re.findall(r'from "([^"]+)"', text):
                assert source == "../js/tlru.js" or source.removeprefix("./") in FILES, source
