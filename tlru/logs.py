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
from datetime import UTC, datetime
from typing import Any, TextIO

# Our own loggers follow `log_level`; libraries are heard only when something is wrong with them.
OWN = ("tlru", "peers")

# What every record has; anything else was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING))
    for name in OWN:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(True)


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
