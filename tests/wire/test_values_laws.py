"""The laws of values between msgpack and JSON, over anything that either can say.

The encoder of the test is its own: it knows every form that msgpack has for a thing, so that both
the smallest form and longer ones are tried, whatever the library under the code would write.
"""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tlru.errors import BadRequest
from tlru.wire import value_reader, value_writer, values
from tlru.wire.strict_json import INT_MAX, INT_MIN, dumps, parse
from tlru.wire.values import DEPTH_MAX, is_one_object, pack, unpack


def through_json(data: bytes) -> bytes:
    """What a JSON client stores that reads a value and writes it back."""
    return pack(parse(dumps(unpack(data))))


# --- msgpack: each drawn value comes in some form and in the smallest -------------------------


class Encoded(NamedTuple):
    some: bytes
    smallest: bytes


def forms_of_int(number: int) -> list[bytes]:
    """Every form of an integer; of equally long ones the unsigned first."""
    forms = []
    if -32 <= number < 128:
        forms.append(struct.pack(">b", number))
    for width, head in ((1, 0xCC), (2, 0xCD), (4, 0xCE), (8, 0xCF)):
        if 0 <= number < 2 ** (8 * width):
            forms.append(bytes([head]) + number.to_bytes(width, "big"))
    for width, head in ((1, 0xD0), (2, 0xD1), (4, 0xD2), (8, 0xD3)):
        if -(2 ** (8 * width)) <= 2 * number < 2 ** (8 * width):
            forms.append(bytes([head]) + number.to_bytes(width, "big", signed=True))
    return forms


def forms_of_size(size: int, short: int | None, limit: int, heads: Sequence[int]) -> list[bytes]:
    """Every head for a length: in the first byte itself, or in 1, 2 or 4 bytes after it."""
    forms = [bytes([short | size])] if short is not None and size < limit else []
    widths = (1, 2, 4)[-len(heads) :]
    for head, width in zip(heads, widths, strict=True):
        if size < 2 ** (8 * width):
            forms.append(bytes([head]) + size.to_bytes(width, "big"))
    return forms


def forms_of_ext(code: int, payload: bytes) -> list[bytes]:
    """Every form of an extension."""
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
    heads = forms_of_size(len(payload), None, 0, (0xC7, 0xC8, 0xC9))
    if len(payload) in fixed:
        heads.insert(0, bytes([fixed[len(payload)]]))
    return [head + struct.pack(">b", code) + payload for head in heads]


def forms_of_moment(seconds: int, nanoseconds: int) -> list[bytes]:
    """Every form of a timestamp."""
    payloads = [struct.pack(">Iq", nanoseconds, seconds)]
    if 0 <= seconds < 2**34:
        payloads.append(struct.pack(">Q", nanoseconds << 34 | seconds))
    if 0 <= seconds < 2**32 and nanoseconds == 0:
        payloads.append(struct.pack(">I", seconds))
    return [form for payload in payloads for form in forms_of_ext(-1, payload)]


def forms_of_float(number: float) -> list[bytes]:
    """A double always, and a single where it holds the same number."""
    forms = [b"\xcb" + struct.pack(">d", number)]
    try:
        single = struct.pack(">f", number)
    except OverflowError:
        return forms
    if struct.unpack(">f", single)[0] == number:
        forms.append(b"\xca" + single)
    return forms


def one_of(forms: list[bytes], smallest: bytes | None = None) -> st.SearchStrategy[Encoded]:
    shortest = min(forms, key=len) if smallest is None else smallest
    return st.sampled_from(forms).map(lambda some: Encoded(some, shortest))


def one_float(number: float) -> st.SearchStrategy[Encoded]:
    return one_of(forms_of_float(number), forms_of_float(number)[0])


def sized(data: bytes, short: int | None, limit: int, heads: Sequence[int]) -> Any:
    return one_of([head + data for head in forms_of_size(len(data), short, limit, heads)])


@st.composite
def contained(draw: st.DrawFn, inner: st.SearchStrategy[Encoded], *, is_map: bool) -> Encoded:
    """A list or a map; maps may have any keys, some of them twice."""
    count = draw(st.integers(0, 4))
    parts = [draw(inner) for _ in range(count * 2 if is_map else count)]
    head = draw(
        one_of(
            forms_of_size(count, 0x80, 16, (0xDE, 0xDF))
            if is_map
            else forms_of_size(count, 0x90, 16, (0xDC, 0xDD))
        )
    )
    return Encoded(
        head.some + b"".join(part.some for part in parts),
        head.smallest + b"".join(part.smallest for part in parts),
    )


NAMES = st.sampled_from(["", "a", "b", "$", "$b64", "$raw", "$map", "$$", "$x", "é"]) | st.text()
PAYLOADS = st.binary(max_size=20)
NANS = [
    b"\xcb\x7f\xf8" + bytes(6),
    b"\xcb\xff\xf8" + bytes(6),
    b"\xcb\x7f\xf0" + bytes(5) + b"\x01",
]
MOMENTS = st.tuples(
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(-(2**36), 2**38)
    | st.sampled_from([-1, 0, 2**32 - 1, 2**32, 2**34 - 1, 2**34]),
    st.sampled_from([0, 1, 500_000_000, 999_999_999]) | st.integers(0, 999_999_999),
)
# Extension -1 is left to MOMENTS, and to payloads that are no timestamp: by length or nanoseconds.
CODES = st.integers(-128, 127).filter(lambda code: code != -1)
NO_MOMENTS = PAYLOADS.filter(lambda data: len(data) not in (4, 8, 12)) | st.sampled_from(
    [struct.pack(">Iq", 10**9, 0), struct.pack(">Q", 10**9 << 34), b"\xff" * 12, b"\xff" * 8]
)
SCALARS = st.one_of(
    st.sampled_from([b"\xc0", b"\xc2", b"\xc3"]).map(lambda data: Encoded(data, data)),
    st.integers(INT_MIN, INT_MAX).flatmap(lambda number: one_of(forms_of_int(number))),
    st.floats(allow_nan=False).flatmap(one_float),
    st.floats(allow_nan=False, width=32).flatmap(one_float),
    st.just(NANS).flatmap(lambda nans: one_of(nans, nans[0])),
    NAMES.map(str.encode).flatmap(lambda text: sized(text, 0xA0, 32, (0xD9, 0xDA, 0xDB))),
    PAYLOADS.flatmap(lambda data: sized(data, None, 0, (0xC4, 0xC5, 0xC6))),
    st.tuples(CODES, PAYLOADS).flatmap(lambda ext: one_of(forms_of_ext(*ext))),
    NO_MOMENTS.flatmap(lambda data: one_of(forms_of_ext(-1, data))),
    MOMENTS.flatmap(lambda moment: one_of(forms_of_moment(*moment))),
)
MSGPACK = st.recursive(
    SCALARS,
    lambda inner: contained(inner, is_map=False) | contained(inner, is_map=True),
    max_leaves=12,
)


@given(MSGPACK)
def test_any_msgpack_object_comes_back_through_json_in_its_smallest_form(value: Encoded) -> None:
    """Bit for bit where it was in that form already; nothing else about it changes."""
    assert is_one_object(value.some)
    assert through_json(value.some) == value.smallest
    assert through_json(value.smallest) == value.smallest
    assert unpack(value.some) == unpack(value.smallest)


@given(MSGPACK)
def test_the_short_way_and_the_exact_way_show_the_same(value: Encoded) -> None:
    """What `unpack` takes a shortcut for is what the exact reader would have said."""
    assert repr(unpack(value.some)) == repr(value_reader.read(value.some))


@given(st.integers(-(2**34), 2**38), st.integers(0, 999_999_999), st.integers(-1439, 1439))
def test_a_time_is_the_moment_that_other_libraries_write(
    seconds: int, nanoseconds: int, minutes: int
) -> None:
    """Against msgpack's own timestamps and the calendar of the standard library."""
    packed = msgpack.packb(msgpack.Timestamp(seconds, nanoseconds))
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        there = moment.astimezone(timezone(timedelta(minutes=minutes))).replace(tzinfo=None)
    except OverflowError:
        return
    sign, offset = "-" if minutes < 0 else "+", abs(minutes)
    text = f"{there.isoformat()}.{nanoseconds:09}{sign}{offset // 60:02}:{offset % 60:02}"
    assert pack({"$time": text}) == packed
    assert datetime.fromisoformat(unpack(packed)["$time"]) == moment + timedelta(
        microseconds=nanoseconds // 1000
    )


# --- JSON: any value that a client can write, tags and all -----------------------------------

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


def named(members: dict[str, Any]) -> dict[str, Any]:
    """An object of the user's own, as a client has to write it."""
    if len(members) == 1 and next(iter(members)).startswith("$"):
        return {"$" + name: content for name, content in members.items()}
    return members


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def time_text(moment: datetime, fraction: str, offset: str) -> dict[str, str]:
    return {"$time": moment.isoformat(timespec="seconds") + fraction + offset}


TAGGED = st.one_of(
    st.integers(INT_MIN, INT_MAX),
    PAYLOADS.map(lambda data: {"$b64": base64(data)}),
    st.integers(INT_MIN, INT_MAX).map(lambda number: {"$int": str(number)}),
    st.sampled_from(["NaN", "Infinity", "-Infinity"]).map(lambda name: {"$num": name}),
    st.tuples(st.integers(-128, 127), PAYLOADS).map(lambda e: {"$ext": [e[0], base64(e[1])]}),
    MOMENTS.map(lambda m: {"$ext": [-1, base64(struct.pack(">Iq", m[1], m[0]))]}),
    st.builds(
        time_text,
        st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
        st.sampled_from(["", ".0", ".5", ".000000001", ".999999999"]),
        st.sampled_from(["Z", "z", "+00:00", "-00:00", "+05:30", "-23:59"]),
    ),
)
VALUES = st.recursive(
    PLAIN | TAGGED,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES, inner, max_size=3).map(named)
        | st.lists(st.tuples(inner, inner).map(list), max_size=3).map(lambda pairs: {"$map": pairs})
    ),
    max_leaves=12,
)
PLAIN_VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4).filter(lambda own: own == named(own))
    ),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_any_json_value_is_stored_and_comes_back_as_the_same_bytes(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    """However its text is spaced and escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    packed = pack(parse(text))
    assert is_one_object(packed)
    assert through_json(packed) == packed
    assert unpack(through_json(packed)) == unpack(packed)


@given(PLAIN_VALUES)
def test_a_value_without_tags_is_the_same_in_both(value: Any) -> None:
    """Where JSON has words for everything, msgpack holds just that, and nothing is marked."""
    packed = msgpack.packb(value)
    assert pack(value) == packed
    assert value_writer.write(value) == packed
    assert repr(unpack(packed)) == repr(value)


@given(st.binary(max_size=40) | MSGPACK.map(lambda value: value.some))
@example(b"\xdd\x00\x00\x00\x00")
def test_raw_holds_any_bytes(data: bytes) -> None:
    """As they are; and they come back as they are, unless they have a better name in JSON."""
    assert pack({"$raw": base64(data)}) == data
    if not is_one_object(data):
        assert unpack(data) == {"$raw": base64(data)}
        assert through_json(data) == data


# --- anything at all ------------------------------------------------------------------------

HEADS = st.sampled_from(
    [bytes([head]) for head in range(0x80, 0x100)]
    + [b"\x00", b"\xff\xff\xff\xff", b"\x00\x00", b"a", b"\xa1a", b"\xa2$x", b"\xa4$raw"]
)
BROKEN = st.one_of(
    st.binary(max_size=60),
    st.lists(HEADS, max_size=12).map(b"".join),
    st.tuples(MSGPACK, st.integers(0, 60), st.binary(max_size=2), st.integers(0, 2)).map(
        lambda m: m[0].some[: m[1]] + m[2] + m[0].some[m[1] + m[3] :]
    ),
)


@given(BROKEN)
def test_any_bytes_are_shown_as_json_that_can_be_read_and_stored(data: bytes) -> None:
    """`unpack` never fails, and whatever it shows is good for all the rest."""
    shown = unpack(data)
    again = pack(parse(dumps(shown)))
    assert unpack(again) == shown
    assert is_one_object(data) is (end_of(data, 0, DEPTH_MAX) == len(data))


def end_of(data: bytes, at: int, room: int) -> int | None:
    """Where the msgpack object ends that begins at `at`, or None where there is no sound one."""
    head = data[at : at + 1]
    if not head or head == b"\xc1":
        return None
    kind, fixed, width = layout(head[0])
    start = at + 1 + width
    if start > len(data):
        return None
    size = fixed + int.from_bytes(data[at + 1 : start], "big")
    if kind in ("list", "map"):
        return end_of_contents(data, start, size * (1 if kind == "list" else 2), room)
    end = start + size + (kind == "ext")
    if end > len(data) or (kind == "text" and not is_text(data[start:end])):
        return None
    return end


def end_of_contents(data: bytes, at: int, count: int, room: int) -> int | None:
    """Where `count` objects end, or None as soon as one of them is not sound."""
    end: int | None = at if room else None
    while count and end is not None:
        end = end_of(data, end, room - 1)
        count -= 1
    return end


def layout(head: int) -> tuple[str, int, int]:
    """What a first byte says: the kind, the size it holds itself, the bytes that hold the rest."""
    if head < 0x80 or head >= 0xE0 or head in (0xC0, 0xC2, 0xC3):
        return "scalar", 0, 0
    if head < 0xC0:
        kind, mask = ("map", 15) if head < 0x90 else ("list", 15) if head < 0xA0 else ("text", 31)
        return kind, head & mask, 0
    if 0xCA <= head <= 0xD3:
        return "scalar", [4, 8, 1, 2, 4, 8, 1, 2, 4, 8][head - 0xCA], 0
    if 0xD4 <= head <= 0xD8:
        return "ext", 1 << (head - 0xD4), 0
    for kind, first, widths in (
        ("bin", 0xC4, (1, 2, 4)),
        ("ext", 0xC7, (1, 2, 4)),
        ("text", 0xD9, (1, 2, 4)),
        ("list", 0xDC, (2, 4)),
        ("map", 0xDE, (2, 4)),
    ):
        if first <= head < first + len(widths):
            return kind, 0, widths[head - first]
    raise AssertionError(head)


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


JSON_PIECES = st.sampled_from(
    [*"[]{}:, ", "0", "-1", "1.5", "9007199254740993", "18446744073709551616", "null", '"x"']
    + [
        f'{{"{tag}":'
        for tag in ("$b64", "$int", "$num", "$time", "$map", "$ext", "$raw", "$", "$$x")
    ]
    + ['"AA=="', '"NaN"', '"2026-01-31T23:59:59Z"', '"7"', "[[", "]]", '"a":', '"\\ud800"', "-1,"]
)


@given(st.lists(JSON_PIECES, max_size=10).map("".join))
def test_any_text_is_stored_or_a_bad_request(text: str) -> None:
    """Nothing else ever comes out, and the refusal itself can be sent."""
    try:
        packed = pack(parse(text.encode()))
    except BadRequest as refused:
        dumps(refused.to_wire())
    else:
        dumps(unpack(packed))


def is_raw(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"$raw"}


ANYTHING = st.recursive(
    PLAIN | TAGGED | st.floats() | st.integers() | st.binary(max_size=3) | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=2)
        | st.sampled_from(["$b64", "$int", "$num", "$time", "$map", "$ext", "$raw", "$y"]).flatmap(
            lambda tag: inner.map(lambda content: {tag: content})
        )
    ),
    max_leaves=8,
)


@given(ANYTHING)
def test_any_content_of_any_tag_is_stored_or_a_bad_request(value: Any) -> None:
    """Also what no parser gives: bytes, NaN, half surrogate pairs, integers without end."""
    try:
        packed = pack(value)
    except BadRequest as refused:
        dumps(refused.to_wire())
    else:
        assert pack(parse(dumps(unpack(packed)))) == packed or is_raw(value)


@pytest.mark.parametrize("leaks", [False, True])
def test_a_python_that_keeps_names_for_ever_is_shown_the_same(
    leaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPython 3.12 takes the exact way for maps and lists; both ways are tried on every Python."""
    monkeypatch.setattr(values, "_INTERNING_LEAKS", leaks)
    value = {"a": [1, {"b": {"$b64": "AA=="}}], "c": 1.5, "d": None}
    assert unpack(pack(value)) == value
    assert unpack(pack("x")) == "x"
