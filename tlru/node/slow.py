"""The log of slow operations.

Decides which operations are told of, and in which words: never with a key or a value, either of
which may be a secret. How many lines there are is bounded: a node in trouble must not be given a
full disk as well.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any, Final

logger = logging.getLogger("tlru.slow")

LINES_MAX: Final = 10  # in `WINDOW_S`; the first line of the next one says how many were left out
WINDOW_S: Final = 1.0


class SlowLog:
    """Tells of operations that took longer than they should."""

    def __init__(self) -> None:
        self.after_s = math.inf
        self._window = -math.inf
        self._lines = self._left_out = 0

    def go_by(self, after_s: float) -> None:
        """Tell of what takes so long or longer; 0 is never."""
        self.after_s = after_s or math.inf

    def tell(
        self, cache: str, name: str, seconds: float, count: int, about: Mapping[str, Any]
    ) -> None:
        """One line about operations that were slow together."""
        now = time.monotonic()
        if now - self._window >= WINDOW_S:
            self._window, self._lines = now, 0
        if self._lines >= LINES_MAX:
            self._left_out += 1
            return
        self._lines += 1
        left_out, self._left_out = self._left_out, 0
        fields = {"cache": cache, "op": name, "ms": round(seconds * 1000, 1), "count": count}
        more = {"left_out": left_out} if left_out else {}
        logger.warning("slow", extra={**fields, **about, **more})
