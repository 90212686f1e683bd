"""Small files that people read and only this program writes: JSON under a checksum.

A checksum that does not hold says that a bit is wrong, or that somebody has changed the file by
hand. Which of them it was cannot be told, and what stands there is not used.
"""

from __future__ import annotations

import json
from typing import Any

import xxhash


def seal(name: str, fields: dict[str, Any]) -> bytes:
    """The content of a file that holds these fields under `name`."""
    return json.dumps({name: fields, "checksum": _checksum(fields)}, indent=1).encode()


def unseal(name: str, raw: bytes) -> dict[str, Any]:
    """The fields. ValueError, TypeError, KeyError or RecursionError where it is not whole."""
    found: dict[str, Any] = json.loads(raw)
    fields: dict[str, Any] = found[name]
    # Promises with one digit changed would be broken promises.
    if found["checksum"] != _checksum(fields):
        raise ValueError("its checksum does not hold")
    return fields


UNSEALING = (ValueError, TypeError, KeyError, RecursionError)


def _checksum(fields: dict[str, Any]) -> str:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_64_hexdigest(canonical.encode())
