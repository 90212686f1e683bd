"""Log lines: one line a record, with its fields, as text and as JSON."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru import logs

Setup = Callable[..., io.StringIO]


@pytest.fixture
def setup() -> Iterator[Setup]:
    """Set logging up to write to a page, and put everything back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    own = {name: logging.getLogger(name).level for name in logs.OWN}

    logs.about({})

    def begin(level: str = "info", form: str = "text") -> io.StringIO:
        page = io.StringIO()
        logs.setup(level, form, page)
        return page

    yield begin
    logging.captureWarnings(False)
    logs.about({})
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in own.items():
        logging.getLogger(name).setLevel(before)


def test_a_line_tells_when_how_grave_who_what_and_the_fields(setup: Setup) -> None:
    page = setup()
    logging.getLogger("tlru.node").info("client %s", "gone", extra={"client": "a b", "sent": 7})
    time, line = page.getvalue().split(" ", 1)
    assert line == 'info    tlru.node: client gone  client="a b"  sent=7\n'
    assert len(time) == len("2026-01-31T12:00:00.000Z")
    assert time.endswith("Z")


def test_json_has_the_same_facts(setup: Setup) -> None:
    page = setup(form="json")
    extra = {"client": "a\nb", "level_": 1, "odd": {1, 2} - {2}}
    logging.getLogger("tlru.node").warning("client %s", "gone", extra=extra)
    record = json.loads(page.getvalue())
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "warning",
        "logger": "tlru.node",
        "message": "client gone",
        "client": "a\nb",
        "level_": 1,
        "odd": "{1}",
    }


@pytest.mark.parametrize("form", ["text", "json"])
@given(words=st.text())
def test_no_words_make_a_second_line(form: str, words: str) -> None:
    record = logging.makeLogRecord({"name": "tlru", "msg": "%s", "args": (words,), "key": words})
    formatter = logs.JsonFormatter() if form == "json" else logs.TextFormatter()
    line = formatter.format(record)
    assert line.isprintable()
    if form == "json":
        assert json.loads(line)["message"] == json.loads(line)["key"] == words


def test_the_trace_of_an_exception_is_told(setup: Setup) -> None:
    for form in ("text", "json"):
        page = setup(form=form)
        try:
            raise ValueError("odd")
        except ValueError:
            logging.getLogger("peers").exception("that failed")
        assert "ValueError: odd" in page.getvalue()
        assert page.getvalue().count("\n") == (1 if form == "json" else 5)


def test_libraries_are_heard_only_when_something_is_wrong(setup: Setup) -> None:
    page = setup("debug")
    logging.getLogger("tlru.x").debug("ours")
    logging.getLogger("aiohttp.access").info("theirs")
    logging.getLogger("aiohttp.access").error("their trouble")
    assert [line.split(": ")[1] for line in page.getvalue().splitlines()] == [
        "ours",
        "their trouble",
    ]


def test_what_is_less_important_than_asked_for_is_left_out(setup: Setup) -> None:
    page = setup("error")
    logging.getLogger("tlru").warning("ours")
    logging.getLogger("aiohttp").warning("theirs")
    assert page.getvalue() == ""


def test_setting_up_again_replaces_what_was(setup: Setup) -> None:
    before, page = setup(), setup()
    logging.getLogger("tlru").info("once")
    assert (before.getvalue(), page.getvalue().count("once")) == ("", 1)


def test_a_warning_of_python_becomes_a_line(setup: Setup) -> None:
    page = setup()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old ways", stacklevel=1)
        logging.captureWarnings(False)
    assert "warning py.warnings: " in page.getvalue()
    assert "old ways" in page.getvalue()


def test_lines_go_to_stderr_unless_told_otherwise(setup: Setup) -> None:
    setup()
    logs.setup("info", "text")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr


def test_every_line_says_which_node_and_what_it_was_about(setup: Setup) -> None:
    page = setup(form="json")
    terms = iter((3, 4))
    logs.about({"node": "n1"}, lambda: {"term": next(terms)})
    logger = logging.getLogger("tlru.node")
    logger.info("first")
    there = contextvars.copy_context()
    there.run(logs.WHERE.set, {"request": "http-7"})
    there.run(lambda: logger.info("second", extra={"node": "n2"}))
    # What only the loop's thread may look at is not looked at from another.
    thread = threading.Thread(target=logger.info, args=("third",))
    thread.start()
    thread.join()
    first, second, third = map(json.loads, page.getvalue().splitlines())
    assert (first["node"], first["term"]) == ("n1", 3)
    assert "request" not in first
    assert (second["node"], second["term"], second["request"]) == ("n2", 4, "http-7")
    assert third["node"] == "n1"
    assert "term" not in third
