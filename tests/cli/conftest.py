"""One node for the tests of a file that only talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.commands import RunningNode, serving


@pytest.fixture(scope="module")
def node() -> Iterator[RunningNode]:
    """A node of its own process, with two caches; tests take keys of their own."""
    with serving("--caches", "default,other") as running:
        yield running
