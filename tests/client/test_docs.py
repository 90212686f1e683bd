"""Every example of the client's guide runs, in order, against a real node."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

import tlru
from tests.client.nodes import node_in_thread
from tests.client.scripted import run

GUIDE = Path(__file__).parents[2] / "docs" / "client.md"
ADDRESS = "ws://localhost:8400"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def url() -> Iterator[str]:
    with node_in_thread() as found:
        yield found


def test_every_example_runs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GUIDE.read_text()
    blocks = BLOCK.findall(text)
    assert len(blocks) >= 8
    guide = ModuleType("guide")
    monkeypatch.setitem(sys.modules, "guide", guide)  # where dataclasses look for their module
    names = vars(guide)

    async def main() -> None:
        for block in blocks:
            await execute(compiled(block.replace(ADDRESS, url)), names)
        await names["cache"].close()

    run(main)
    assert names["profile"].key(7) == "guide.profile(user_id=7, lang='en')"


def compiled(block: str) -> CodeType:
    """An example, as it would be typed into `python -m asyncio`."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(block, "client.md", "exec", flags=flags, dont_inherit=True)
    return code


async def execute(code: CodeType, names: dict[str, Any]) -> None:
    if code.co_flags & inspect.CO_COROUTINE:
        await FunctionType(code, names)()
    else:
        exec(code, names)


def test_every_name_of_the_guide_is_there() -> None:
    text = GUIDE.read_text()
    for name in set(re.findall(r"\btlru\.(\w+)", text)):
        assert hasattr(tlru, name), name
    for name in set(re.findall(r"`(\w+)\(", text)) - {"dumps", "loads"}:
        assert hasattr(tlru.Cache, name) or hasattr(tlru, name), name
