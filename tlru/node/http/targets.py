"""What a request target says: its path, and the fields of its query, exactly as they were meant.

Pure. A target is taken apart before anything in it is decoded, and each part is decoded once, so
that a key keeps its slashes, dots, percent and plus signs. Nothing is normalised on the way, and
what is not percent-encoded UTF-8 is refused rather than guessed at.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from tlru.errors import BadRequest
from tlru.wire.strict_json import shown

# No route takes as many; a form of the old kind has three fields.
QUERY_FIELDS_MAX = 32

_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_NOT_ENCODED = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Target(NamedTuple):
    """A path and a query, neither decoded."""

    path: str
    query: str


def split(raw: str) -> Target:
    """The parts of a target as it stands in a request line, without scheme and host."""
    if not raw.isascii():
        raise BadRequest("a request target is ASCII; other letters are percent-encoded UTF-8")
    if "#" in raw:
        raise BadRequest("a request target has no fragment; a # in a key is written %23")
    absolute = _ABSOLUTE.match(raw)
    path, _, query = raw[absolute.end() if absolute else 0 :].partition("?")
    return Target(path or "/", query)


def decode(part: str) -> str:
    """Part of a path that `split` gave, decoded once; a plus sign is a plus sign."""
    return _decode(part.encode("ascii"))


def fields(query: str) -> dict[str, str]:
    """The fields of a query that `split` gave, decoded once; a plus sign is a space."""
    return form(query.encode("ascii"))


def form(data: bytes) -> dict[str, str]:
    """The fields of a body that is `application/x-www-form-urlencoded`."""
    if data.count(b"&") >= QUERY_FIELDS_MAX:
        raise BadRequest(f"a request has at most {QUERY_FIELDS_MAX} fields in its query or form")
    found: dict[str, str] = {}
    for part in data.replace(b"+", b" ").split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            decoded = _decode(name)
            if decoded in found:
                raise BadRequest(f"the field {shown(decoded)} stands twice; which one is meant?")
            found[decoded] = _decode(value)
    return found


def _decode(data: bytes) -> str:
    if wrong := _NOT_ENCODED.search(data):
        raise BadRequest(
            f"a % at byte {wrong.start()} is not followed by two hexadecimal digits; "
            "a percent sign itself is written %25"
        )
    try:
        return unquote_to_bytes(data).decode()
    except UnicodeDecodeError as exc:
        raise BadRequest(f"not UTF-8 once it is percent-decoded: byte {exc.start}") from exc
