"""A value between the msgpack that is kept and the JSON that some clients speak.

Decides which of two ways a value takes: most need no tag and go straight through the encoders;
the rest go the exact way (`value_reader.py`, `value_writer.py`). What the tags hold is decided in
`value_tags.py`. The node never comes here for a msgpack client: values are opaque.

What `pack` writes, `unpack` shows and `pack` writes again, byte for byte (but for the bytes of a
`$raw` that are a sound value in a longer form: those come back in the smallest). What `unpack`
shows, `strict_json.dumps` writes and `strict_json.parse` reads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import isfinite
from typing import Any, Final

import msgpack

from tlru.errors import BadRequest
from tlru.wire.strict_json import shown
from tlru.wire.value_reader import Unreadable, read
from tlru.wire.value_tags import (
    DEPTH_MAX,
    PLAIN_INT_MAX,
    RAW,
    Misfit,
    looks_tagged,
    read_bytes,
    show_bytes,
)
from tlru.wire.value_writer import write

__all__ = ["DEPTH_MAX", "is_one_object", "pack", "unpack"]

# Of the way to the thing that is wrong, an error names this many steps, the innermost ones.
SHOWN_STEPS_MAX: Final = 8

# CPython 3.12 keeps an interned string for ever, and msgpack interns the keys of maps: whoever
# sends ever new names would fill the memory. There, what may hold a map goes the exact way.
_INTERNING_LEAKS: Final = sys.implementation.name == "cpython" and sys.hexversion >> 16 == 0x030C

# All that msgpack raises for bad bytes; its pure Python form may run out of stack as well.
_NOT_MSGPACK: Final = (ValueError, msgpack.UnpackException, RecursionError)


def pack(value: Any) -> bytes:
    """The msgpack bytes of a value as `strict_json.parse` gave it, its tags resolved.

    BadRequest tells what cannot be written, and where in the value it stands.
    """
    if _is_plain(value):
        try:
            packed: bytes = msgpack.packb(value)
        except UnicodeEncodeError:
            pass  # half a surrogate pair: the exact way finds where
        else:
            return packed
    try:
        if type(value) is dict and len(value) == 1 and RAW in value:
            return read_bytes(RAW, value[RAW])
        return write(value)
    except Misfit as misfit:
        raise BadRequest(_explain(misfit)) from misfit


def unpack(data: bytes) -> Any:
    """The object for `strict_json.dumps` that shows a value to a JSON client.

    Any bytes will do. Those that are not one msgpack object, or one that nests deeper than
    DEPTH_MAX or has a string that is not UTF-8, come as `$raw`.

    A value made for it has an object of up to 200 times its size in memory, but a text of at most
    8 times: who shows many values writes each with `dumps` before unpacking the next.
    """
    if _is_well_formed(data):
        try:
            return _read(data)
        except Unreadable:
            pass
    return {RAW: show_bytes(data)}


def is_one_object(data: bytes) -> bool:
    """Whether `unpack` shows these bytes as what they encode, and not as `$raw`."""
    value = unpack(data)
    # An object of the user's own with this one member is shown with one `$` more.
    return not (type(value) is dict and len(value) == 1 and RAW in value)


def _is_well_formed(data: bytes) -> bool:
    """Whether the bytes are exactly one msgpack object; nothing is built to find out."""
    if not data:
        return False
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        unpacker.skip()
    except _NOT_MSGPACK:
        return False
    return bool(unpacker.tell() == len(data))


def _read(data: bytes) -> Any:
    if _INTERNING_LEAKS and _is_container(data[0]):
        return read(data)
    try:
        value = msgpack.unpackb(data, object_pairs_hook=_unique_members)
    except _NOT_MSGPACK:
        return read(data)
    return value if _is_plain(value) else read(data)


def _is_container(head: int) -> bool:
    return 0x80 <= head <= 0x9F or 0xDC <= head <= 0xDF


def _unique_members(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    if type(pairs) is not list:
        pairs = list(pairs)  # msgpack 1.1 in pure Python hands in a generator
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


_SAME_IN_BOTH: Final = frozenset((str, bool, type(None)))
_ONLY_NAMES: Final = frozenset((str,))


def _is_plain(value: Any) -> bool:
    """Whether a value is the same in JSON as in msgpack, so that no tag is needed in it."""
    return _are_plain((value,), DEPTH_MAX)


def _are_plain(values: Iterable[Any], room: int) -> bool:
    for value in values:
        kind = type(value)
        if kind in _SAME_IN_BOTH:
            continue
        if kind is int:
            if not -PLAIN_INT_MAX <= value <= PLAIN_INT_MAX:
                return False
        elif kind is float:
            if not isfinite(value):
                return False
        elif not room:
            return False
        elif kind is list:
            if not _are_plain(value, room - 1):
                return False
        elif kind is dict:
            if not _ONLY_NAMES.issuperset(map(type, value)) or looks_tagged(value):
                return False
            if not _are_plain(value.values(), room - 1):
                return False
        else:
            return False
    return True


def _explain(misfit: Misfit) -> str:
    path = misfit.path
    if not path:
        return f"a value cannot be written: {misfit.reason}"
    steps = [str(s) if isinstance(s, int) else shown(s) for s in path[:SHOWN_STEPS_MAX]]
    if len(path) > SHOWN_STEPS_MAX:
        steps.append("...")
    return f"a value cannot be written: {misfit.reason} (at {'/'.join(reversed(steps))})"
