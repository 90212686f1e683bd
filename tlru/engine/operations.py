"""What a log entry can ask of the machine, and its bytes.

Pure data. An operation is written as one msgpack array: its code, its name for `once` or nil, and
its fields in the order of the class. Codes are for ever: a new field is added at the end, with a
default, and belongs to a feature level.

What `decode` gives is well formed: each field is of the type that its class says, so that applying
it cannot fail half way. Whatever is not belongs to a later release, or to nobody.

All times are milliseconds: lives are lengths, deadlines are cluster time.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, Final, NamedTuple

import msgpack

from peers.errors import OutdatedError
from tlru.engine.settings import is_valid

Rev = int | str
"""A source's own revision: any integer counts below any string, strings compare by their bytes."""

# What a write can demand of what is there: nothing, ("absent",), ("present",),
# ("version", v) or ("unchanged", pos).
Condition = tuple[Any, ...] | None


# No life or wait is longer; a moment that is reckoned from one always fits 64 bits.
LIFE_MS_MAX: Final = (1 << 53) - 1

_INT = (int, NoneType)
_STR = (str, NoneType)
_REV = (int, str, NoneType)
_ROW_LENGTH = 5


def _is_life(found: object) -> bool:
    return type(found) is int and 0 <= found <= LIFE_MS_MAX


def _is_dressed(ttl: object, rev: object, mime: object) -> bool:
    return (ttl is None or _is_life(ttl)) and type(rev) in _REV and type(mime) in _STR


def _is_condition(found: object) -> bool:
    match found:
        case None | ("absent" | "present",):
            return True
        case ("version" | "unchanged", number):
            return type(number) is int
        case _:
            return False


class Once(NamedTuple):
    """A client's own name for an operation, so that it is applied at most once."""

    session: str
    n: int
    at: int  # cluster time of the first try
    done: int | None = None  # results up to this number are no longer asked for

    def well_formed(self) -> bool:
        return (
            type(self.session) is str
            and type(self.n) is int
            and type(self.at) is int
            and type(self.done) in _INT
        )


class Set(NamedTuple):
    key: str
    value: bytes
    ttl: int | None = None
    keep_ttl: bool = False
    condition: Condition = None
    rev: Rev | None = None
    mime: str | None = None
    old: bool = False

    def well_formed(self) -> bool:
        key, value, ttl, keep_ttl, condition, rev, mime, old = self
        return (
            type(key) is str
            and type(value) is bytes
            and (ttl is None or _is_life(ttl))
            and type(keep_ttl) is bool
            and (condition is None or _is_condition(condition))
            and type(rev) in _REV
            and type(mime) in _STR
            and type(old) is bool
        )


class SetMany(NamedTuple):
    items: tuple[tuple[str, bytes, int | None, Rev | None, str | None], ...]

    def well_formed(self) -> bool:
        # Column by column: there may be hundreds, and nearly all are alike.
        items = self.items
        if type(items) is not tuple or not set(map(type, items)) <= {tuple}:
            return False
        if not set(map(len, items)) <= {_ROW_LENGTH}:
            return False
        keys, values, *dresses = zip(*items, strict=True) if items else ((), ())
        return (
            set(map(type, keys)) <= {str}
            and set(map(type, values)) <= {bytes}
            and (
                all(column.count(None) == len(column) for column in dresses)
                or all(map(_is_dressed, *dresses))
            )
        )


class Delete(NamedTuple):
    keys: tuple[str, ...]
    condition: Condition = None
    rev: Rev | None = None

    def well_formed(self) -> bool:
        keys, condition, rev = self
        return (
            type(keys) is tuple
            and all(type(key) is str for key in keys)
            and _is_condition(condition)
            and type(rev) in _REV
            and (len(keys) == 1 or (condition is None and rev is None))
        )


class Touch(NamedTuple):
    key: str
    ttl: int | None = None

    def well_formed(self) -> bool:
        return type(self.key) is str and (self.ttl is None or _is_life(self.ttl))


class Incr(NamedTuple):
    key: str
    by: int = 1
    ttl: int | None = None

    def well_formed(self) -> bool:
        return (
            type(self.key) is str
            and type(self.by) is int
            and (self.ttl is None or _is_life(self.ttl))
        )


class Clear(NamedTuple):
    prefix: str = ""

    def well_formed(self) -> bool:
        return type(self.prefix) is str


class Publish(NamedTuple):
    channel: str
    value: bytes

    def well_formed(self) -> bool:
        return type(self.channel) is str and type(self.value) is bytes


class Lock(NamedTuple):
    name: str
    ttl: int
    wait: int = 0

    def well_formed(self) -> bool:
        return type(self.name) is str and _is_life(self.ttl) and _is_life(self.wait)


class Unlock(NamedTuple):
    name: str
    fence: int

    def well_formed(self) -> bool:
        return type(self.name) is str and type(self.fence) is int


class Renew(NamedTuple):
    name: str
    fence: int
    ttl: int

    def well_formed(self) -> bool:
        return type(self.name) is str and type(self.fence) is int and _is_life(self.ttl)


class GiveUpWait(NamedTuple):
    """The connection that waited for a lock is gone."""

    name: str
    incarnation: int
    sequence: int

    def well_formed(self) -> bool:
        return (
            type(self.name) is str and type(self.incarnation) is int and type(self.sequence) is int
        )


class Expire(NamedTuple):
    """Remove what is over at `up_to`; never ahead of the entry's own time."""

    up_to: int

    def well_formed(self) -> bool:
        return type(self.up_to) is int


class Evict(NamedTuple):
    """Remove victims, unless they changed since the index that is named with each."""

    victims: tuple[tuple[str, int], ...]

    def well_formed(self) -> bool:
        return type(self.victims) is tuple and all(
            type(row) is tuple and len(row) == 2 and type(row[0]) is str and type(row[1]) is int
            for row in self.victims
        )


class Checkpoint(NamedTuple):
    """Note the digest here; `digest` is what a majority reported for the checkpoint at `index`."""

    index: int  # type: ignore[assignment]  # our word for it; tuple.index is of no use here
    digest: int | None

    def well_formed(self) -> bool:
        return type(self.index) is int and type(self.digest) in _INT


class Settings(NamedTuple):
    """Change cluster settings."""

    changes: tuple[tuple[str, Any], ...]

    def well_formed(self) -> bool:
        return type(self.changes) is tuple and all(
            type(row) is tuple and len(row) == 2 and type(row[0]) is str and is_valid(*row)
            for row in self.changes
        )


Operation = (
    Set
    | SetMany
    | Delete
    | Touch
    | Incr
    | Clear
    | Publish
    | Lock
    | Unlock
    | Renew
    | GiveUpWait
    | Expire
    | Evict
    | Checkpoint
    | Settings
)

CODES: Final[dict[type[Any], int]] = {
    Set: 1,
    SetMany: 2,
    Delete: 3,
    Touch: 4,
    Incr: 5,
    Clear: 6,
    Publish: 7,
    Lock: 8,
    Unlock: 9,
    Renew: 10,
    GiveUpWait: 11,
    Expire: 12,
    Evict: 13,
    Checkpoint: 14,
    Settings: 15,
}
# The class of each code, and how long its array is with all fields.
_KINDS: Final[dict[int, tuple[Any, int]]] = {
    code: (kind, 2 + len(kind._fields)) for kind, code in CODES.items()
}

# What a client may name by `once`.
NAMEABLE: Final = (Set, SetMany, Delete, Touch, Incr, Clear, Publish, Lock, Unlock, Renew)

_pack = msgpack.Packer(autoreset=True).pack
_unpack = msgpack.unpackb
_new = tuple.__new__  # a third of the time that a named tuple takes to check what is right already


class UnknownOperationError(OutdatedError):
    """An entry holds an operation above this release's feature level."""


def encode(operation: Operation, once: Once | None = None) -> bytes:
    """The bytes that go into the log."""
    packed: bytes = _pack((CODES[type(operation)], once, *operation))
    return packed


def decode(data: bytes) -> tuple[Operation, Once | None]:
    """What `encode` was given. UnknownOperationError where it is not known, or not well formed."""
    try:
        row = _unpack(data, use_list=False, strict_map_key=False)
        kind, length = _KINDS[row[0]]
        # Nearly all have all their fields; those of an earlier release take the defaults.
        operation: Operation = _new(kind, row[2:]) if len(row) == length else kind(*row[2:])
        once = None if row[1] is None else Once(*row[1])
    except (ValueError, TypeError, KeyError, IndexError) as exc:
        raise _unknown(data) from exc
    if not operation.well_formed():
        raise _unknown(data)
    if once is not None and not (isinstance(operation, NAMEABLE) and once.well_formed()):
        raise _unknown(data)
    return operation, once


def _unknown(data: bytes) -> UnknownOperationError:
    return UnknownOperationError(
        f"this release does not know the operation of {len(data)} bytes that begins "
        f"{data[:8].hex(' ')}; upgrade the node to the release that the others run"
    )
