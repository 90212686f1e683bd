"""The context of a trace as it crosses a wire: the text that W3C's `traceparent` is.

Pure. Decides what is one, and whether whoever began the trace records it. What spans are made of it
is the node's business.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

HEADER: Final = "traceparent"
CHARS: Final = 55  # of version 00; later versions may append to it

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
_SAMPLED: Final = 1


class Parent(NamedTuple):
    """The span that a new one hangs from."""

    trace: int
    span: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace:032x}-{self.span:016x}-{int(self.sampled):02x}"


def parse(text: str) -> Parent | None:
    """The parent that a text names; None where it names none."""
    found = _FORM.fullmatch(text[:CHARS])
    if found is None:
        return None
    version, trace, span, flags = (int(part, 16) for part in found.groups())
    more = text[CHARS:]
    if version == 0xFF or not trace or not span or (more and (not version or more[0] != "-")):
        return None
    return Parent(trace, span, bool(flags & _SAMPLED))
