"""How a mistake in a configuration is told: where it stands, what was found, what was expected.

Decides the sentences and the error that carries them; judges no value itself. A mistake always
names a place that the reader can go to (a line of a file, a variable, a flag, an argument), and
`ConfigError` carries every mistake that was found, so that one run is enough to see them all.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from tlru.errors import TlruError

# What is shown of a value that was found: enough to recognise it, not a page of it.
FOUND_CHARS_MAX = 60


class Kind(enum.StrEnum):
    """The places that a value can come from, in growing weight."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"
    ARGUMENT = "argument"  # of `Config(...)` in Python


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value came from."""

    kind: Kind
    name: str = ""  # as it is written there: the key, the variable, the flag, the argument
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.kind is Kind.DEFAULT:
            return "default"
        if self.kind is not Kind.FILE:
            return self.name
        return self.file if self.line is None else f"{self.file}, line {self.line}"

    def place(self) -> str:
        """The start of a sentence about this value."""
        if self.kind is Kind.FILE and self.name:
            return f"{self}: {self.name}"
        return str(self)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong, and where."""

    origin: Origin
    problem: str

    def __str__(self) -> str:
        return f"{self.origin.place()}: {self.problem}"

    def as_object(self) -> dict[str, str | int]:
        """The same for a program; what does not apply is left out."""
        facts = {
            "source": str(self.origin.kind),
            "name": self.origin.name,
            "file": self.origin.file,
            "line": self.origin.line,
            "problem": self.problem,
        }
        return {name: fact for name, fact in facts.items() if fact}


class ConfigError(TlruError, ValueError):
    """A configuration that cannot be used. `mistakes` lists all that is wrong with it."""

    code = "bad_config"
    http_status = 400

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        assert mistakes, "an error without a mistake"
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Mistake, ...]]]:
        # Exceptions are pickled by their message; this one is built from its mistakes.
        return (type(self), (self.mistakes,))


class WrongValueError(Exception):
    """A value that an option cannot take; the reader of the source adds the place."""

    def __init__(self, found: object, expected: str, hint: str = "") -> None:
        self.hint = hint
        tail = f"; {hint}" if hint else ""
        super().__init__(f"found {quoted(found)}, expected {expected}{tail}")


def quoted(found: object) -> str:
    """`found` as it may stand in a message: on one line, and cut where it is long."""
    text = repr(found)
    return text if len(text) <= FOUND_CHARS_MAX else f"{text[: FOUND_CHARS_MAX - 3]}..."
