"""How a link ends: the close codes, and which of them are refusals.

Pure. A refusal is what trying again does not cure: the configuration of one of the two nodes has to
change first. Everything else is tried again soon.

Codes are for ever: one that is no longer used is never given again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

REASON_BYTES_MAX: Final = 123  # that is the room which a close frame has
SENTENCE_CHARS_MAX: Final = 500  # of a sentence from elsewhere, as it is shown and logged


class Close(enum.IntEnum):
    """Why a link ends. Below 4000 the code is one of WebSocket's own."""

    NORMAL = 1000
    STOPPING = 1001  # the node stops
    PROTOCOL = 1002  # what came is no WebSocket, or none that nodes speak
    ABNORMAL = 1006  # never sent: the connection broke
    TOO_BIG = 1009
    GREETING = 4400  # what came is no greeting
    SECRET = 4401  # the cluster secrets differ, or only one node has one
    CERTIFICATE = 4402  # the certificate is for another node
    REFUSED = 4403  # the owner does not accept it
    WRONG_NODE = 4404  # another node than the one that was meant answers at this address
    SLOW = 4408  # the greeting took too long
    DUPLICATE = 4409  # there is a link already, and it stays
    ITSELF = 4410  # the node has reached itself
    TAKEN = 4411  # another node of this id is linked, and it is not known whether it still lives
    LEFT = 4412  # the node is not in the list any more
    COPY = 4423  # two processes run on copies of one state directory
    VERSION = 4426  # no protocol version in common
    FULL = 4429  # too many strangers
    IDLE = 4430  # a stranger who says nothing


REFUSALS: Final = frozenset(
    (
        *(Close.GREETING, Close.SECRET, Close.REFUSED, Close.WRONG_NODE, Close.ITSELF),
        *(Close.COPY, Close.VERSION, Close.FULL, Close.CERTIFICATE),
    )
)


@dataclass(frozen=True, slots=True)
class End:
    """Why nothing more will come over a link, and whether this node or the other ended it."""

    code: int
    sentence: str
    ours: bool

    @property
    def refused(self) -> bool:
        """Whether trying again soon is of no use."""
        return self.code in REFUSALS


def reason(sentence: str) -> bytes:
    """A sentence as the reason in a close frame, as much of it as there is room for."""
    return sentence.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()


def shown(text: str) -> str:
    """A text from elsewhere, fit for a log line: bounded, and without control characters."""
    cut = text[:SENTENCE_CHARS_MAX]
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in cut)
