"""Options that hold several values, or none: lists, labels, and those that may be left out.

Decides how many of a kind are one value: split at commas in text, an array or table in TOML. Lists
are kept as tuples in the order given, without repeats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from tlru.config.kinds import NAME_CHARS_MAX, Kind
from tlru.config.mistakes import WrongValueError

T = TypeVar("T")

LIST_ITEMS_MAX = 64
LABEL_CHARS_MAX = 128
# How a text says that an option has no value, where it may have none: TOML and flags have no null.
NONE = "none"

_LABEL_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{NAME_CHARS_MAX}}}", re.ASCII)


class Maybe(Kind["T | None"]):
    """A kind that may be left out: None, or the word `none`."""

    def __init__(self, kind: Kind[T]) -> None:
        self.kind, self.metavar = kind, kind.metavar

    @property
    def expected(self) -> str:
        return f"{self.kind.expected}, or {NONE}"

    @property
    def takes(self) -> str:
        return f"{self.kind.takes}, or {NONE}"

    def from_text(self, text: str) -> T | None:
        if text.strip().lower() == NONE:
            return None
        try:
            return self.kind.from_text(text)
        except WrongValueError as problem:
            raise self.wrong(text, problem.hint) from problem

    def from_value(self, value: object) -> T | None:
        if value is None or value == NONE:
            return None
        try:
            return self.kind.from_value(value)
        except WrongValueError as problem:
            raise self.wrong(value, problem.hint) from problem

    def show(self, value: T | None) -> str:
        return NONE if value is None else self.kind.show(value)

    def to_toml(self, value: T | None) -> object:
        return NONE if value is None else self.kind.to_toml(value)


class ListOf(Kind[tuple[T, ...]]):
    """Several of one kind, none twice."""

    many = True

    def __init__(self, kind: Kind[T], *, least: int = 0) -> None:
        self.kind, self.least, self.metavar = kind, least, kind.metavar

    @property
    def expected(self) -> str:
        return f"{self._amount}, each {self.kind.expected}"

    @property
    def takes(self) -> str:
        return f"{self._amount}, each {self.kind.takes}"

    @property
    def _amount(self) -> str:
        return f"{self.least} to {LIST_ITEMS_MAX} values"

    def from_text(self, text: str) -> tuple[T, ...]:
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        return self._whole([self.kind.from_text(part) for part in parts], text)

    def from_value(self, value: object) -> tuple[T, ...]:
        if not isinstance(value, (list, tuple)):
            raise self.wrong(value)
        return self._whole([self.kind.from_value(one) for one in value], value)

    def show(self, value: tuple[T, ...]) -> str:
        return ",".join(self.kind.show(one) for one in value)

    def to_toml(self, value: tuple[T, ...]) -> object:
        return [self.kind.to_toml(one) for one in value]

    def _whole(self, values: list[T], found: object) -> tuple[T, ...]:
        if not self.least <= len(values) <= LIST_ITEMS_MAX:
            raise self.wrong(found)
        return tuple(dict.fromkeys(values))


class Labels(Kind[Mapping[str, str]]):
    """Words about a node: `rack=a1`, a table in TOML, one flag each on the command line."""

    metavar = "NAME=VALUE"
    many = True
    takes = f"0 to {LIST_ITEMS_MAX} labels"
    expected = (
        f"0 to {LIST_ITEMS_MAX} labels such as rack=a1: a name of letters, digits, '_', '.' or "
        f"'-', and a value of at most {LABEL_CHARS_MAX} printable characters without a comma"
    )

    def from_text(self, text: str) -> Mapping[str, str]:
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        return self._whole((part.partition("=") for part in parts), text)

    def from_value(self, value: object) -> Mapping[str, str]:
        if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            return self._whole((one.partition("=") for one in value), value)
        if isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values()):
            return self._whole(((name, "=", one) for name, one in value.items()), value)
        raise self.wrong(value)

    def show(self, value: Mapping[str, str]) -> str:
        return ",".join(f"{name}={word}" for name, word in value.items())

    def to_toml(self, value: Mapping[str, str]) -> object:
        return dict(value)

    def _whole(self, parts: Iterable[tuple[str, str, str]], found: object) -> dict[str, str]:
        labels: dict[str, str] = {}
        for name, equals, word in parts:
            fits = len(word) <= LABEL_CHARS_MAX and word.isprintable() and "," not in word
            if not equals or not _LABEL_NAME.fullmatch(name) or not fits:
                raise self.wrong(found)
            labels[name] = word.strip()
        if len(labels) > LIST_ITEMS_MAX:
            raise self.wrong(found)
        return labels
