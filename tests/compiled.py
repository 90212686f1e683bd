"""What cannot be tested of machine code (docs/compiled.md)."""

from __future__ import annotations

import pytest

from tlru.cli.app import is_compiled

as_it_is = pytest.mark.skipif(
    is_compiled(),
    reason="it replaces a part, or reads what is written about it: machine code allows neither",
)
