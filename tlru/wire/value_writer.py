"""From the JSON of a value, tags and all, to its msgpack bytes.

Decides what is written for each thing that JSON can say, and what is refused. The slow and exact
way: `values.py` comes here with what has tags, or cannot be written, to hear where and why.

Whatever is written is in msgpack's smallest form, so equal values have equal bytes. Only `$raw`,
bytes that are a whole value already, is not for this module to judge.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack

from tlru.wire.strict_json import INT_MAX, INT_MIN, shown
from tlru.wire.value_tags import (
    B64,
    DEPTH_MAX,
    MAP,
    NUM,
    RAW,
    Misfit,
    looks_tagged,
    read_bytes,
    read_ext,
    read_int,
    read_num,
    read_time,
    what,
)


def write(value: Any) -> bytes:
    """The msgpack encoding of a value; Misfit tells what cannot be written, and where it stands."""
    writer = _Writer()
    writer.value(value, DEPTH_MAX)
    return writer.written()


class _Writer:
    __slots__ = ("_done", "_packer")

    def __init__(self) -> None:
        self._packer = msgpack.Packer(autoreset=False)
        self._done: list[bytes] = []

    def written(self) -> bytes:
        return b"".join((*self._done, self._packer.bytes()))

    def value(self, value: Any, room: int) -> None:
        """Write a value whose lists and maps may nest `room` deep."""
        kind = type(value)
        if kind is str:
            self._text(value)
        elif value is None or kind is bool:
            self._packer.pack(value)
        elif kind is int:
            self._integer(value)
        elif kind is float:
            self._float(value)
        elif kind is list:
            self._list(value, room)
        elif kind is dict:
            self._object(value, room)
        else:
            raise Misfit(f"{what(value)} is nothing that JSON has")

    def _text(self, text: str) -> None:
        try:
            self._packer.pack(text)
        except UnicodeEncodeError as exc:
            reason = f"{shown(text)} has half a surrogate pair as its character {exc.start}"
            raise Misfit(reason) from exc

    def _integer(self, number: int) -> None:
        if not INT_MIN <= number <= INT_MAX:
            raise Misfit("an integer that does not fit 64 bits: write a float or a string")
        self._packer.pack(number)

    def _float(self, number: float) -> None:
        if not math.isfinite(number):
            raise Misfit(f"JSON has no {number}: write {NUM} with its name")
        self._packer.pack(number)

    def _list(self, values: list[Any], room: int) -> None:
        room = _enter(room)
        self._packer.pack_array_header(len(values))
        self._listed(values, room)

    def _listed(self, values: list[Any], room: int) -> None:
        for index, child in enumerate(values):
            try:
                self.value(child, room)
            except Misfit as misfit:
                misfit.path.append(index)
                raise

    def _object(self, members: dict[str, Any], room: int) -> None:
        for name in members:
            if type(name) is not str:
                raise Misfit(f"{what(name)} names a member, which only a string can")
        escaped = looks_tagged(members)
        if escaped:
            ((name, content),) = members.items()
            if not name.startswith("$$"):
                self._tag(name, content, room)
                return
        room = _enter(room)
        self._packer.pack_map_header(len(members))
        for name, child in members.items():
            try:
                self._text(name[1:] if escaped else name)
                self.value(child, room)
            except Misfit as misfit:
                misfit.path.append(name)
                raise

    def _tag(self, name: str, content: Any, room: int) -> None:
        match name:
            case "$b64":
                self._packer.pack(read_bytes(B64, content))
            case "$int":
                self._packer.pack(read_int(content))
            case "$num":
                self._packer.pack(read_num(content))
            case "$time":
                self._append(read_time(content))
            case "$ext":
                self._append(read_ext(content))
            case "$map":
                self._pairs(content, room)
            case "$raw":
                raise Misfit(f"{RAW} is bytes of a whole value, so it cannot stand within one")
            case _:
                raise Misfit(
                    f"unknown tag {shown(name)}; for an object with just this member, write the"
                    f" name with one $ more: {shown('$' + name)}"
                )

    def _pairs(self, pairs: Any, room: int) -> None:
        room = _enter(room)
        if type(pairs) is not list:
            raise Misfit(f"{MAP} takes a list of pairs, not {what(pairs)}")
        self._packer.pack_map_header(len(pairs))
        for index, pair in enumerate(pairs):
            try:
                if type(pair) is not list or len(pair) != 2:
                    raise Misfit(f"{MAP} takes pairs, [key, value], not {what(pair)}")
                self._listed(pair, room)
            except Misfit as misfit:
                misfit.path += (index, MAP)
                raise

    def _append(self, encoded: bytes) -> None:
        """Add what is msgpack already, after what the packer holds."""
        self._done += (self._packer.bytes(), encoded)
        self._packer.reset()


def _enter(room: int) -> int:
    if not room:
        raise Misfit(f"lists and objects of a value nest at most {DEPTH_MAX} deep")
    return room - 1
