"""Values between the command line and the cache.

Decides what a text typed by somebody is as a value, and how a value is printed. Values stay in the
bytes that the cache keeps, so that `get` shows exactly what is there: a string bare, bytes as they
are, anything else as JSON, with the tags of the protocol for what JSON lacks.
"""

from __future__ import annotations

import enum
import os
import sys
from pathlib import Path
from typing import Any

import msgpack

from tlru.cli import say
from tlru.errors import BadRequest
from tlru.wire import strict_json
from tlru.wire.values import pack, unpack

STDIN = "-"

_BIN_HEADS = frozenset({0xC4, 0xC5, 0xC6})  # how the msgpack of bytes begins


class Type(enum.StrEnum):
    """What a text is taken for."""

    STR = "str"
    JSON = "json"
    INT = "int"
    BYTES = "bytes"
    FILE = "file"


def read(text: str, kind: Type) -> bytes:
    """The packed value that was given as `text`; `-` stands for what comes in on stdin.

    Raises `BadRequest` for what is no such value.
    """
    raw = _content(text, kind)
    if kind in (Type.BYTES, Type.FILE):
        return _packed(raw)
    if kind is Type.JSON:
        return pack(strict_json.parse(raw))
    try:
        string = raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise BadRequest(
            f"the value is not UTF-8 text (byte {problem.start}); keep it with --type bytes"
        ) from problem
    return _packed(_integer(string) if kind is Type.INT else string)


def write(packed: bytes) -> None:
    """Print a value: a string bare, bytes as they are, anything else as JSON."""
    shown = unpack(packed)
    if packed[:1] and packed[0] in _BIN_HEADS and _is_tag(shown, "$b64"):
        say.data_bytes(msgpack.unpackb(packed))
    else:
        say.data(line(packed))


def line(packed: bytes) -> str:
    """A value as text: a string bare, anything else as JSON."""
    shown = unpack(packed)
    return shown if isinstance(shown, str) else strict_json.dumps(shown).decode()


def as_json(packed: bytes) -> Any:
    """A value for `strict_json.dumps`."""
    return unpack(packed)


def _content(text: str, kind: Type) -> bytes:
    if kind is Type.FILE and text != STDIN:
        try:
            return Path(text).read_bytes()
        except OSError as problem:
            raise BadRequest(f"cannot read {text}: {problem.strerror}") from problem
    if text == STDIN:
        return sys.stdin.buffer.read()
    return os.fsencode(text)  # the bytes that the shell passed, UTF-8 or not


def _integer(text: str) -> int:
    try:
        return int(text.strip())
    except ValueError as problem:
        raise BadRequest(f"{text.strip()[:40]!r} is no whole number") from problem


def _packed(value: object) -> bytes:
    try:
        packed: bytes = msgpack.packb(value)
    except (OverflowError, ValueError) as problem:
        raise BadRequest(f"the value cannot be kept: {problem}") from problem
    return packed


def _is_tag(shown: Any, tag: str) -> bool:
    return isinstance(shown, dict) and list(shown) == [tag]
