"""Every attack on a node, in processes: all others are answered, and nothing of it stays behind.

How long the others wait is printed and not judged: this machine may have something else to do.
`python -m tests.attacks` judges that too.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.attacks.__main__ import ATTACKS, row
from tests.attacks.measuring import GROWTH_BYTES_MAX, measure

pytestmark = pytest.mark.long

SILENT = {"HTTP flood", "never reads"}  # one cuts its connections itself, the other is read on


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_harms_nobody_for_good(name: str) -> None:
    found = asyncio.run(measure(name, seconds=1.0, rounds=2))
    print(row(name, found))
    assert all(each.done == each.offered > 0 for each in found.during)
    assert found.grown <= GROWTH_BYTES_MAX
    assert found.left <= 0
    assert found.answers or name in SILENT
