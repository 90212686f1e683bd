"""The page and the example files say what the table of options says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tlru.config import Config, resolve
from tlru.config import page as pages

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "config").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_can_be_loaded(path: Path) -> None:
    resolved = resolve(path, {})
    assert resolved.notes == ()
    told = {name for name, origin in resolved.origins.items() if str(origin) != "default"}
    assert told == set(tomllib.loads(path.read_text()))


def test_the_example_with_every_option_is_what_the_table_says() -> None:
    assert (ROOT / pages.EXAMPLE).read_text("utf-8") == pages.example()
    assert Config.from_sources(ROOT / pages.EXAMPLE, {}) == Config()


def test_the_page_is_what_the_table_says() -> None:
    text = (ROOT / pages.PAGE).read_text("utf-8")
    assert pages.filled(text) == text, "run: python -m tlru.config.page"
    assert {path.name for path in EXAMPLES} == {
        word.removeprefix("config/") for word in text.split("`") if word.startswith("config/")
    } - {""}
