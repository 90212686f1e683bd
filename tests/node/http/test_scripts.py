"""The JavaScript client as a node serves it."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.node.http.visiting import visit
from tests.running import a_node, run
from tlru.node.http.scripts import SCRIPTS

ROOT = Path(__file__).parents[3]
_IMPORTED = re.compile(rb'^(?:import|export)\b[^;]*?\bfrom "([^"]+)";', re.MULTILINE)


def test_a_page_that_imports_it_is_given_every_module() -> None:
    """What each module imports is served where a browser will look for it."""

    async def scenario() -> None:
        async with a_node() as node:
            waiting, met = {"/tlru.js"}, set[str]()
            while waiting:
                path = waiting.pop()
                met.add(path)
                told = await visit(node, "GET", path)
                assert told.status == 200, path
                assert told.headers["content-type"] == "text/javascript; charset=utf-8"
                folder = path.rpartition("/")[0]
                for found in _IMPORTED.findall(told.body):
                    assert found.startswith(b"./"), "only its own modules are imported"
                    waiting |= {f"{folder}/{found[2:].decode()}"} - met
            assert met == {"/tlru.js", *(f"/js/{name}" for name in SCRIPTS)}

    run(scenario())


def test_what_a_browser_holds_already_is_not_sent_again() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for path in ("/tlru.js", "/js/client.js"):
                told = await visit(node, "GET", path)
                assert told.headers["cache-control"] == "no-cache"
                tag = told.headers["etag"]
                again = await visit(node, "GET", path, headers={"If-None-Match": f'"x", {tag}'})
                assert (again.status, again.body) == (304, b"")
                assert again.headers["etag"] == tag
                other = await visit(node, "GET", path, headers={"If-None-Match": '"x"'})
                assert other.status == 200
                head = await visit(node, "HEAD", path)
                assert (head.status, head.body) == (200, b"")

    run(scenario())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing.js",
        "package.json",
        "README.md",
        "..",
        "%2e%2e%2f_version.py",
        "..%2F..%2Fsetup.cfg",
        "../errors.py",
        "%00.js",
        "./client.js",
        "/etc/passwd",
        "client.js%00",
        "CLIENT.js",
    ],
)
def test_nothing_else_is_served(name: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = await visit(node, "GET", f"/js/{name}")
            assert told.status in (400, 404), told
            assert told.headers["content-type"] == "application/problem+json"

    run(scenario())


def test_a_page_of_another_origin_may_import_it_where_the_operator_lets_it() -> None:
    async def scenario() -> None:
        page = {"Origin": "https://shop.example"}
        async with a_node(cors_origins=("https://shop.example",)) as node:
            told = await visit(node, "GET", "/js/client.js", headers=page)
            assert told.headers["access-control-allow-origin"] == "https://shop.example"
        async with a_node() as node:
            told = await visit(node, "GET", "/js/client.js", headers=page)
            assert "access-control-allow-origin" not in told.headers

    run(scenario())


def test_what_is_installed_has_the_client_in_it() -> None:
    """The files are data of the package: without this line a wheel would lack them."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["tlru"].split()
    folder = ROOT / "tlru" / "js"
    packed = {path.name for pattern in patterns for path in (ROOT / "tlru").glob(pattern)}
    assert {path.name for path in folder.iterdir()} <= packed
