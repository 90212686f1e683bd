"""Tables for people.

Decides how a table looks: columns under their names, no frame; colour and width as the terminal has
them. In a pipe there is no colour, and no line is folded, so `grep` and `awk` see whole rows.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tlru.cli import say

# Wider than any row: in a pipe nothing is folded.
PIPE_WIDTH = 10_000

_GAP = (0, 2, 0, 0)


def show(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """Print a table; the columns named in `right` hold numbers."""
    table = Table(box=None, padding=_GAP, pad_edge=False, header_style="bold")
    for name in head:
        justify = "right" if name in right else "left"
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        # Text, not markup: a value may hold brackets.
        table.add_row(*(Text(say.one_line(cell)) for cell in row))
    if sys.stdout.isatty():
        # rich itself would leave the bold in where NO_COLOR is set.
        Console(highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto").print(
            table
        )
    else:
        print(_plain(table))


def _plain(table: Table) -> str:
    page = io.StringIO()
    Console(file=page, width=PIPE_WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())
