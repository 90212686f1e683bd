"""Where planted faults are caught: python -m tests.simulation.hunting looks for all of them anew.

It writes the table in `caught.py` and the one in docs/replication.md. A fault that nothing catches
is a hole in the checkers: then nothing is written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from peers.core.vector import GapError
from tests.simulation import invariants, runs
from tests.simulation.caught import Caught
from tests.simulation.faults import FAULTS
from tests.simulation.planted import PLANTED, Planted
from tests.simulation.runs import Run
from tests.simulation.scenarios import SCENARIOS

TABLE = Path(__file__).parent / "caught.py"
TABLE_BEGINS = "CAUGHT: dict[str, Caught] = {"
PAGE = Path(__file__).parents[2] / "docs" / "replication.md"
PAGE_BEGINS = "| what is done wrong | caught in | by |\n| --- | --- | --- |"

LINE_CHARS = 100
SEEDS = 80  # in which a fault is looked for, if no scenario shows it


def first_caught(planted: Planted, at: Caught | None = None) -> Caught | None:
    """Where a fault is caught first, and by what; with `at`, whether it is there."""
    with planted.plant():
        if planted.scenario is not None:
            problem = _problem(SCENARIOS[planted.scenario])
            return None if problem is None else Caught(planted.scenario, problem)
        seeds = range(SEEDS) if at is None else (int(at.where),)
        for seed in seeds:
            run = Run(seed, nodes=planted.nodes, faults=planted.faults or tuple(FAULTS))
            if (problem := _problem(run.go)) is not None:
                return Caught(seed, problem)
    return None


def _problem(go: Callable[[], object]) -> str | None:
    """What is broken, in a word or two: an invariant by its number, where it is one."""
    try:
        go()
    except invariants.Broken as exc:
        return f"invariant {exc.number}"
    except runs.Broken as exc:
        return exc.promise
    except pytest.fail.Exception:
        return "the scenario"  # something was not refused there
    except (AssertionError, GapError, IndexError) as exc:
        file = "" if exc.__traceback__ is None else _file_of(exc.__traceback__)
        staged = "scenarios_" in file or "staging" in file
        return "the scenario" if staged else f"the core's own check ({type(exc).__name__})"
    return None


def _file_of(traceback: TracebackType) -> str:
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename


def row(planted: Planted, caught: Caught) -> str:
    """The line of the documentation's table."""
    where = f"seed {caught.where}" if isinstance(caught.where, int) else f"`{caught.where}`"
    return f"| {planted.what} | {where} | {caught.by} |"


def table_row(name: str, caught: Caught) -> str:
    """The lines of the table in Python, as the formatter would have them."""
    where, by = json.dumps(caught.where), json.dumps(caught.by)
    short = f'    "{name}": Caught({where}, {by}),\n'
    if len(short) <= LINE_CHARS + 1:
        return short
    return f'    "{name}": Caught(\n        {where}, {by}\n    ),\n'


def main() -> int:
    """Look for all of them anew, and write the table and the page."""
    caught, missed = {}, []
    for planted in PLANTED.values():
        found = first_caught(planted)
        print(f"{planted.name}: {found or 'NOT CAUGHT'}", flush=True)
        if found is None:
            missed.append(planted.name)
        else:
            caught[planted.name] = found
    if missed:
        print(f"a hole in the checkers: {', '.join(missed)}", file=sys.stderr)
        return 1
    rows = "".join(table_row(name, each) for name, each in caught.items())
    head, _, _ = TABLE.read_text("utf-8").partition(TABLE_BEGINS)
    TABLE.write_text(f"{head}{TABLE_BEGINS}\n{rows}}}\n", "utf-8")
    before, _, rest = PAGE.read_text("utf-8").partition(PAGE_BEGINS)
    _, _, after = rest.partition("\n\n")
    lines = "\n".join(row(PLANTED[name], each) for name, each in caught.items())
    PAGE.write_text(f"{before}{PAGE_BEGINS}\n{lines}\n\n{after}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
