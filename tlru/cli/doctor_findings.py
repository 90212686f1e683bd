"""What a doctor finds: one thing that is wrong, how bad it is, and what to do."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


class Severity(enum.IntEnum):
    """How bad it is."""

    ADVICE = 1, "could be better"
    AT_RISK = 2, "works, and may not for long"
    BROKEN = 3, "does not work"

    meaning: str

    def __new__(cls, rank: int, meaning: str) -> Severity:
        member = int.__new__(cls, rank)
        member._value_ = rank
        member.meaning = meaning
        return member

    @property
    def word(self) -> str:
        """As people and programs are told."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing. `about` is a member, or nothing for the whole cluster; `passing` is what may be
    over in a moment: it is looked at twice before it is told."""

    severity: Severity
    code: str
    about: str
    said: str
    do: str
    figures: dict[str, Any] = field(default_factory=dict)  # Any: numbers and words
    passing: bool = False

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {
            "severity": self.severity.word,
            "code": self.code,
            "about": self.about or None,
            "said": self.said,
            "do": self.do,
            "figures": self.figures,
        }


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; else as they were found."""
    return sorted(findings, key=lambda one: -one.severity)


def listed(words: Iterable[object]) -> str:
    """Several of them, as one would say it."""
    found = [str(word) for word in words]
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def counted(count: int, word: str) -> str:
    """So many of something."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def lasting(seconds: float) -> str:
    """About how long, in the unit that fits."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
