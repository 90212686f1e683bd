"""What each class of clients may take: the cluster setting `limits`, as people write it.

Pure, and the same on every node: whether such a text is a setting at all is decided where entries
of the log are read. What the limits do to a request, the node decides.

    bulk: operations=1000 bytes=1000000 connections=10 open=50; critical: rank=0 share=80

Each class begins with its name; its limits follow. A rate is what may be had in a second.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

CHARS_MAX: Final = 4_096
CLASSES_MAX: Final = 32
NUMBER_MAX: Final = 1_000_000_000_000

RANKS: Final = 3  # 0 is refused last, 2 first
_RANK_OF: Final = {"critical": 0, "bulk": 2}
_RANK: Final = 1
_SHARES: Final = (50, 5, 1)  # percent that a class of each rank keeps, however great the load is

NAME_CHARS_MAX: Final = 64
_NUMBER_CHARS: Final = len(str(NUMBER_MAX))
_SIGNS: Final = frozenset("_.-")
_RATES: Final = ("operations", "bytes", "connections")


class WrongLimitsError(ValueError):
    """The text is no limits; the message says which part of it."""


@dataclass(frozen=True, slots=True)
class ClassLimits:
    """What all clients of one class may take together. None: no bound."""

    rank: int = _RANK
    share: int = _SHARES[_RANK]  # percent of its requests that overload never refuses
    operations: int | None = None  # a second
    operations_burst: int | None = None
    bytes: int | None = None  # that clients send, a second
    bytes_burst: int | None = None
    connections: int | None = None  # that are opened, a second
    connections_burst: int | None = None
    open: int | None = None  # connections at one time
    shared: bool = False  # between the active nodes of the cluster, instead of for each


_NUMBERS: Final = tuple(each.name for each in fields(ClassLimits) if each.name != "shared")


def usual(name: str) -> ClassLimits:
    """Of a class that the setting does not name."""
    rank = _RANK_OF.get(name, _RANK)
    return ClassLimits(rank, _SHARES[rank])


def parse(text: str) -> dict[str, ClassLimits]:
    """The limits by class. WrongLimitsError where the text is none."""
    if len(text) > CHARS_MAX:
        raise WrongLimitsError(f"limits have at most {CHARS_MAX} characters")
    found: dict[str, ClassLimits] = {}
    for part in filter(None, (each.strip() for each in text.split(";"))):
        name, colon, rest = part.partition(":")
        name = name.strip()
        if not colon or not _is_name(name):
            raise WrongLimitsError(f"{part[:60]!r} does not begin with the name of a class and ':'")
        if name in found:
            raise WrongLimitsError(f"the class {name!r} is named twice")
        found[name] = _class(name, rest.split())
        if len(found) > CLASSES_MAX:
            raise WrongLimitsError(f"there are at most {CLASSES_MAX} classes")
    return found


def _is_name(text: str) -> bool:
    plain = text.isascii() and all(each.isalnum() or each in _SIGNS for each in text)
    return plain and 0 < len(text) <= NAME_CHARS_MAX


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _NUMBER_CHARS


def _class(name: str, words: list[str]) -> ClassLimits:
    given: dict[str, int] = {}
    shared = False
    for word in words:
        if word == "shared":
            shared = True
            continue
        what, _, number = word.partition("=")
        if what not in _NUMBERS or not _is_number(number):
            known = ", ".join(f"{each}=N" for each in _NUMBERS)
            raise WrongLimitsError(f"{name}: {word[:60]!r} is none of {known} or shared")
        given[what] = int(number)
    rank = given.get("rank", usual(name).rank)
    _check(name, given, rank)
    return ClassLimits(**{"rank": rank, "share": _SHARES[rank], **given}, shared=shared)


def _check(name: str, given: dict[str, int], rank: int) -> None:
    if rank >= RANKS:
        raise WrongLimitsError(f"{name}: rank is 0 (refused last) to {RANKS - 1}")
    if not 1 <= given.get("share", 1) <= 100:
        raise WrongLimitsError(f"{name}: share is 1 to 100, in percent")
    for what in _RATES:
        if given.get(what) == 0:
            raise WrongLimitsError(
                f"{name}: {what} must be 1 at least; who may do nothing gets no token"
            )
        if f"{what}_burst" in given and (what not in given or given[f"{what}_burst"] == 0):
            raise WrongLimitsError(f"{name}: {what}_burst is 1 at least, and goes with {what}")
    if any(number > NUMBER_MAX for number in given.values()):
        raise WrongLimitsError(f"{name}: numbers go up to {NUMBER_MAX}")


def is_limits(value: object) -> bool:
    """Whether a value can be the setting."""
    if value is None:
        return True
    if not isinstance(value, str):
        return False
    try:
        parse(value)
    except WrongLimitsError:
        return False
    return True
