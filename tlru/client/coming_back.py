"""When a node wants to see us again: in an error, in a refused upgrade, in a goodbye.

Pure. What a stranger says is bounded: nobody can send a client away for good.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tlru.errors import TlruError

AFTER_MAX_S: Final = 300.0
TOO_FAST: Final = 4429  # the close code of it

_IN_REASON: Final = re.compile(r"after=(\d{1,6}(?:\.\d{1,6})?)(?![\d.])", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,9}", re.ASCII)


def after_of(error: TlruError, most: float = AFTER_MAX_S) -> float:
    """Seconds that an error says to wait, up to `most`; 0 where it says none."""
    return _bounded(error.facts.get("after"), most)


def after_in_reason(reason: str) -> float:
    """Seconds that the reason of a close begins with, `after=5 ...`; 0 where it does not."""
    found = _IN_REASON.match(reason)
    return 0.0 if found is None else _bounded(float(found[1]))


def after_in_header(value: str | None) -> float:
    """Seconds that a Retry-After says; 0 where it is a date, or none."""
    plain = (value or "").strip()
    return _bounded(float(plain)) if _SECONDS.fullmatch(plain) else 0.0


def _bounded(after: Any, most: float = AFTER_MAX_S) -> float:
    if isinstance(after, bool) or not isinstance(after, int | float):
        return 0.0
    return float(min(most, after)) if after > 0 else 0.0
