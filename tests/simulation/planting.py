"""How a small fault is planted in the core for the length of a run, and the table of all of them.

A fault is planted by replacing one method; nothing of it is in the product.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Plant = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Planted:
    """One fault."""

    name: str
    what: str  # is done wrong
    plant: Plant
    faults: tuple[str, ...] = ()  # the kinds of harm that bring it out; () for all of them
    nodes: int = 3
    scenario: str | None = None  # where it takes too many seeds to meet the one case


PLANTED: dict[str, Planted] = {}


def planted(
    what: str, *faults: str, nodes: int = 3, scenario: str | None = None
) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    """Enter a fault into the table."""

    def enter(plant: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        assert plant.__name__ not in PLANTED, "of two under one name only one would be planted"
        manager = contextlib.contextmanager(plant)
        PLANTED[plant.__name__] = Planted(plant.__name__, what, manager, faults, nodes, scenario)
        return plant

    return enter
