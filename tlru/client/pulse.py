"""Whether the other side is still there.

Pure: time is handed in, and the answer says what to do and when to look again.

Nobody is given up who was heard since being asked, nor before having had the time to answer.
"""

from __future__ import annotations

import enum


class Verdict(enum.Enum):
    """What to do about a silence."""

    WAIT = enum.auto()
    ASK = enum.auto()
    GIVE_UP = enum.auto()


class Pulse:
    """The watch over one connection: quiet for long, ask; no answer to that, give up."""

    def __init__(self, ask_after: float, answer_within: float) -> None:
        self._ask_after = ask_after
        self._answer_within = answer_within
        self._asked_at: float | None = None
        self._until = 0.0

    def look(self, heard: float, now: float) -> tuple[Verdict, float]:
        """What to do, when the other side was last heard at `heard`; and when to look again."""
        if self._asked_at is not None:
            if heard <= self._asked_at:
                left = self._until - now
                return (Verdict.WAIT, left) if left > 0 else (Verdict.GIVE_UP, 0.0)
            self._asked_at = None
        if (left := heard + self._ask_after - now) > 0:
            return Verdict.WAIT, left
        return self.ask(self._answer_within, heard, now)

    def ask(self, within: float, heard: float, now: float) -> tuple[Verdict, float]:
        """Ask at once, since there is a reason to doubt; an answer is due `within` seconds."""
        if self._asked_at is not None and heard <= self._asked_at:
            return Verdict.WAIT, max(0.0, self._until - now)
        within = min(within, self._answer_within)
        self._asked_at, self._until = now, now + within
        return Verdict.ASK, within
