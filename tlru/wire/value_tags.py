"""What each `$` tag holds: how JSON spells what msgpack has and JSON has not.

Decides the content of the tags, one at a time, and the bounds of a value; `value_reader.py` and
`value_writer.py` walk whole values. An object with exactly one member is a tag when the name of
that member begins with `$`; an object of the user's own that looks like one gets one `$` more.

Each thing has one spelling that is shown, and reading that spelling gives the same thing.
"""

from __future__ import annotations

import re
import struct
from binascii import a2b_base64, b2a_base64
from datetime import date, datetime, timedelta
from typing import Any, Final, NoReturn

from tlru.wire.strict_json import INT_MAX, INT_MIN, shown

# Lists and maps of a value, one within the other. A tag is no level of its own; `$map` is its map.
DEPTH_MAX: Final = 32
# Up to here a JavaScript number holds every integer; beyond, some would change, so `$int` has them.
PLAIN_INT_MAX: Final = 2**53

B64, INT, NUM, TIME, MAP, EXT, RAW = "$b64", "$int", "$num", "$time", "$map", "$ext", "$raw"

TIMESTAMP_CODE: Final = -1  # the extension type that msgpack reserves for timestamps
_EXT_CODES: Final = range(-128, 128)

NUMBERS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

_DIGITS = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY_S = 86_400
_FIRST_S = (date.min.toordinal() - _EPOCH_DAY) * _DAY_S  # 0001-01-01T00:00:00Z
_LAST_S = (date.max.toordinal() - _EPOCH_DAY + 1) * _DAY_S - 1  # 9999-12-31T23:59:59Z
_SECOND_NS = 1_000_000_000


class Misfit(Exception):
    """Some part of a value cannot be written; `values.pack` makes a BadRequest of it.

    `path`, the names and numbers that lead to it, grows from the inside out on its way up.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str | int] = []


def looks_tagged(members: dict[str, Any]) -> bool:
    """Whether an object has exactly one member, and the name of it begins with `$`."""
    return len(members) == 1 and next(iter(members)).startswith("$")


def show_bytes(data: bytes) -> str:
    """The base64 of `data`."""
    return b2a_base64(data, newline=False).decode("ascii")


def read_bytes(tag: str, content: Any) -> bytes:
    """The bytes that strict base64 (RFC 4648, padded) stands for."""
    if not isinstance(content, str):
        _refuse(tag, "a string of base64", content)
    try:
        data = a2b_base64(content, strict_mode=True)
    except ValueError:
        _refuse(tag, "base64 (A-Z a-z 0-9 + /, padded with =)", content)
    # Python lets surplus padding and stray low bits in the last letter pass: two texts would stand
    # for the same bytes. Writing the last group again finds either.
    if not content.endswith(show_bytes(data[-(len(data) % 3 or 3) :])):
        _refuse(tag, "base64 that ends as an encoder would end it", content)
    return data


def show_int(number: int) -> int | dict[str, str]:
    """A plain number where JavaScript holds it exactly, `$int` beyond."""
    return number if -PLAIN_INT_MAX <= number <= PLAIN_INT_MAX else {INT: str(number)}


def read_int(content: Any) -> int:
    """The integer of `$int`."""
    if not isinstance(content, str) or not _DIGITS.fullmatch(content):
        _refuse(INT, "a string of at most 20 digits, without leading zeros", content)
    number = int(content)
    if not INT_MIN <= number <= INT_MAX:
        _refuse(INT, "an integer from -2^63 to 2^64-1, all that msgpack has", content)
    return number


def show_float(number: float) -> float | dict[str, str]:
    """A plain number, or `$num` for the three that JSON has none for."""
    if number - number == 0.0:
        return number
    if number != number:
        return {NUM: "NaN"}
    return {NUM: "Infinity" if number > 0 else "-Infinity"}


def read_num(content: Any) -> float:
    """The float of `$num`."""
    number = NUMBERS.get(content) if isinstance(content, str) else None
    if number is None:
        _refuse(NUM, '"NaN", "Infinity" or "-Infinity"', content)
    return number


def show_ext(code: int, payload: bytes) -> dict[str, Any]:
    """`$time` for a timestamp within the years 1 to 9999, `$ext` for any other extension."""
    if code == TIMESTAMP_CODE and (moment := _timestamp_moment(payload)) is not None:
        seconds, nanoseconds = moment
        if _FIRST_S <= seconds <= _LAST_S:
            return {TIME: _time_text(seconds, nanoseconds)}
    return {EXT: [code, show_bytes(payload)]}


def read_ext(content: Any) -> bytes:
    """The msgpack encoding of `$ext`. A timestamp comes out in its smallest form."""
    if type(content) is not list or len(content) != 2:
        _refuse(EXT, "a list of two, [type, base64]", content)
    code = content[0]
    if type(code) is not int or code not in _EXT_CODES:
        _refuse(EXT, "a type that is an integer from -128 to 127", code)
    payload = read_bytes(EXT, content[1])
    if code == TIMESTAMP_CODE and (moment := _timestamp_moment(payload)) is not None:
        payload = _timestamp_payload(*moment)
    return _extension(code, payload)


def read_time(content: Any) -> bytes:
    """The msgpack timestamp of `$time`, exact to the nanosecond."""
    match = _RFC_3339.fullmatch(content) if isinstance(content, str) else None
    if match is None:
        _refuse(
            TIME,
            "an RFC 3339 time with an offset and at most 9 digits of fraction,"
            ' as "2026-01-31T23:59:59.5Z"',
            content,
        )
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = match.group(7, 8, 9, 10)
    if second == 60:
        raise Misfit(f"{TIME} has no leap seconds, as msgpack has none: {what(content)}")
    offset = int(offset_hour or 0) * 3600 + int(offset_minute or 0) * 60
    in_range = hour < 24 and minute < 60 and second < 60
    if not in_range or int(offset_hour or 0) > 23 or int(offset_minute or 0) > 59:
        _refuse(TIME, "hours up to 23, and minutes and seconds up to 59", content)
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        _refuse(TIME, "a day that the calendar has, of the years 0001 to 9999", content)
    seconds = days * _DAY_S + hour * 3600 + minute * 60 + second
    seconds += offset if sign == "-" else -offset
    if not _FIRST_S <= seconds <= _LAST_S:
        _refuse(TIME, "a time within the years 0001 to 9999 of UTC", content)
    nanoseconds = int((fraction or "").ljust(9, "0"))
    return _extension(TIMESTAMP_CODE, _timestamp_payload(seconds, nanoseconds))


def _time_text(seconds: int, nanoseconds: int) -> str:
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    return f"{text}{fraction}Z"


def _timestamp_moment(payload: bytes) -> tuple[int, int] | None:
    """Seconds and nanoseconds since 1970, or None where the bytes are no timestamp."""
    match len(payload):
        case 4:
            return int.from_bytes(payload, "big"), 0
        case 8:
            both = int.from_bytes(payload, "big")
            seconds, nanoseconds = both & (2**34 - 1), both >> 34
        case 12:
            nanoseconds, seconds = struct.unpack(">Iq", payload)
        case _:
            return None
    return (seconds, nanoseconds) if nanoseconds < _SECOND_NS else None


def _timestamp_payload(seconds: int, nanoseconds: int) -> bytes:
    """The smallest of the three forms that holds the moment."""
    if not 0 <= seconds < 2**34:
        return struct.pack(">Iq", nanoseconds, seconds)
    if nanoseconds or seconds >= 2**32:
        return struct.pack(">Q", nanoseconds << 34 | seconds)
    return struct.pack(">I", seconds)


def _extension(code: int, payload: bytes) -> bytes:
    # Written here since msgpack's own packer refuses types below 0 where it runs as pure Python.
    size = len(payload)
    if size in (1, 2, 4, 8, 16):
        return struct.pack(">Bb", 0xD4 + size.bit_length() - 1, code) + payload
    if size < 2**8:
        return struct.pack(">BBb", 0xC7, size, code) + payload
    if size < 2**16:
        return struct.pack(">BHb", 0xC8, size, code) + payload
    return struct.pack(">BIb", 0xC9, size, code) + payload


def _refuse(tag: str, wanted: str, content: Any) -> NoReturn:
    raise Misfit(f"{tag} takes {wanted}, not {what(content)}")


def what(content: Any) -> str:
    """A thing from a stranger in a few words, however large it is."""
    match content:
        case str():
            return shown(content)
        case None:
            return "null"
        case bool():
            return "true" if content else "false"
        case int() | float():
            return f"the number {content}" if abs(content) < PLAIN_INT_MAX else "that number"
        case list():
            return f"a list of {len(content)}"
        case dict():
            return f"an object of {len(content)}"
        case _:
            return f"a Python {type(content).__name__}"
