"""docs/cache.md: its examples run, and its table names every method."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from tlru.engine.cache import TLRUCache

PAGE = Path(__file__).parents[2] / "docs" / "cache.md"


def test_the_examples_of_the_page_give_what_they_say() -> None:
    outcome = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert outcome.attempted > 40
    assert outcome.failed == 0


def test_the_table_of_the_page_names_every_method() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)[`(]", row)}
    public = {name for name in dir(TLRUCache) if not name.startswith("_")}
    assert public <= named
