"""Who may know whom, and what is pure: read from every module's imports.

An arrow that turns, a clock or a socket where none may be, a file that has grown too large: each
fails here, with the line that says why it must not be so.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("peers", "tlru")
LINES_MAX = 500

# What a pure module may use of the standard library: nothing that tells the time, rolls dice, or
# reaches outside the process.
PURE = {
    *("__future__", "abc", "bisect", "collections", "dataclasses", "datetime", "enum"),
    *("functools", "heapq", "itertools", "math", "operator", "reprlib", "struct", "types"),
    "typing",
}
# Built in, and other in every process, or every moment; or a way around the imports.
IMPURE = frozenset(("hash", "id", "__import__", "open", "input", "print", "eval", "exec"))
CLOCKS = frozenset(("now", "utcnow", "today"))


@dataclass(frozen=True)
class Area:
    """A part of the tree, and what it may know: other areas, and packages of other people."""

    name: str
    knows: tuple[str, ...]
    others: tuple[str, ...]
    why: str
    pure: bool = False


NODE_OTHERS = (
    "aiohttp",
    "cryptography",
    "msgpack",
    "opentelemetry",
    "prometheus_client",
    "sortedcontainers",
    "websockets",
    "xxhash",
)

# The one table of arrows. A module belongs to the area with the longest name that fits.
AREAS = (
    Area(
        "peers.core",
        ("peers.errors",),
        (),
        "decides what is promised; the node and the simulation drive the same code",
        pure=True,
    ),
    Area(
        "peers",
        ("peers.breaker", "peers.core", "peers.errors"),
        ("msgpack", "websockets", "xxhash"),
        "an ordered log of opaque bytes, for anyone: it knows nothing of caching",
    ),
    Area(
        "tlru.engine",
        ("peers.core", "peers.errors"),
        ("msgpack", "sortedcontainers", "xxhash"),
        "every node must come to the same state: time is an argument, and chance there is none",
        pure=True,
    ),
    Area(
        "peers.errors",
        (),
        (),
        "what goes wrong in the log, in words that all layers share",
        pure=True,
    ),
    Area("peers.breaker", (), (), "whether to try at all: time is an argument", pure=True),
    Area("tlru.errors", (), (), "both sides name what goes wrong by the same words", pure=True),
    Area("tlru._version", (), (), "read by the build, which must not import anything", pure=True),
    Area(
        "tlru.wire",
        ("tlru.engine", "tlru.errors"),
        ("msgpack", "orjson", "websockets"),
        "what client and node say to each other: neither side's, so it may know neither",
    ),
    Area(
        "tlru.config",
        ("peers.awake", "tlru.errors", "tlru.wire"),
        (),
        "what a node is told; read before there is a node",
    ),
    Area(
        "tlru.access.grant",
        (),
        (),
        "what somebody may do depends on nothing but what was granted and what is asked",
        pure=True,
    ),
    Area(
        "tlru.access.rights",
        ("tlru.access.grant", "tlru.errors"),
        (),
        "who may what is decided by a grant and a request alone, and tried without a node",
        pure=True,
    ),
    Area(
        "tlru.access",
        ("tlru.access.grant", "tlru.access.rights", "tlru.errors", "tlru.wire"),
        ("cryptography", "jwt"),
        "tokens and what they allow, for the node that checks them and the command that makes them",
    ),
    Area(
        "tlru.backups",
        ("tlru.engine", "tlru.errors"),
        ("msgpack", "xxhash"),
        "the form of a backup is the same for the node that writes it and the command that checks",
    ),
    Area(
        "tlru.node",
        (
            "peers",
            "peers.awake",
            "peers.core",
            "peers.errors",
            "tlru.access",
            "tlru.access.grant",
            "tlru.access.rights",
            "tlru.backups",
            "tlru.engine",
            "tlru.errors",
            "tlru.wire",
            "tlru.config",
            "tlru.logs",
            "tlru._version",
        ),
        NODE_OTHERS,
        "the server; it must run where neither client nor command line is",
    ),
    Area(
        "tlru.client",
        (
            "peers.awake",
            "peers.breaker",
            "peers.resilience",
            "tlru.engine",
            "tlru.errors",
            "tlru.wire",
            "tlru._version",
        ),
        ("msgpack", "opentelemetry", "websockets"),
        "runs in other people's programs: it must not drag a server in",
    ),
    Area(
        "tlru.sync",
        ("tlru.client", "tlru.errors"),
        ("uvloop",),
        "the client without a loop: another face, not another client",
    ),
    Area("tlru.cache", ("tlru.engine",), (), "the local cache, useful alone"),
    Area("tlru.logs", (), (), "how log lines look is no business of who writes them"),
    Area(
        "tlru.cli",
        (
            "tlru",
            "tlru._version",
            "tlru.access",
            "tlru.access.grant",
            "tlru.backups",
            "tlru.client",
            "tlru.config",
            "tlru.engine",
            "tlru.errors",
            "tlru.logs",
            "tlru.node",
            "tlru.wire",
            "peers.errors",
        ),
        ("click", "cryptography", "msgpack", "rich", "uvloop"),
        "the outermost layer: it may know all, and nobody knows it",
    ),
    Area("tlru.__main__", ("tlru.cli",), (), "python -m tlru is the command line"),
    Area(
        "tlru",
        (
            "tlru._version",
            "tlru.cache",
            "tlru.client",
            "tlru.config",
            "tlru.errors",
            "tlru.node",
            "tlru.sync",
        ),
        (),
        "what `import tlru` offers, each name loaded when it is first used",
    ),
)
# Single modules of an area that may be known where the rest of it may not.
MODULES_BY_THEMSELVES = ("peers.awake", "peers.errors", "peers.resilience")


def area_of(module: str) -> Area | None:
    """The area with the longest name that fits; the root package's own row is for itself only."""
    fitting = [
        area
        for area in AREAS
        if module == area.name or (module.startswith(f"{area.name}.") and area.name != "tlru")
    ]
    return max(fitting, key=lambda area: len(area.name), default=None)


def modules() -> dict[str, Path]:
    """Every module of ours, by name."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


OURS = modules()


# -- what a module uses


def imports(module: str, tree: ast.AST, *, is_package: bool) -> Iterator[str]:
    """What a module imports anywhere in it, for types too: to name a thing is to know it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(module, node, is_package=is_package)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield inner if inner in OURS else source


def _absolute(module: str, node: ast.ImportFrom, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    package = parts if is_package else parts[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def offences(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module does that its area may not, each in a sentence."""
    area = area_of(module)
    if area is None:
        return [f"{module} belongs to no area; give it a row in tests/test_architecture.py"]
    tree = ast.parse(source)
    used = sorted(set(imports(module, tree, is_package=is_package)))
    found = [
        f"{module} imports {name}, which {area.name} must not know: {area.why}"
        for name in used
        if not _may_know(area, name)
    ]
    return found + (list(_impurities(module, area, tree)) if area.pure else [])


def _may_know(area: Area, name: str) -> bool:
    top = name.split(".")[0]
    if top not in PACKAGES:
        if top in sys.stdlib_module_names:
            return not area.pure or top in PURE
        return top in area.others
    target = area_of(name)
    if name in MODULES_BY_THEMSELVES and name in area.knows:
        return True
    return target is not None and (target is area or target.name in area.knows)


def _impurities(module: str, area: Area, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in IMPURE:
                yield f"{module}:{node.lineno} uses {name}(): {area.why}"
            case ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=name) if name in CLOCKS:
                yield f"{module}:{node.lineno} reads a clock: {area.why}"


# -- the tests


@pytest.mark.parametrize("module", OURS)
def test_a_module_knows_only_what_its_area_may(module: str) -> None:
    file = OURS[module]
    found = offences(module, file.read_text(), is_package=file.name == "__init__.py")
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("module", OURS)
def test_a_module_is_small_enough_to_have_one_job(module: str) -> None:
    lines = len(OURS[module].read_text().splitlines())
    assert lines <= LINES_MAX, f"{module} has {lines} lines; give its second job a file of its own"


def test_every_area_has_modules_and_every_arrow_leads_to_one() -> None:
    """A row that fits nothing protects nothing."""
    inhabited = {area.name for area in map(area_of, OURS) if area is not None}
    assert {area.name for area in AREAS} == inhabited
    for area in AREAS:
        for name in area.knows:
            assert name in inhabited or name in MODULES_BY_THEMSELVES, f"{area.name} -> {name}"


def test_no_arrows_make_a_circle() -> None:
    knows = {area.name: {area_of(name) for name in area.knows} for area in AREAS}
    settled: set[str] = set()
    while len(settled) < len(AREAS):
        ready = {
            name
            for name, targets in knows.items()
            if all(target is None or target.name in {*settled, name} for target in targets)
        }
        assert ready > settled, f"a circle among {sorted(knows.keys() - settled)}"
        settled = ready


def test_the_log_can_be_used_without_the_cache() -> None:
    """The example of it knows `peers` alone; that `peers` knows no more is seen to above."""
    source = (ROOT / "examples" / "ledger.py").read_text()
    used = {name.split(".")[0] for name in imports("ledger", ast.parse(source), is_package=False)}
    assert used - sys.stdlib_module_names == {"peers"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("peers.mesh.mesh", "import tlru.engine.machine"),
        ("peers.mesh.mesh", "from tlru import errors"),
        ("peers.core.replica", "import asyncio"),
        ("peers.core.replica", "from peers.disk.storage import State"),
        ("peers.core.replica", "from .. import storage"),
        ("peers.core.replica", "import os.path"),
        ("peers.core.replica", "def f():\n    import time"),
        ("peers.core.replica", "import msgpack"),
        ("tlru.engine.feeds", "from random import Random"),
        ("tlru.engine.feeds", "import secrets"),
        ("tlru.engine.feeds", "import uuid"),
        ("tlru.engine.feeds", "import threading"),
        ("tlru.engine.feeds", "import logging.handlers"),
        ("tlru.engine.feeds", "import websockets"),
        ("tlru.engine.feeds", "from tlru.node.service import CacheService"),
        ("tlru.engine.feeds", "if TYPE_CHECKING:\n    from tlru.config import Config"),
        ("tlru.engine.feeds", "from peers.ordered_log import Ack"),
        ("tlru.engine.feeds", "sorted(x, key=hash)"),
        ("tlru.engine.feeds", "seen.add(id(x))"),
        ("tlru.engine.feeds", "order = hash(key)"),
        ("tlru.engine.feeds", "from datetime import datetime\nnow = datetime.now"),
        ("tlru.engine.feeds", "time = __import__('time')"),
        ("tlru.wire.codec", "from tlru.node import session"),
        ("tlru.wire.codec", "import aiohttp"),
        ("tlru.wire.codec", "from peers.core.entry import Dot"),
        ("tlru.client.client", "from tlru.node.server import Node"),
        ("tlru.client.client", "from tlru import Node"),
        ("tlru.client.client", "from peers.single import SingleLog"),
        ("tlru.node.server", "import tlru.client"),
        ("tlru.node.server", "from tlru.cli import app"),
        ("tlru.config.sources", "import rich"),
        ("tlru.somewhere.new", ""),
    ],
)
def test_an_offending_module_is_found(module: str, source: str) -> None:
    assert offences(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("peers.core.replica", "from .entry import Dot\nfrom collections import deque"),
        ("peers.mesh.mesh", "import asyncio\nfrom ..core import entry"),
        ("tlru.engine.feeds", "import msgpack\nfrom peers.core.vector import Vector"),
        ("tlru.engine.feeds", "from tlru.engine.digest import record_hash\nrecord_hash(1)"),
        ("tlru.client.client", "import asyncio\nfrom peers.resilience import Backoff"),
        ("tlru.node.server", "from tlru import errors\nfrom peers.single import SingleLog"),
    ],
)
def test_an_honest_module_is_let_be(module: str, source: str) -> None:
    assert offences(module, source) == []
