"""Durations and sizes as people write them: `1h30m`, `500ms`, `512MiB`, `1GB`.

Decides the grammar of both, and the shortest text that reads back as the same number. Pure. Knows
no bounds: the options set those. Whatever `show_*` writes, `parse_*` reads as what it was given.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

# A number of more digits than this is no size or duration that anything here could have.
NUMBER_CHARS_MAX = 24

_NUMBER = r"\d+(?:_\d+)*(?:\.\d+)?"

# Longest first: the parts of a duration are written in this order, each at most once.
_DURATION_UNITS = (
    ("d", Fraction(86_400)),
    ("h", Fraction(3_600)),
    ("m", Fraction(60)),
    ("s", Fraction(1)),
    ("ms", Fraction(1, 1_000)),
    ("us", Fraction(1, 1_000_000)),
)
_DURATION = re.compile(
    r"\s*".join(rf"(?:(?P<{unit}>{_NUMBER})\s*{unit})?" for unit, _ in _DURATION_UNITS), re.ASCII
)

_SIZE_UNITS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1_000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1_024**power for power, prefix in enumerate("kmgt", start=1)},
}
_SIZE = re.compile(rf"({_NUMBER})\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_PLAIN = re.compile(_NUMBER, re.ASCII)
_SHOWN_UNITS = {
    **{f"{prefix}iB": 1_024**power for power, prefix in enumerate("KMGT", start=1)},
    **{f"{prefix}B": 1_000**power for power, prefix in enumerate("KMGT", start=1)},
}


def parse_duration(text: str) -> float | None:
    """The seconds that `text` stands for, bare numbers too, or None where it is no duration."""
    text = text.strip()
    if not text or len(text) > NUMBER_CHARS_MAX * len(_DURATION_UNITS):
        return None
    if _PLAIN.fullmatch(text):
        return float(text)
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    # Fractions, so that 1.001s and 1s1ms are the same float.
    return float(
        sum(
            (
                Fraction(part) * seconds
                for unit, seconds in _DURATION_UNITS
                if (part := found[unit])
            ),
            start=Fraction(0),
        )
    )


def show_duration(seconds: float) -> str:
    """`seconds` in the largest units that give it exactly: 5400 is `1h30m`, 0.25 is `250ms`."""
    rest = Fraction(repr(float(seconds)))
    if rest % _DURATION_UNITS[-1][1] or rest == 0:
        return f"{_plain(rest)}s"
    parts = []
    for unit, size in _DURATION_UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _plain(number: Fraction) -> str:
    """A float's own digits, without an exponent."""
    digits = format(Decimal(repr(float(number))), "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def parse_size(text: str) -> int | None:
    """The bytes that `text` stands for, rounded down, or None where it is no size."""
    text = text.strip()
    if len(text) > NUMBER_CHARS_MAX:
        return None
    found = _SIZE.fullmatch(text)
    if found is None or found[2].lower() not in _SIZE_UNITS:
        return None
    return int(Fraction(found[1]) * _SIZE_UNITS[found[2].lower()])


def show_size(count: int) -> str:
    """`count` bytes in the largest unit that gives it exactly: 4194304 is `4MiB`, 1000 is `1KB`."""
    whole = [unit for unit, size in _SHOWN_UNITS.items() if count and count % size == 0]
    if not whole:
        return f"{count}B"
    unit = max(whole, key=_SHOWN_UNITS.__getitem__)
    return f"{count // _SHOWN_UNITS[unit]}{unit}"
