"""Log lines: text for people, or one JSON object a line for machines.

Decides how a record is written and which records are. What a line is about goes into fields,
`logger.info("client gone", extra={"client": name})`, never into the sentence, so that both forms
carry the same facts. Whatever a stranger's name or key holds, a record is one line: control
characters are escaped, and only the trace of an exception takes lines of its own (in text).
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

# Our own loggers follow `log_level`; libraries are heard only when something is wrong with them.
OWN = ("tlru", "peers")

# What every record has; anything else was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# What is being done, where that is a task of its own: an HTTP request, above all.
WHERE: Final[ContextVar[Mapping[str, Any]]] = ContextVar("where")

_NOTHING: Final[Mapping[str, Any]] = {}
Facts = Callable[[], Mapping[str, Any]]


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z info    tlru.node: client gone  client=web-7`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f"  {name}={_word(value)}" for name, value in _extras(record).items())
        line = (
            f"{_time(record)} {record.levelname.lower():<7} {record.name}: "
            f"{_one_line(record.getMessage())}{fields}"
        )
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One object a line: `time`, `level`, `logger`, `message`, then the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # A field cannot pass itself off as one of these four.
        line |= {name: value for name, value in _extras(record).items() if name not in line}
        if trace := _trace(self, record):
            line["trace"] = trace
        return json.dumps(line, default=str, skipkeys=True)


def setup(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send all log lines to `stream` (stderr unless given), in place of what was set up before."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(_say_where)
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING))
    for name in OWN:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(True)


class _Process:
    """What this process is about: the fields that stand in every record."""

    always: Mapping[str, Any] = _NOTHING
    by_the_loop: Facts | None = None  # only the loop's own thread may ask
    thread = 0


def about(always: Mapping[str, Any], by_the_loop: Facts | None = None) -> None:
    """Put these fields into every record from now on; what `by_the_loop` says, into those of the
    thread that calls this."""
    _Process.always, _Process.by_the_loop = always, by_the_loop
    _Process.thread = threading.get_ident()


def _say_where(record: logging.LogRecord) -> bool:
    """Say what every record should say, where the record itself does not say otherwise."""
    known = {**_Process.always, **WHERE.get(_NOTHING)}
    if _Process.by_the_loop is not None and threading.get_ident() == _Process.thread:
        known |= _Process.by_the_loop()
    for name, value in known.items():
        if not hasattr(record, name):
            setattr(record, name, value)
    return True


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1_000:03}Z"


def _word(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and text and not any(mark in text for mark in " \"'=")
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
