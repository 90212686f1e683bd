"""docs/mesh.md names every close code and every bound, with the values that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from peers import wire
from peers.mesh import dialler, greeting, link, lives, mesh, settings, status
from peers.mesh.ends import REFUSALS, Close
from peers.mesh.greeting import Greeting
from peers.mesh.settings import MeshTiming

PAGE = (Path(__file__).parents[2] / "docs" / "mesh.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|")
]
MODULES = (
    mesh,
    dialler,
    greeting,
    link,
    lives,
    settings,
    status,
    wire,
)
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}


def test_every_close_code_is_there_and_how_it_is_tried_again() -> None:
    told = {
        int(code): row[2]
        for row in ROWS
        if len(row) == 3 and row[2] in ("soon", "slowly")
        for code in row[0].split(", ")
    }
    sent = set(Close) - {Close.NORMAL, Close.ABNORMAL}
    assert told == {int(code): "slowly" if code in REFUSALS else "soon" for code in sent}


def test_every_field_of_a_greeting_is_there_in_its_order() -> None:
    fields = [
        name
        for row in ROWS
        if len(row) == 3 and re.match("text|int|bool|32 bytes|\\(int", row[1])
        for name in row[0].split(", ")
    ]
    assert fields == list(Greeting.__slots__)


@pytest.mark.parametrize(
    ("name", "value"),
    [(row[0].strip("`"), row[1]) for row in ROWS if re.match("`[A-Za-z_]+`$", row[0])],
)
def test_a_bound_has_the_value_that_is_told(name: str, value: str) -> None:
    number, unit = re.match(r"([\d.]+) ?(KiB|MiB)?", value).groups()  # type: ignore[union-attr]
    if name.endswith("_s"):
        assert getattr(MeshTiming(), name) == float(number)
    else:
        (found,) = {getattr(module, name) for module in MODULES if hasattr(module, name)}
        assert found == float(number) * UNITS.get(unit, 1)
