"""Tests marked `long` run only where TLRU_LONG_TESTS is set: more faults, for many minutes."""

from __future__ import annotations

import os

import pytest

LONG = "TLRU_LONG_TESTS"


def pytest_configure(config: pytest.Config) -> None:
    """Say what the mark means."""
    config.addinivalue_line("markers", f"long: only with {LONG}=1 in the environment")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out."""
    if not os.environ.get(LONG):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
