"""What an option's value may be, and how it is read from text and from TOML and written back.

Each kind decides one type: which texts and values it takes and the one form that a `Config` keeps
(`numbers.py` and `several.py` hold the other kinds). Knows neither option names nor sources. For
every kind `from_text(show(value)) == value`, and `from_value` takes what it gave before.
"""

from __future__ import annotations

import abc
import re
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from tlru.config.addresses import parse_address, suggest_address
from tlru.config.mistakes import WrongValueError

T = TypeVar("T")

NAME_CHARS_MAX = 64
URL_CHARS_MAX = 1_024
SECRET_CHARS_MAX = 1_024
LINE_CHARS_MAX = 1_024
PATH_CHARS_MAX = 4_096

_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


class Kind(abc.ABC, Generic[T]):
    """One type of value. `metavar` is how it stands in help, `expected` how a mistake names it."""

    metavar: str
    hidden = False  # shown to nobody
    many = False  # given as a list in a file, and as often as one likes on the command line

    @property
    @abc.abstractmethod
    def expected(self) -> str:
        """What is expected, as the end of a sentence."""

    @property
    def takes(self) -> str:
        """The same for a table, where how a size or a name is written has been said."""
        return self.expected

    @abc.abstractmethod
    def from_text(self, text: str) -> T:
        """Read an environment variable or a flag."""

    @abc.abstractmethod
    def from_value(self, value: object) -> T:
        """Read a TOML value or an argument in Python."""

    def show(self, value: T) -> str:
        """The text that reads back as `value`."""
        return str(value)

    def to_toml(self, value: T) -> object:
        """The string, number, list or table that reads back as `value`."""
        return self.show(value)

    def wrong(self, found: object, hint: str = "") -> WrongValueError:
        """The error to raise about `found`."""
        return WrongValueError(found, self.expected, hint)


class _Text(Kind[str]):
    """A kind whose values are strings, so that text and value are read alike."""

    def from_value(self, value: object) -> str:
        if not isinstance(value, str):
            raise self.wrong(value)
        return self.from_text(value)


class Name(_Text):
    """A short name of letters, digits, `_`, `.` and `-`; may be empty where `empty` says so."""

    metavar = "NAME"

    def __init__(self, *, empty: bool = False) -> None:
        self.empty = empty

    @property
    def expected(self) -> str:
        return f"{self.takes} of 1 to {NAME_CHARS_MAX} letters, digits, '_', '.' or '-'"

    @property
    def takes(self) -> str:
        return "nothing or a name" if self.empty else "a name"

    def from_text(self, text: str) -> str:
        if not text and self.empty:
            return text
        if len(text) > NAME_CHARS_MAX or not _NAME.fullmatch(text):
            raise self.wrong(text)
        return text


class Secret(_Text):
    """A text that nobody is shown; may be empty, which is none."""

    metavar = "SECRET"
    hidden = True

    def __init__(self, *, least: int) -> None:
        self.least = least

    @property
    def expected(self) -> str:
        return f"nothing, or {self.least} to {SECRET_CHARS_MAX} printable characters"

    def from_text(self, text: str) -> str:
        if text and not (self.least <= len(text) <= SECRET_CHARS_MAX and text.isprintable()):
            raise WrongValueError("what was given", self.expected, "")
        return text


class Line(_Text):
    """A short text in one line; may be empty, which is none."""

    metavar = "TEXT"
    expected = f"nothing, or up to {LINE_CHARS_MAX} printable characters"

    def from_text(self, text: str) -> str:
        if len(text) > LINE_CHARS_MAX or not text.isprintable():
            raise self.wrong(text)
        return text


class Choice(_Text):
    """One of a few words."""

    metavar = "WORD"

    def __init__(self, *words: str) -> None:
        self.words = words

    @property
    def expected(self) -> str:
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}"

    def from_text(self, text: str) -> str:
        if text.strip().lower() not in self.words:
            raise self.wrong(text)
        return text.strip().lower()


class ListenAddress(_Text):
    """An address to listen on, kept as its text."""

    metavar = "HOST:PORT"
    expected = "an address such as 127.0.0.1:8400, [::1]:8400, cache.example:8400 or :8400"
    takes = "an address"

    def from_text(self, text: str) -> str:
        address = parse_address(text)
        if address is None:
            meant = suggest_address(text)
            raise self.wrong(text, f"did you mean {meant}?" if meant else "")
        return str(address)


class Url(_Text):
    """An absolute URL of given schemes; `bare` allows nothing after the host and port."""

    metavar = "URL"

    def __init__(self, *schemes: str, example: str, bare: bool = False) -> None:
        self.schemes, self.example, self.bare = schemes, example, bare
        self.words = ("*",) if bare else ()

    @property
    def expected(self) -> str:
        kinds = " or ".join(f"{scheme}://" for scheme in self.schemes)
        any_origin = ", or * for any" if self.bare else ""
        return f"a {kinds} URL such as {self.example}{any_origin}"

    def from_text(self, text: str) -> str:
        text = text.strip()
        if text in self.words:
            return text
        if len(text) > URL_CHARS_MAX or not text.isprintable() or " " in text or "," in text:
            raise self.wrong(text)
        try:
            parts = urlsplit(text)
            usable = parts.scheme in self.schemes and bool(parts.hostname) and parts.port != 0
        except ValueError as problem:  # a port that is no number, a bracket that is not closed
            raise self.wrong(text) from problem
        if not usable or parts.username is not None or parts.fragment:
            raise self.wrong(text)
        if self.bare and (parts.path or parts.query):
            origin = f"{parts.scheme}://{parts.netloc}"
            raise self.wrong(text, f"did you mean {origin}?")
        return text


class Switch(Kind[bool]):
    """On or off."""

    metavar = "true|false"
    expected = "true or false"

    def from_text(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise self.wrong(text)
        return word in _TRUE

    def from_value(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(value)
        return value

    def show(self, value: bool) -> str:
        return "true" if value else "false"

    def to_toml(self, value: bool) -> object:
        return value


class Directory(Kind[Path]):
    """A directory. `~` is the home of the user; whether it can be written shows at the start."""

    metavar = "DIRECTORY"
    expected = "the path of a directory, in printable characters"
    takes = "a path"

    def from_text(self, text: str) -> Path:
        return self.from_value(Path(text) if text else text)

    def from_value(self, value: object) -> Path:
        if isinstance(value, str) and value:
            value = Path(value)
        if not isinstance(value, Path):
            raise self.wrong(value)
        # Text that cannot be printed cannot be written to a TOML file or a log line either.
        if not str(value).isprintable() or len(str(value)) > PATH_CHARS_MAX:
            raise self.wrong(str(value))
        try:
            return value.expanduser()
        except RuntimeError as problem:  # ~somebody, whom nobody knows
            raise self.wrong(str(value), "that home directory is not known") from problem


class File(Directory):
    """A file. Whether it can be read shows when it is."""

    metavar = "FILE"
    expected = "the path of a file, in printable characters"
