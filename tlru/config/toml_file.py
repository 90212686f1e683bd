"""One TOML file: its values, and the line where each stands.

Decides how a file is read and what is a mistake in the file as a whole; knows no option. `tomllib`
tells no lines, so they are found by reading the file a second time, one statement after another:
the line that is named is the one where the statement begins, or none is named.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlru.config.mistakes import ConfigError, Kind, Mistake, Origin

# No configuration is near this; a log or an image named by mistake is beyond it.
FILE_BYTES_MAX = 1 << 20
# A statement of more lines than this is not looked through for its place.
STATEMENT_LINES_MAX = 500

KeyPath = tuple[str, ...]

_WHERE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """What a file says, and where."""

    name: str
    values: dict[str, Any]  # Any: what a stranger's file holds, until an option has looked at it
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def origin(self, *path: str) -> Origin:
        """The place of a key, given by its path through the tables."""
        return Origin(Kind.FILE, ".".join(path), self.name, self.lines.get(path))


def read_toml(path: str | os.PathLike[str]) -> TomlFile:
    """The file's values and their lines. Raises `ConfigError` where it is not readable TOML."""
    name = os.fspath(path)
    whole = Origin(Kind.FILE, file=name)
    try:
        with Path(path).open("rb") as stream:
            raw = stream.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as problem:  # ValueError: a name that no file can have
        reason = getattr(problem, "strerror", None) or problem
        raise _unreadable(whole, f"cannot be read: {reason}") from problem
    if len(raw) > FILE_BYTES_MAX:
        raise _unreadable(whole, f"is larger than {FILE_BYTES_MAX:,} bytes; is it the right file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise _unreadable(whole, "is not a UTF-8 text file") from problem
    try:
        return TomlFile(name, tomllib.loads(text), _find_lines(text))
    except tomllib.TOMLDecodeError as problem:
        raise _not_toml(name, str(problem)) from problem
    except RecursionError as problem:
        raise _unreadable(whole, "is nested too deeply") from problem


def _unreadable(origin: Origin, problem: str) -> ConfigError:
    return ConfigError([Mistake(origin, problem)])


def _not_toml(name: str, problem: str) -> ConfigError:
    where = _WHERE.search(problem)
    line = int(where[1]) if where and where[1] else None
    column = f" at column {where[2]}" if where and where[1] else " at its end" if where else ""
    what = _WHERE.sub("", problem)
    return _unreadable(Origin(Kind.FILE, file=name, line=line), f"is not TOML{column}: {what}")


def _find_lines(text: str) -> dict[KeyPath, int]:
    """The line of each key and table of a text that is TOML as a whole."""
    lines: dict[KeyPath, int] = {}
    header, statement, began = "", "", 1
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if not statement:
            began = number
        statement += line
        if number - began > STATEMENT_LINES_MAX:
            continue
        try:
            found = tomllib.loads(header + statement)
        except tomllib.TOMLDecodeError:
            continue  # a string or array that goes on in the next line
        if statement.lstrip().startswith("["):
            header = statement if statement.endswith("\n") else f"{statement}\n"
        for path in _paths(found):
            lines.setdefault(path, began)
        statement = ""
    return lines


def _paths(table: dict[str, Any], above: KeyPath = ()) -> list[KeyPath]:
    paths = []
    for name, value in table.items():
        paths.append((*above, name))
        if isinstance(value, dict):
            paths += _paths(value, (*above, name))
    return paths
