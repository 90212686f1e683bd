"""What is typed as a value is what is kept, and what is kept is what is printed."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.cli import values
from tlru.cli.values import Type
from tlru.errors import BadRequest
from tlru.wire import strict_json


def stdin_of(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let `content` come in on stdin."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("hello", Type.STR, "hello"),
        ("7", Type.STR, "7"),
        ("", Type.STR, ""),
        ("7", Type.INT, 7),
        (" -7 ", Type.INT, -7),
        ("18446744073709551615", Type.INT, 2**64 - 1),
        ('{"a": [1, null, "é"]}', Type.JSON, {"a": [1, None, "é"]}),
        ('{"$b64": "AAE="}', Type.JSON, b"\0\1"),
        ("hello", Type.BYTES, b"hello"),
    ],
)
def test_a_text_becomes_the_value_of_its_type(text: str, kind: Type, value: object) -> None:
    assert msgpack.unpackb(values.read(text, kind)) == value


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("seven", Type.INT, "'seven' is no whole number"),
        ("1e3", Type.INT, "'1e3' is no whole number"),
        ("{", Type.JSON, "not JSON: "),
        ("NaN", Type.JSON, "not JSON: "),
        ('{"a":1,"a":2}', Type.JSON, 'the member "a" stands twice in one object'),
        ("9" * 30, Type.INT, "the value cannot be kept: "),
        ("/no/such/file", Type.FILE, "cannot read /no/such/file: No such file or directory"),
        (
            os.fsdecode(b"\xff"),
            Type.STR,
            "the value is not UTF-8 text (byte 0); keep it with --type",
        ),
    ],
)
def test_what_is_no_value_of_its_type_is_refused(text: str, kind: Type, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        values.read(text, kind)
    assert str(caught.value).startswith(told)


def test_bytes_need_not_be_text() -> None:
    assert msgpack.unpackb(values.read(os.fsdecode(b"\xff\xfe"), Type.BYTES)) == b"\xff\xfe"


def test_a_file_is_kept_as_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(bytes(range(256)))
    assert msgpack.unpackb(values.read(str(file), Type.FILE)) == bytes(range(256))


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Type.STR, "line\n"), (Type.BYTES, b"line\n"), (Type.FILE, b"line\n")],
)
def test_a_dash_is_what_comes_in(kind: Type, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin_of(monkeypatch, b"line\n")
    assert msgpack.unpackb(values.read("-", kind)) == value


def test_json_and_numbers_come_in_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin_of(monkeypatch, b'{"a":1}\n')
    assert msgpack.unpackb(values.read("-", Type.JSON)) == {"a": 1}
    stdin_of(monkeypatch, b"12\n")
    assert msgpack.unpackb(values.read("-", Type.INT)) == 12


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("hello", b"hello\n"),
        ("two\nlines\x1b[31m", b"two\nlines\x1b[31m\n"),
        (7, b"7\n"),
        (2**60, b'{"$int":"1152921504606846976"}\n'),
        (None, b"null\n"),
        (1.5, b"1.5\n"),
        ({"a": [True]}, b'{"a":[true]}\n'),
        (b"\xff\0", b"\xff\0"),
        ({"$b64": "x"}, b'{"$$b64":"x"}\n'),
    ],
)
def test_a_pipe_gets_a_value_as_it_is(
    value: object, printed: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    values.write(msgpack.packb(value))
    assert capfdbinary.readouterr().out == printed


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("red \x1b[31m\x07\n\tend", "red \\x1b[31m\\x07\n\tend\n"),
        ("café 🎉", "café 🎉\n"),
        (b"text", "text\n"),
        (b"\x9b31m", "(4 bytes that are no text; a pipe or a file gets them as they are)\n"),
        ("\x9b31m \u202e", "\\x9b31m \\u202e\n"),
    ],
)
def test_a_terminal_is_not_commanded_by_a_value(
    value: object,
    printed: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    values.write(msgpack.packb(value))
    assert capsys.readouterr().out == printed


@given(st.binary())
def test_whatever_bytes_are_kept_can_be_printed(packed: bytes) -> None:
    assert isinstance(values.line(packed), str)
    strict_json.dumps(values.as_json(packed))


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab$"), st.lists))
def test_json_that_is_printed_can_be_set_again(value: Any) -> None:
    packed = values.read(strict_json.dumps(value).decode(), Type.JSON)
    assert values.as_json(packed) == value
    if not isinstance(value, str):
        assert values.read(values.line(packed), Type.JSON) == packed
