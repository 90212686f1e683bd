"""Whether what is tested is machine code (docs/compiled.md), and what cannot be tested then."""

from __future__ import annotations

from typing import Final

import pytest

from peers.core import replica

COMPILED: Final = not str(replica.__file__).endswith(".py")
as_it_is = pytest.mark.skipif(
    COMPILED, reason="it puts something in the place of a part, which machine code does not allow"
)
