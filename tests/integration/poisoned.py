"""`tlru` whose cache cannot apply what holds the word POISON, for tests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

from peers.core.entry import Entry
from tlru.cli import main
from tlru.engine.machine import Machine

MODULE: Final = "tests.integration.poisoned"
POISON: Final = "poison"


def _poison(machine: type[Machine]) -> None:
    real = machine.apply

    def apply(self: Machine, entries: Sequence[Entry]) -> Any:  # Any: whatever it is, it goes on
        if any(POISON.encode() in entry.operation for entry in entries):
            raise RuntimeError(f"it holds the word {POISON}")
        return real(self, entries)

    machine.apply = apply  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    _poison(Machine)
    sys.exit(main())
