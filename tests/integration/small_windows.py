"""`tlru`, with only so many bytes of events retained for subscribers as are told.

    TLRU_TEST_RETAINED=200000 python -m tests.integration.small_windows serve ...

Whoever is away for a moment then finds that the point it stood at is gone. In all else it is this
release.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from tlru.cli import main
from tlru.node.service import CacheService

MODULE: Final = "tests.integration.small_windows"
RETAINED: Final = "TLRU_TEST_RETAINED"


if __name__ == "__main__":
    defaults = CacheService.__init__.__kwdefaults__
    assert defaults is not None
    assert "retained_bytes" in defaults
    defaults["retained_bytes"] = int(os.environ[RETAINED])
    sys.exit(main())
