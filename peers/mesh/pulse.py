"""How far away the other node is, and what its clock says: from pings and their answers.

Pure: clocks are handed in, in seconds. A ping carries its sender's clock, the answer brings that
back with the answerer's. The offset is taken from the quickest of the recent answers, since the
longer one was under way the less it says.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from peers.errors import LinkError
from peers.mesh.ends import Close

RECENT: Final = 16  # answers from which the least and the offset are taken
_SHARE: Final = 1 / 8  # of a new round trip in the smoothed one
_MICRO: Final = 1_000_000
_DIGITS_MAX: Final = 19


class Pulse:
    """The round trips of one link."""

    __slots__ = ("_recent", "round_trip")

    def __init__(self) -> None:
        self.round_trip: float | None = None  # smoothed
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT)

    @property
    def least(self) -> float | None:
        """The shortest recent round trip."""
        return min(self._recent)[0] if self._recent else None

    @property
    def offset(self) -> float | None:
        """How far the other's clock is ahead of ours, give or take half the least round trip."""
        return min(self._recent)[1] if self._recent else None

    def answered(self, sent: float, theirs: float, now: float) -> None:
        """An answer to what was sent then has come now, from when the other's clock said so."""
        took = max(0.0, now - sent)
        before = self.round_trip
        self.round_trip = took if before is None else before + _SHARE * (took - before)
        self._recent.append((took, theirs - (sent + now) / 2))


def ping(now: float) -> bytes:
    """A ping, as text."""
    return b"ping %d" % (now * _MICRO)


def pong(asked: bytes, now: float) -> bytes:
    """The answer to a ping. LinkError where that was none."""
    return b"pong %d %d" % (_number(asked), now * _MICRO)


def read_pong(said: list[bytes]) -> tuple[float, float]:
    """Our clock when it was asked, and theirs when it was answered, from the words of a pong."""
    if len(said) != 2:
        raise LinkError(Close.PROTOCOL, "a pong does not hold two clocks")
    return _number(said[0]) / _MICRO, _number(said[1]) / _MICRO


def _number(text: bytes) -> int:
    digits = text.removeprefix(b"-")
    if not (digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise LinkError(Close.PROTOCOL, "a ping or pong holds no clock")
    return int(text)
