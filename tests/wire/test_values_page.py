"""The tables of docs/protocol/values.md, row by row, so that the page says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tlru.errors import BadRequest
from tlru.wire.strict_json import dumps, parse
from tlru.wire.values import pack, unpack

PAGE = Path(__file__).parents[2] / "docs" / "protocol" / "values.md"
TABLES = ("both ways", "normalised", "understood", "refused")


def rows(table: str) -> list[tuple[str, ...]]:
    """What stands in code marks in each row of the table below `<!-- test: table -->`."""
    _, _, after = PAGE.read_text(encoding="utf-8").partition(f"<!-- test: {table} -->\n")
    lines = after.split("\n\n", 1)[0].splitlines()
    cells = [[cell.strip(" ") for cell in line.strip("|").split(" | ")] for line in lines[2:]]
    return [tuple(cell[1:-1] for cell in row if re.fullmatch("`[^`]+`", cell)) for row in cells]


def test_every_table_of_the_page_is_checked() -> None:
    """A marker that is renamed on one side only would leave a table that no test reads."""
    marked = re.findall("<!-- test: (.*) -->", PAGE.read_text(encoding="utf-8"))
    assert tuple(marked) == TABLES
    assert [len(rows(table)) for table in TABLES] == [47, 12, 11, 26]


@pytest.mark.parametrize("row", rows("both ways"), ids=" = ".join)
def test_both_columns_are_read_as_each_other(row: tuple[str, ...]) -> None:
    """The msgpack is shown as exactly this JSON, and the JSON stored as exactly these bytes."""
    data, text = bytes.fromhex(row[0].replace(" ", "")), row[1]
    assert dumps(unpack(data)).decode() == text
    assert pack(parse(text.encode())) == data


@pytest.mark.parametrize("row", rows("normalised"), ids=" = ".join)
def test_a_longer_form_is_read_and_written_back_in_the_smallest(row: tuple[str, ...]) -> None:
    """The third column is what a JSON client stores that writes back what it read."""
    data, text, smallest = bytes.fromhex(row[0]), row[1], bytes.fromhex(row[2])
    assert dumps(unpack(data)).decode() == text
    assert pack(parse(text.encode())) == smallest


@pytest.mark.parametrize("row", rows("understood"), ids=" = ".join)
def test_another_spelling_is_read_back_in_the_usual_one(row: tuple[str, ...]) -> None:
    """What is understood beyond the usual form is shown in the usual form."""
    assert dumps(unpack(pack(parse(row[0].encode())))).decode() == row[1]


@pytest.mark.parametrize("row", rows("refused"), ids=lambda row: row[0])
def test_what_the_page_refuses_is_refused(row: tuple[str, ...]) -> None:
    """Each row of the last table is a bad request."""
    with pytest.raises(BadRequest):
        pack(parse(row[0].encode()))
