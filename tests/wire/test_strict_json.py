"""Strict JSON: what is read is what stands there; what readers could take two ways is refused."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.errors import BadRequest
from tlru.wire.strict_json import INT_MAX, INT_MIN, JSON_DEPTH_MAX, dumps, parse, shown

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
# Pieces that make texts which are JSON, almost JSON, and far from it.
PIECES = [
    *'[]{}:,"\\- \n\t\r\x00\x7f',
    *("0", "1", "-1", "01", "1.5", "1.", ".5", "1e5", "1E+400", "1e-400", "9" * 19, "9" * 21),
    *("null", "true", "false", "NaN", "Infinity", "nul"),
    *('"a"', '"b"', '"a":', '"a":1,', '"\\u0061":', '"é"', '"\\ud800"', '"\\ud83d\\ude00"'),
    *('""', '"\\x"', '"\\n"', "[[", "]]", "{}", "[]", "\ufeff", "\u00a0"),
]


def exactly(value: Any) -> str:
    """A text that tells 1 from 1.0 and from True, and 0.0 from -0.0, and keeps the order."""
    return repr(value)


def refusal(data: bytes) -> str:
    """The sentence with which a text is refused."""
    with pytest.raises(BadRequest) as caught:
        parse(data)
    return caught.value.message


@given(JSON, st.sampled_from([None, 0, 2]), st.booleans())
def test_every_json_text_is_read_as_it_says(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    """However it is spaced and escaped, and whatever it holds."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert exactly(parse(text.encode())) == exactly(value)


@given(JSON)
def test_what_is_written_is_read_back_and_is_one_line(value: Any) -> None:
    """A newline in it would end the message it stands in."""
    text = dumps(value)
    assert b"\n" not in text
    assert exactly(parse(text)) == exactly(value)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_read_as_the_standard_library_reads_it_or_refused(text: str) -> None:
    """Never anything but a value or BadRequest; and no value that a second reader has not."""
    try:
        value = parse(text.encode())
    except BadRequest as refused:
        dumps(refused.to_wire())  # the refusal can be sent
        return
    assert exactly(json.loads(text)) == exactly(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Bytes that are no text at all fail in no other way."""
    try:
        parse(data)
    except BadRequest as refused:
        dumps(refused.to_wire())


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":1}', '{ "b": 0, "a": 1, "a": 2 }', '[{"a":{"a":1,"\\u0061":2}}]']
)
def test_a_member_that_stands_twice_is_refused_by_name(text: str) -> None:
    """Some readers keep the first and some the last; escapes do not hide it."""
    assert refusal(text.encode()) == 'the member "a" stands twice in one object'


def test_equal_names_in_different_objects_are_fine() -> None:
    """Only within one object does a name stand once."""
    assert parse(b'[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "nan"])
def test_literals_that_only_python_has_are_refused(literal: str) -> None:
    """With the place where they stand."""
    sentence = refusal(f'{{"a":\n {literal}}}'.encode())
    assert sentence.startswith("not JSON: ")
    assert "at line 2, column" in sentence


@pytest.mark.parametrize("text", ["1e999", "-1e999", "[1e400]", "1" * 400 + ".0"])
def test_a_number_beyond_all_floats_is_refused(text: str) -> None:
    """It would otherwise be read as infinite, which JSON cannot write."""
    assert refusal(text.encode()).startswith("not JSON: ")


@pytest.mark.parametrize("number", [INT_MIN, INT_MIN + 1, -1, 0, INT_MAX - 1, INT_MAX])
def test_integers_of_64_bits_are_kept_exactly(number: int) -> None:
    """Spaced or not: the two ways of reading agree."""
    assert exactly(parse(b"%d" % number)) == exactly(number)
    assert exactly(parse(b"[ %d ]" % number)) == exactly([number])


@pytest.mark.parametrize("number", [INT_MIN - 1, INT_MAX + 1, 10**30, -(10**30)])
def test_integers_beyond_64_bits_are_refused_with_advice(number: int) -> None:
    """They would silently turn into floats."""
    sentence = refusal(b'{"a":%d}' % number)
    assert f"an integer of {len(str(number))} characters" in sentence
    assert "write a float (with an exponent, as 1e30) or a string" in sentence


def test_an_endless_integer_is_refused_without_being_read() -> None:
    """The time of `int()` grows with the square of the digits; Python itself stops at 4,300."""
    assert "an integer of 300 characters" in refusal(b"[" + b"7" * 300 + b"]")
    assert refusal(b"7" * 1_000_000).startswith("not JSON: ")
    assert exactly(parse(b"0." + b"7" * 1_000_000)) == "0.7777777777777778"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "an empty text is not JSON"),
        (
            b"\xef\xbb\xbf{}",
            "JSON begins without a byte order mark: leave the first three bytes (EF BB BF) out",
        ),
        (b'{"a":"\xff"}', "JSON is UTF-8, and byte 6 of this text is not: invalid start byte"),
        (
            b'"\xed\xa0\x80"',
            "JSON is UTF-8, and byte 1 of this text is not: invalid continuation byte",
        ),
        (b'"\xc3', "JSON is UTF-8, and byte 1 of this text is not: unexpected end of data"),
        (
            '{"a":1}'.encode("utf-16"),
            "JSON is UTF-8, and byte 0 of this text is not: invalid start byte",
        ),
    ],
)
def test_a_text_in_the_wrong_bytes_is_refused_with_the_place(data: bytes, sentence: str) -> None:
    """Byte order marks and other encodings are not guessed at."""
    assert refusal(data) == sentence


@pytest.mark.parametrize(
    "text",
    [
        *("{} {}", "1 2", "[1]]", "null,", "{}x", "[1,]", '{"a":1,}', "{'a':1}", "{a:1}", "[1 2]"),
        *("01", "-01", "1.", ".5", "+1", "-", "0x10", "1_000", "// x\n1", "/**/1", "\u00a01"),
        *('"a\nb"', '"a\tb"', '"a\x00b"', '"\\x41"', '"\\u12"', '"', '"abc', "tru", "\x0b1"),
        *('"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', '"\\udc00\\ud800"', '{"\\ud800":1}'),
    ],
)
def test_what_is_not_json_is_refused_with_the_place(text: str) -> None:
    """Every leniency that some parser has."""
    sentence = refusal(text.encode())
    assert sentence.startswith("not JSON: ")
    assert "at line " in sentence


def nested(depth: int) -> bytes:
    """Lists and objects in turn, `depth` deep."""
    opening = "".join('{"a":' if level % 2 else "[" for level in range(depth))
    closing = "".join("}" if level % 2 else "]" for level in reversed(range(depth)))
    return (opening + "0" + closing).encode()


def test_nesting_is_read_up_to_its_bound() -> None:
    """In the compact form and in the other."""
    data = nested(JSON_DEPTH_MAX)
    assert dumps(parse(data)) == data
    assert dumps(parse(data + b" ")) == data


@pytest.mark.parametrize("depth", [JSON_DEPTH_MAX + 1, 254, 255, 256, 1000, 1024, 1025, 60_000])
def test_deeper_nesting_is_refused(depth: int) -> None:
    """At every depth where a parser has a limit of its own, and far beyond; broken off or whole."""
    sentence = f"JSON nested deeper than {JSON_DEPTH_MAX} lists and objects is not read"
    assert refusal(nested(depth)) == sentence
    assert refusal(nested(depth) + b" ") == sentence


def test_nesting_that_never_ends_is_refused() -> None:
    """Whether the parser meets its depth, its memory or the end of the text first."""
    sentence = f"JSON nested deeper than {JSON_DEPTH_MAX} lists and objects is not read"
    assert refusal(b"[" * 60_000) == sentence
    assert refusal(b'{"a":' * 60_000) == sentence
    for depth in (1, 5, 100, 1000, 1024, 1025):
        assert refusal(b"[" * depth).startswith("not JSON: ")
        assert "memory" not in refusal(b"[" * depth)


def test_many_flat_lists_are_not_deep() -> None:
    """It is the depth that counts, not the number of brackets."""
    data = b"[" + b",".join([b"[{}]"] * 1000) + b"]"
    assert parse(data) == [[{}]] * 1000


def test_a_refusal_repeats_little_of_what_was_sent() -> None:
    """An error that carried a name of a megabyte back would be one more way to hurt."""
    name = "x" * 1_000_000
    assert len(refusal(f'{{"{name}":1,"{name}":2}}'.encode())) < 120
    assert len(refusal(b"[" + b"1" * 309 + b"]")) < 200


def test_what_an_error_shows_is_short_and_plain() -> None:
    """Letters that no terminal should get raw, and half surrogate pairs, come escaped."""
    assert shown('a"\n\x1b\ud800é') == '"a\\"\\n\\u001b\\ud800\\u00e9"'
    assert shown("x" * 41) == '"' + "x" * 40 + '"...'


def test_names_are_not_interned() -> None:
    """CPython 3.12 never lets go of an interned string: new names would fill the memory."""
    for text in (
        b'{"a name that stands in one text":1}',
        b'{ "a name that stands in one text": 1 }',
    ):
        (name,) = parse(text)
        assert sys.getrefcount(name) < 1000
