"""Where operations come from. Pure data."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """A member's id, and the birth of its state directory."""

    id: str
    birth: str
