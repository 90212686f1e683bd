"""JSON text to objects and back, with nothing let through that two readers could take differently.

Decides what is refused though many parsers accept it: a member that stands twice, an integer that
would silently become a float, half a surrogate pair, nesting without end. Knows nothing of values
and their tags (`values.py`).

What `parse` returns holds exactly what the text says, and `dumps` can write it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from tlru.errors import BadRequest
from tlru.wire.limits import CONTAINERS_MAX

# A value may be 32 deep (`value_tags.DEPTH_MAX`) and each level of it may be a `$map`, which is
# three deep in JSON; the rest is for the message around it.
JSON_DEPTH_MAX = 128
# Of a name or a text that a stranger sent, an error repeats this many characters.
SHOWN_CHARS_MAX = 40
INT_MIN, INT_MAX = -(2**63), 2**64 - 1

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def dumps(obj: Any) -> bytes:
    """The compact JSON text of `obj`; no newline is in it, so one may separate texts."""
    return orjson.dumps(obj)


def parse(data: bytes, containers_max: int = CONTAINERS_MAX) -> Any:
    """What one JSON text in UTF-8 says; BadRequest tells what in it is not strict, and where."""
    brackets = data.count(b"[") + data.count(b"{")
    if brackets > containers_max and _has_more(data, containers_max):
        raise BadRequest(
            f"more than {containers_max} lists and objects in one JSON text are not read"
        )
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise BadRequest(_why_not_json(data, exc)) from exc
    if brackets > JSON_DEPTH_MAX and _is_deep(value):
        raise BadRequest(_TOO_DEEP)
    # orjson keeps the last of two equal members and rounds long integers. Writing what it read
    # shows both: were anything lost, the text would differ. Most clients send this compact form;
    # the others pay for a second reading.
    if orjson.dumps(value) == data:
        return value
    return _EXACT.decode(data.decode())


def shown(text: str) -> str:
    """Text from a stranger as an error may repeat it: short, quoted, plain ASCII."""
    if len(text) <= SHOWN_CHARS_MAX:
        return json.dumps(text)
    return json.dumps(text[:SHOWN_CHARS_MAX]) + "..."


_TOO_DEEP = f"JSON nested deeper than {JSON_DEPTH_MAX} lists and objects is not read"


def _has_more(data: bytes, containers_max: int) -> bool:
    """Whether there are more lists and objects, brackets within strings aside. A text of very many
    strings counts as one that has, since to look into them all takes as long as to read it."""
    if data.count(b'"') > 2 * containers_max:
        return True
    bare = _STRING.sub(b"", data)
    return bare.count(b"[") + bare.count(b"{") > containers_max


def _why_not_json(data: bytes, exc: orjson.JSONDecodeError) -> str:
    if not data:
        return "an empty text is not JSON"
    if data.startswith(_BYTE_ORDER_MARK):
        return "JSON begins without a byte order mark: leave the first three bytes (EF BB BF) out"
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        return f"JSON is UTF-8, and byte {bad.start} of this text is not: {bad.reason}"
    if "depth" in exc.msg or "ecursion" in exc.msg:
        return _TOO_DEEP
    if "allocate" in exc.msg:
        # orjson sizes its memory by the length of the text, and many lists that open in a short
        # one outgrow it. A whole text has their ends too, and is long enough.
        return "not JSON: lists or objects are opened that never end"
    return f"not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}"


def _is_deep(value: Any) -> bool:
    """Whether lists and objects nest deeper than JSON_DEPTH_MAX; one pass for each level."""
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is list or type(child) is dict
        ]
        if not level:
            return False
    return True


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadRequest(f"the member {shown(_repeated(pairs))} stands twice in one object")
    return members


def _repeated(pairs: list[tuple[str, Any]]) -> str:
    unmet = dict(pairs)
    # The first name that was taken out already is the one that stands twice.
    return next(name for name, _ in pairs if unmet.pop(name, _repeated) is _repeated)


def _integer(digits: str) -> int:
    # At most 309 digits: orjson has refused what is beyond the range of floats.
    if INT_MIN <= (number := int(digits)) <= INT_MAX:
        return number
    raise BadRequest(
        f"an integer of {len(digits)} characters ({shown(digits)}) does not fit 64 bits:"
        " write a float (with an exponent, as 1e30) or a string"
    )


# What orjson has refused by the time this reads (NaN, numbers beyond a float, control characters,
# half surrogate pairs) needs no refusing here.
_EXACT = json.JSONDecoder(object_pairs_hook=_members, parse_int=_integer)
