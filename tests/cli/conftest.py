"""One node for the tests of a file that only talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import RunningNode, serving


@pytest.fixture(autouse=True)
def _leavings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that keeps nothing and is killed leaves the folder of its promises: here, it is the
    test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture(scope="module")
def node() -> Iterator[RunningNode]:
    """A node of its own process, with two caches; tests take keys of their own."""
    with serving("--caches", "default,other") as running:
        yield running
