"""How a command speaks: data to stdout, words to stderr.

Decides what may reach a terminal as it is. What comes from a cache was written by strangers, so on
a terminal its control characters are shown escaped; a pipe or a file gets every byte as it was.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from tlru.wire import strict_json


def data(text: str) -> None:
    """One piece of data, on lines of its own."""
    print(for_terminal(text) if sys.stdout.isatty() else text)


def data_bytes(content: bytes) -> None:
    """Bytes as they are, or for a terminal what can be shown of them."""
    if sys.stdout.isatty():
        try:
            print(for_terminal(content.decode("utf-8")))
        except UnicodeDecodeError:
            print(
                f"({len(content):,} bytes that are no text; a pipe or a file gets them as they are)"
            )
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def json_line(content: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.flush()
    sys.stdout.buffer.write(strict_json.dumps(content) + b"\n")
    sys.stdout.buffer.flush()


def word(text: str) -> None:
    """Words for the person at the terminal, one line each."""
    for line in text.splitlines() or [""]:
        print(f"tlru: {for_terminal(line)}", file=sys.stderr)


def json_error(code: str, message: str, **facts: Any) -> None:
    """An error for a program that reads stderr."""
    error = {"code": code, "message": message, **facts}
    print(strict_json.dumps({"error": error}).decode(), file=sys.stderr)


def for_terminal(text: str) -> str:
    """`text` without what would command a terminal; new lines and tabs stay."""
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def one_line(text: str) -> str:
    """`text` as it may stand in a table or a line: new lines and tabs are escaped too."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def mend_streams() -> None:
    """Make do with streams that were closed, or cannot write every letter."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # the shell closed it (`>&-`), and a socket must not get its number
            _point_nowhere(number)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_stdout() -> None:
    """Leave off writing where nothing can be written, so that the exit does not try again."""
    _point_nowhere(sys.stdout.fileno())


def let_go_of_streams() -> None:
    """Before the exit: what a terminal or a pipe that is gone did not take is dropped, else the
    interpreter tries once more and ends with a status of its own."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            _point_nowhere(number)


def _point_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
