"""Values of a declared type to plain ones (what msgpack knows) and back, checked both ways.

Pure. A type is looked at once, and becomes a pair of functions. What does not fit its declaration
is refused with the path to it, so that nothing is kept that could not be read back.

Fields that a reader does not know are ignored, and fields that are missing take their defaults: two
releases of a program can share a cache while one replaces the other.
"""

from __future__ import annotations

import collections.abc
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Plainly: TypeAlias = Callable[[Any], Any]


class Mismatch(ValueError):
    """A value does not fit its declaration."""

    def __init__(self, expected: str, value: Any, path: str = "") -> None:
        self.expected, self.value, self.path = expected, value, path
        place = f" at {path}" if path else ""
        super().__init__(f"expected {expected}{place}, found {type(value).__name__}")

    def within(self, step: str) -> Mismatch:
        """The same, seen from one level further out."""
        return Mismatch(self.expected, self.value, step + self.path)


@dataclass(frozen=True, slots=True)
class Converter:
    """What one type needs."""

    to_plain: Plainly
    from_plain: Plainly
    # As `from_plain`, but it also refuses fields it does not know: unions choose by this.
    from_exactly: Plainly


def both_ways(convert: Plainly) -> Converter:
    """A type that looks the same on both sides."""
    return Converter(convert, convert, convert)


def checked(expected: type) -> Converter:
    """A type that msgpack knows, and no subclass of it (True is no int here)."""

    def check(value: Any) -> Any:
        if type(value) is not expected:
            raise Mismatch(expected.__name__, value)
        return value

    return both_ways(check)


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise Mismatch("float", value)
    return float(value)  # elsewhere 1.0 may have been written as 1


def as_text(kind: type, write: Callable[[Any], str], read: Callable[[str], Any]) -> Converter:
    """A type that is written as a string."""

    def to_plain(value: Any) -> str:
        if not isinstance(value, kind) or (kind is datetime.date and _is_datetime(value)):
            raise Mismatch(kind.__name__, value)
        return write(value)

    def from_plain(value: Any) -> Any:
        if type(value) is not str:
            raise Mismatch(f"a string that is a {kind.__name__}", value)
        try:
            return read(value)
        except (ValueError, ArithmeticError) as exc:
            raise Mismatch(f"a string that is a {kind.__name__}", value) from exc

    return Converter(to_plain, from_plain, from_plain)


def _is_datetime(value: Any) -> bool:
    return isinstance(value, datetime.datetime)


def _moment_to_plain(value: Any) -> datetime.datetime:
    if not isinstance(value, datetime.datetime):
        raise Mismatch("datetime", value)
    if value.tzinfo is None:
        raise Mismatch("datetime with a time zone", value)
    return value


def _moment_from_plain(value: Any) -> datetime.datetime:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError as exc:
            raise Mismatch("datetime", value) from exc
    return _moment_to_plain(value)


def _span_to_plain(value: Any) -> float:
    if not isinstance(value, datetime.timedelta):
        raise Mismatch("timedelta", value)
    return value.total_seconds()


def _span_from_plain(value: Any) -> datetime.timedelta:
    return datetime.timedelta(seconds=_number(value))


def _nothing(value: Any) -> None:
    if value is not None:
        raise Mismatch("None", value)


SCALARS: Final[dict[Any, Converter]] = {
    Any: both_ways(lambda value: value),
    object: both_ways(lambda value: value),
    None: both_ways(_nothing),
    type(None): both_ways(_nothing),
    bool: checked(bool),
    int: checked(int),
    float: both_ways(_number),
    str: checked(str),
    bytes: checked(bytes),
    datetime.datetime: Converter(_moment_to_plain, _moment_from_plain, _moment_from_plain),
    datetime.timedelta: Converter(_span_to_plain, _span_from_plain, _span_from_plain),
    datetime.date: as_text(datetime.date, str, datetime.date.fromisoformat),
    datetime.time: as_text(datetime.time, str, datetime.time.fromisoformat),
    uuid.UUID: as_text(uuid.UUID, str, uuid.UUID),
    decimal.Decimal: as_text(decimal.Decimal, str, decimal.Decimal),
}

SERIES: Final[dict[Any, type]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.Set: frozenset,
}
MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def series(kind: type, accepted: Any, inner: Converter) -> Converter:
    """A list, or what is written as one."""

    def walk(convert: Plainly, values: Any) -> list[Any]:
        found = []
        for index, value in enumerate(values):
            try:
                found.append(convert(value))
            except Mismatch as exc:
                raise exc.within(f"[{index}]") from None
        return found

    def to_plain(value: Any) -> list[Any]:
        if not isinstance(value, accepted) or isinstance(value, str | bytes):
            raise Mismatch(kind.__name__, value)
        return walk(inner.to_plain, value)

    def reader(convert: Plainly) -> Plainly:
        def from_plain(value: Any) -> Any:
            if type(value) is not list:
                raise Mismatch(f"a list that is a {kind.__name__}", value)
            found = walk(convert, value)
            try:
                return found if kind is list else kind(found)
            except TypeError as exc:
                raise Mismatch(f"a {kind.__name__} of what can be its members", value) from exc

        return from_plain

    return Converter(to_plain, reader(inner.from_plain), reader(inner.from_exactly))


def row(inners: tuple[Converter, ...], kind: Callable[[list[Any]], Any]) -> Converter:
    """A tuple with a type for each place, or a named tuple."""

    def walk(converts: list[Plainly], values: Any) -> list[Any]:
        if not isinstance(values, list | tuple) or len(values) != len(converts):
            raise Mismatch(f"{len(converts)} values in a row", values)
        found = []
        for index, (convert, value) in enumerate(zip(converts, values, strict=True)):
            try:
                found.append(convert(value))
            except Mismatch as exc:
                raise exc.within(f"[{index}]") from None
        return found

    writers = [inner.to_plain for inner in inners]
    readers = [inner.from_plain for inner in inners]
    exact = [inner.from_exactly for inner in inners]
    return Converter(
        lambda value: walk(writers, value),
        lambda value: kind(walk(readers, value)),
        lambda value: kind(walk(exact, value)),
    )


def mapping(keys: Converter, values: Converter) -> Converter:
    """A dict."""

    def walk(key: Plainly, convert: Plainly, found: Any) -> dict[Any, Any]:
        if not isinstance(found, collections.abc.Mapping):
            raise Mismatch("dict", found)
        result = {}
        for name, value in found.items():
            try:
                result[key(name)] = convert(value)
            except Mismatch as exc:
                raise exc.within(f"[{name!r}]") from None
        return result

    return Converter(
        lambda value: walk(keys.to_plain, values.to_plain, value),
        lambda value: walk(keys.from_plain, values.from_plain, value),
        lambda value: walk(keys.from_exactly, values.from_exactly, value),
    )


def union(inners: tuple[Converter, ...], name: str) -> Converter:
    """The first of the types that fits; exactly, if one of them does."""

    def first(converts: list[Plainly], value: Any) -> Any:
        nearest = Mismatch(name, value)
        for convert in converts:
            try:
                return convert(value)
            except Mismatch as exc:
                if len(exc.path) > len(nearest.path):
                    nearest = exc
        raise nearest

    writers = [inner.to_plain for inner in inners]
    exact = [inner.from_exactly for inner in inners]
    loose = [inner.from_plain for inner in inners]
    return Converter(
        lambda value: first(writers, value),
        lambda value: first(exact + loose, value),
        lambda value: first(exact, value),
    )


def literal(choices: tuple[Any, ...]) -> Converter:
    """One of some values, of the very type of each."""
    known = {(type(choice), choice): choice for choice in choices if not _is_enum(choice)}
    name = f"one of {', '.join(repr(choice) for choice in choices)}"

    def choose(value: Any) -> Any:
        if isinstance(value, collections.abc.Hashable) and (type(value), value) in known:
            return value
        raise Mismatch(name, value)

    return both_ways(choose)


def _is_enum(value: Any) -> bool:
    return isinstance(value, enum.Enum)


def enumeration(kind: type[enum.Enum]) -> Converter:
    """A member of an Enum, written as its value."""

    def to_plain(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Mismatch(kind.__name__, value)
        return value.value

    def from_plain(value: Any) -> Any:
        try:
            return kind(value)
        except ValueError as exc:
            raise Mismatch(f"a value of {kind.__name__}", value) from exc

    return Converter(to_plain, from_plain, from_plain)


UNIONS: Final = (typing.Union, types.UnionType)
