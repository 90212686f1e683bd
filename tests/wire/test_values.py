"""Values between msgpack and JSON, case by case: sizes, depth, places, and what is refused.

The tags themselves are in the tables of docs/protocol/values.md (test_values_page.py), the laws in
test_values_laws.py.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from typing import Any

import msgpack
import pytest

from tlru.errors import BadRequest
from tlru.wire.strict_json import dumps, parse
from tlru.wire.values import DEPTH_MAX, is_one_object, pack, unpack


def refusal(value: Any) -> str:
    """The sentence with which a value is refused."""
    with pytest.raises(BadRequest) as caught:
        pack(value)
    assert dumps(caught.value.to_wire())
    prefix, _, sentence = caught.value.message.partition("a value cannot be written: ")
    assert prefix == ""
    return sentence


def nested(depth: int, inmost: Any = 0) -> Any:
    """Lists and objects in turn, `depth` deep."""
    for level in range(depth):
        inmost = [inmost] if level % 2 else {"a": inmost}
    return inmost


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_every_length_has_the_head_that_msgpack_gives_it(size: int) -> None:
    """Each step from one form of a length to the next, for every type that has one."""
    text, data = "x" * size, b"\xff" * size
    assert pack(text) == msgpack.packb(text)
    assert unpack(pack(text)) == text
    assert pack({"$b64": b64encode(data).decode()}) == msgpack.packb(data)
    assert unpack(msgpack.packb(data)) == {"$b64": b64encode(data).decode()}
    extension = msgpack.packb(msgpack.ExtType(5, data))
    assert pack({"$ext": [5, b64encode(data).decode()]}) == extension
    assert unpack(extension) == {"$ext": [5, b64encode(data).decode()]}
    # Once by the short way, and once, for the sake of a tag, by the exact one.
    for last, shown in ((1, 1), (b"", {"$b64": ""})):
        items = msgpack.packb([None] * size + [last])
        assert pack([None] * size + [shown]) == items
        assert unpack(items) == [None] * size + [shown]
        members = {str(number): None for number in range(size)}
        assert pack({**members, "z": shown, "y": 0}) == msgpack.packb(
            {**members, "z": last, "y": 0}
        )
        assert unpack(msgpack.packb({**members, "z": last, "y": 0})) == {
            **members,
            "z": shown,
            "y": 0,
        }
        pairs = [[number, None] for number in range(size)] + [["z", shown]]
        numbered: dict[int | str, Any] = dict.fromkeys(range(size))
        numbered["z"] = last
        assert pack({"$map": pairs}) == msgpack.packb(numbered)
        if size:
            assert unpack(msgpack.packb(numbered)) == {"$map": pairs}


@pytest.mark.parametrize("bits", range(64))
def test_every_power_of_two_keeps_its_value_on_both_sides(bits: int) -> None:
    """The steps from one width of integer to the next, below and above zero."""
    for number in (2**bits - 1, 2**bits, -(2**bits) + 1, -(2**bits)):
        packed = msgpack.packb(number)
        assert pack(number) == packed
        assert pack({"$int": str(number)}) == packed
        expected = number if abs(number) <= 2**53 else {"$int": str(number)}
        assert unpack(packed) == expected
        assert unpack(msgpack.packb([number, b""])) == [expected, {"$b64": ""}]


@pytest.mark.parametrize(
    ("seconds", "nanoseconds", "text"),
    [
        (-1, 0, "1969-12-31T23:59:59Z"),
        (2**32 - 1, 0, "2106-02-07T06:28:15Z"),
        (2**32 - 1, 1, "2106-02-07T06:28:15.000000001Z"),
        (2**32, 0, "2106-02-07T06:28:16Z"),
        (2**34 - 1, 999_999_999, "2514-05-30T01:53:03.999999999Z"),
        (2**34, 0, "2514-05-30T01:53:04Z"),
    ],
)
def test_every_form_of_timestamp_begins_where_msgpack_says(
    seconds: int, nanoseconds: int, text: str
) -> None:
    """The steps between timestamps of 32, 64 and 96 bits."""
    packed = msgpack.packb(msgpack.Timestamp(seconds, nanoseconds))
    assert pack({"$time": text}) == packed
    assert unpack(packed) == {"$time": text}


@pytest.mark.parametrize(
    "value",
    [nested(DEPTH_MAX), nested(DEPTH_MAX, {"$b64": ""}), nested(DEPTH_MAX, {"$ext": [1, "AA=="]})],
)
def test_a_value_may_be_as_deep_as_its_bound(value: Any) -> None:
    """Tags are no level: they may stand in the innermost list."""
    packed = pack(parse(dumps(value)))
    assert unpack(packed) == value


def test_a_map_is_one_level_though_its_tag_has_three() -> None:
    """The deepest thing that can be shown is read by `parse` too, in a message around it."""
    value: Any = {"$ext": [1, "AA=="]}
    for _ in range(DEPTH_MAX):
        value = {"$map": [[value, 1]]}
    message = {"op": "set_many", "items": [{"key": "k", "value": value}]}
    packed = pack(parse(dumps([message]))[0]["items"][0]["value"])
    assert unpack(packed) == value
    assert refusal({"$map": [[value, 1]]}).startswith(
        "lists and objects of a value nest at most 32"
    )


@pytest.mark.parametrize("inmost", [0, {"$b64": ""}, {"$$b64": ""}, [], {}])
def test_one_level_more_is_refused_in_json_and_raw_from_msgpack(inmost: Any) -> None:
    """Both ways of each direction, with and without tags, agree on where the bound is."""
    levels = 1 if inmost in ([], {}, {"$$b64": ""}) else 0
    too_deep = nested(DEPTH_MAX + 1 - levels, inmost)
    assert refusal(too_deep).startswith("lists and objects of a value nest at most 32 deep")
    data = msgpack.packb(nested(DEPTH_MAX + 1, b""))
    assert unpack(data) == {"$raw": b64encode(data).decode()}
    assert unpack(msgpack.packb(nested(DEPTH_MAX + 1))).keys() == {"$raw"}


@pytest.mark.parametrize("depth", [33, 500, 1023, 1024, 1025, 100_000])
@pytest.mark.parametrize("unit", [b"\x91", b"\x81\x01", b"\x81", b"\xdd\x00\x00\x00\x01"])
def test_msgpack_of_any_depth_is_shown_raw(unit: bytes, depth: int) -> None:
    """At every depth where an unpacker has a stack of its own, whole or broken off."""
    for data in (unit * depth + b"\x01", unit * depth):
        assert unpack(data) == {"$raw": b64encode(data).decode()}
        assert not is_one_object(data)


UNKNOWN = (
    'unknown tag "$x"; for an object with just this member, write the name with one $ more: "$$x"'
)
DIGITS = "$int takes a string of at most 20 digits, without leading zeros"
NUMBERS = '$num takes "NaN", "Infinity" or "-Infinity"'
CODE = "$ext takes a type that is an integer from -128 to 127"
WHOLE = "$raw is bytes of a whole value, so it cannot stand within one"
LEAP = '$time has no leap seconds, as msgpack has none: "2016-12-31T23:59:60Z"'
LARGE = "an integer that does not fit 64 bits: write a float or a string"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"$x": 1}, UNKNOWN),
        ({"a": [0, {"$int": 5}]}, f'{DIGITS}, not the number 5 (at "a"/1)'),
        ({"$map": [[1, 2], [{"$num": "x"}, 3]]}, f'{NUMBERS}, not "x" (at "$map"/1/0)'),
        ({"$map": [[1, 2], [3]]}, '$map takes pairs, [key, value], not a list of 1 (at "$map"/1)'),
        ({"$map": None}, "$map takes a list of pairs, not null"),
        ({"$map": 10**5000}, "$map takes a list of pairs, not that number"),
        ({"$time": "2016-12-31T23:59:60Z"}, LEAP),
        ({"$ext": {}}, "$ext takes a list of two, [type, base64], not an object of 0"),
        ({"$ext": [True, ""]}, f"{CODE}, not true"),
        ({"$ext": [-129, ""]}, f"{CODE}, not the number -129"),
        ({"$ext": [1.0, ""]}, f"{CODE}, not the number 1.0"),
        ({"$b64": 2**60}, "$b64 takes a string of base64, not that number"),
        ({"$raw": False}, "$raw takes a string of base64, not false"),
        ([{"$raw": ""}], f"{WHOLE} (at 0)"),
        ({"$map": [[{"$raw": ""}, 1]]}, f'{WHOLE} (at "$map"/0/0)'),
        ({"$$raw": {"$raw": ""}}, f'{WHOLE} (at "$$raw")'),
        ({"a": "x\ud800"}, '"x\\ud800" has half a surrogate pair as its character 1 (at "a")'),
        ({"\udfff": 1}, '"\\udfff" has half a surrogate pair as its character 0 (at "\\udfff")'),
        ({"b": 2**64}, f'{LARGE} (at "b")'),
        ([-(2**63) - 1], f"{LARGE} (at 0)"),
        (float("nan"), "JSON has no nan: write $num with its name"),
        ([float("-inf")], "JSON has no -inf: write $num with its name (at 0)"),
        ({"a": b"x"}, 'a Python bytes is nothing that JSON has (at "a")'),
        ([(1, 2)], "a Python tuple is nothing that JSON has (at 0)"),
        ({1: 2}, "the number 1 names a member, which only a string can"),
        ({"a": {1: 2, "b": 3}}, 'the number 1 names a member, which only a string can (at "a")'),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(value: Any, sentence: str) -> None:
    """The sentence as a client gets it, whole."""
    assert refusal(value) == sentence


@pytest.mark.parametrize(
    "content",
    [
        *("A", "AA", "AAA", "AA=", "=", "====", "A===", "AAAA=", "AAAA====", "AA==AA==", "AA==\n"),
        *("\nAA==", "A A=", "AA\nAA", "AB==", "AAB=", "AA-_", "ÄÄÄÄ", "AAA\x00", "AAAA\ud800"),
        "AAAAAB==",
    ],
)
@pytest.mark.parametrize("tag", ["$b64", "$raw"])
def test_base64_has_one_spelling(tag: str, content: str) -> None:
    """Nothing missing, nothing more, no white space, no stray bits, no other alphabet."""
    assert refusal({tag: content}).startswith(f"{tag} takes base64")


@pytest.mark.parametrize(
    "content",
    [
        *(
            "",
            "-",
            "+1",
            "--1",
            "1.0",
            "1e3",
            " 1",
            "1 ",
            "1\n",
            "0x1",
            "1_0",
            "00",
            "-01",
            "١",
            "²",
        ),
        *("1" * 21, "9" * 1_000_000, "18446744073709551616", "-9223372036854775809", None, 1.0, []),
    ],
)
def test_digits_have_one_spelling(content: Any) -> None:
    """Nothing that only Python's `int` would take, and nothing beyond 64 bits."""
    assert refusal({"$int": content}).startswith("$int takes ")


@pytest.mark.parametrize(
    "content",
    [
        *("2026-01-31T24:00:00Z", "2026-01-31T23:60:00Z", "2026-01-31T23:59:61Z"),
        *("2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z"),
        *("2025-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "0000-01-01T00:00:00Z"),
        *("2026-01-31T23:59:59+24:00", "2026-01-31T23:59:59+00:60", "2026-01-31T23:59:59+0100"),
        *("2026-01-31T23:59:59.Z", "2026-01-31T23:59:59,5Z", "2026-01-31T23:59Z"),
        *("2026-01-31T23:59:59Z\n", " 2026-01-31T23:59:59Z", "+2026-01-31T23:59:59Z"),
        *("２026-01-31T23:59:59Z", "20260131T235959Z", "2026-W05-6T00:00:00Z"),
        *("9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "", None, 0),
    ],
)
def test_times_that_no_calendar_or_clock_has_are_refused(content: Any) -> None:
    """RFC 3339 to the letter, where Python's own readers of times are more lenient."""
    assert refusal({"$time": content}).startswith("$time takes ")


def test_a_refusal_is_short_however_large_the_value() -> None:
    """Long names, long content and a long way down are cut."""
    deep: Any = {"$int": "x" * 1_000_000}
    for _ in range(DEPTH_MAX):
        deep = {"n" * 1_000_000: deep}
    sentence = refusal(deep)
    assert '(at .../"nnnn' in sentence
    assert len(sentence) < 600


def test_a_tag_among_other_members_is_a_name_like_any_other() -> None:
    """Only an object of one member is a tag, also next to a real one and at the top."""
    for name in ("$raw", "$b64", "$y"):
        value = {name: "AA==", "b": {"$b64": ""}}
        assert pack(value) == msgpack.packb({name: "AA==", "b": b""})
        assert unpack(pack(value)) == value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xc0", True),
        (msgpack.packb({"$raw": ""}), True),
        (msgpack.packb({"$raw": "", "b": 1}), True),
        (msgpack.packb({1: b"\xff"}), True),
        (msgpack.packb(nested(DEPTH_MAX)), True),
        (msgpack.packb(nested(DEPTH_MAX + 1)), False),
        (b"", False),
        (b"\xc1", False),
        (b"\xc0\xc0", False),
        (b"\x92\x01", False),
        (b"\x92\x01\xa1\xff", False),
        (b"\x81\xa1\xff\x01", False),
        (b"\x91\xa3\xed\xa0\x80", False),
    ],
)
def test_what_is_one_object_is_what_is_not_shown_raw(data: bytes, expected: bool) -> None:
    """A user's own `$raw` object is an object like any other."""
    assert is_one_object(data) is expected


def test_names_are_not_interned() -> None:
    """CPython 3.12 never lets go of an interned string: new names would fill the memory."""
    data = msgpack.packb([{"a name that stands in one value": 1}])
    ((name,),) = unpack(data)
    assert sys.getrefcount(name) < 1000
