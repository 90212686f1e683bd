"""Options that are numbers: counts, sizes in bytes and durations in seconds, each within bounds.

Decides which numbers an option takes and how its bounds are told; the grammar of units is in
`units.py`. What is not finite, not whole where it must be, or out of bounds is refused, not bent.
"""

from __future__ import annotations

import abc
import math
import re
from typing import TypeVar

from tlru.config.kinds import Kind
from tlru.config.units import (
    NUMBER_CHARS_MAX,
    parse_duration,
    parse_size,
    show_duration,
    show_size,
)

N = TypeVar("N", int, float)

_COUNT = re.compile(r"-?\d+(?:[_,]\d+)*", re.ASCII)


class _Number(Kind[N]):
    """A number from `least` to `most`, both included."""

    def __init__(self, least: N, most: N) -> None:
        self.least: N = least
        self.most: N = most

    @abc.abstractmethod
    def parse(self, text: str) -> N | None:
        """The number that the text stands for, or None."""

    @abc.abstractmethod
    def take(self, number: float) -> N | None:
        """A TOML or Python number in the form that is kept, or None."""

    def from_text(self, text: str) -> N:
        return self._bounded(self.parse(text), text)

    def from_value(self, value: object) -> N:
        if isinstance(value, str):
            return self.from_text(value)
        # A bool is an int to Python, and never a number that somebody meant.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(value)
        return self._bounded(self.take(value) if math.isfinite(value) else None, value)

    def _bounded(self, number: N | None, found: object) -> N:
        if number is None or not self.least <= number <= self.most:
            raise self.wrong(found)
        return number


class Count(_Number[int]):
    """A whole number."""

    metavar = "COUNT"

    @property
    def expected(self) -> str:
        return f"a whole number from {self.takes}"

    @property
    def takes(self) -> str:
        return f"{self.least:,} to {self.most:,}"

    def parse(self, text: str) -> int | None:
        text = text.strip()
        if len(text) > NUMBER_CHARS_MAX or not _COUNT.fullmatch(text):
            return None
        return int(text.replace(",", ""))

    def take(self, number: float) -> int | None:
        return int(number) if number == int(number) else None

    def to_toml(self, value: int) -> object:
        return value


class Size(_Number[int]):
    """Bytes."""

    metavar = "SIZE"

    @property
    def expected(self) -> str:
        return f"a size from {self.takes}, such as 512KiB, 1GB or a number of bytes"

    @property
    def takes(self) -> str:
        return f"{show_size(self.least)} to {show_size(self.most)}"

    def parse(self, text: str) -> int | None:
        return parse_size(text)

    def take(self, number: float) -> int | None:
        return int(number) if number == int(number) else None

    def show(self, value: int) -> str:
        return show_size(value)


class Duration(_Number[float]):
    """Seconds."""

    metavar = "DURATION"

    @property
    def expected(self) -> str:
        return f"a duration from {self.takes}, such as 500ms, 1h30m or a number of seconds"

    @property
    def takes(self) -> str:
        return f"{show_duration(self.least)} to {show_duration(self.most)}"

    def parse(self, text: str) -> float | None:
        return parse_duration(text)

    def take(self, number: float) -> float | None:
        return float(number)

    def show(self, value: float) -> str:
        return show_duration(value)
