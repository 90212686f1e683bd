"""What one must know of the part of a log that is not there.

Pure data. A log begins behind its base. So does a node that takes a snapshot: the application's
state comes in pieces, and this comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from peers.core.entry import NOWHERE, Places, Position
from peers.core.membership import NOBODY, Membership


@dataclass(frozen=True, slots=True)
class Base:
    """The end of what is gone: its position and time, and what the entries up to it led to."""

    position: Position = NOWHERE
    at: int = 0
    vector: Places = ()
    membership: Membership = NOBODY


BEGINNING = Base()
