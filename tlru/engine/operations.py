"""What a log entry can ask of the machine, and its bytes.

Pure data. An operation is written as one msgpack array: its code, its name for `once` or nil, and
its fields in the order of the class. Codes are for ever: a new field is added at the end, with a
default, and belongs to a feature level.

All times are milliseconds: lives are lengths, deadlines are cluster time.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgpack

Rev = int | str
"""A source's own revision: any integer counts below any string, strings compare by their bytes."""

# What a write can demand of what is there: nothing, ("absent",), ("present",),
# ("version", v) or ("unchanged", pos).
Condition = tuple[Any, ...] | None


class Once(NamedTuple):
    """A client's own name for an operation, so that it is applied at most once."""

    session: str
    n: int
    at: int  # cluster time of the first try
    done: int | None = None  # results up to this number are no longer asked for


class Set(NamedTuple):
    key: str
    value: bytes
    ttl: int | None = None
    keep_ttl: bool = False
    condition: Condition = None
    rev: Rev | None = None
    mime: str | None = None
    old: bool = False


class SetMany(NamedTuple):
    items: tuple[tuple[str, bytes, int | None, Rev | None, str | None], ...]


class Delete(NamedTuple):
    keys: tuple[str, ...]
    condition: Condition = None
    rev: Rev | None = None


class Touch(NamedTuple):
    key: str
    ttl: int | None = None


class Incr(NamedTuple):
    key: str
    by: int = 1
    ttl: int | None = None


class Clear(NamedTuple):
    prefix: str = ""


class Publish(NamedTuple):
    channel: str
    value: bytes


class Lock(NamedTuple):
    name: str
    ttl: int
    wait: int = 0


class Unlock(NamedTuple):
    name: str
    fence: int


class Renew(NamedTuple):
    name: str
    fence: int
    ttl: int


class GiveUpWait(NamedTuple):
    """The connection that waited for a lock is gone."""

    name: str
    incarnation: int
    sequence: int


class Expire(NamedTuple):
    """Remove what is over at `up_to`; never ahead of the entry's own time."""

    up_to: int


class Evict(NamedTuple):
    """Remove victims, unless they changed since the index that is named with each."""

    victims: tuple[tuple[str, int], ...]


class Checkpoint(NamedTuple):
    """Note the digest here; `digest` is what a majority reported for the checkpoint at `index`."""

    index: int  # type: ignore[assignment]  # our word for it; tuple.index is of no use here
    digest: int | None


class Settings(NamedTuple):
    """Change cluster settings; a value of nil takes the default back."""

    changes: tuple[tuple[str, Any], ...]


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
_KINDS: Final[dict[int, Any]] = {code: kind for kind, code in CODES.items()}

# What a client may name by `once`.
NAMEABLE: Final = (Set, SetMany, Delete, Touch, Incr, Clear, Publish, Lock, Unlock, Renew)

_packer = msgpack.Packer(autoreset=True)


class UnknownOperationError(Exception):
    """An entry holds an operation above this release's feature level."""


def encode(operation: Operation, once: Once | None = None) -> bytes:
    """The bytes that go into the log."""
    packed: bytes = _packer.pack((CODES[type(operation)], once, *operation))
    return packed


def decode(data: bytes) -> tuple[Operation, Once | None]:
    """What `encode` was given. The log's own bytes: anything unreadable is a later release's."""
    try:
        code, once, *fields = msgpack.unpackb(data, use_list=False, strict_map_key=False)
        operation = _KINDS[code](*fields)
        return operation, None if once is None else Once(*once)
    except (ValueError, TypeError, KeyError) as exc:
        raise UnknownOperationError(
            f"cannot read an operation of {len(data)} bytes: {exc}"
        ) from exc
