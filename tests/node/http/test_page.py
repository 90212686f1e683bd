"""docs/http.md lists what is served, and names the bounds as they are."""

from __future__ import annotations

import re
from pathlib import Path

from tlru.node.http import (
    connection,
    event_stream,
    heads,
    problems,
    request,
    side,
    targets,
    tickets,
)
from tlru.node.http.routes import ROUTES
from tlru.wire.limits import CONTAINERS_MAX

PAGE = (Path(__file__).parents[3] / "docs" / "http.md").read_text()


def test_the_page_lists_every_route_with_its_methods() -> None:
    rows = re.findall(r"^\| `(/\S*)` \| ([A-Z ]+) \|", PAGE, re.M)
    listed = {path: set(methods.split()) for path, methods in rows}
    assert len(listed) == len(rows)
    assert listed == {route.path: set(route.methods) for route in ROUTES.routes}


def test_the_page_names_the_bounds_as_they_are() -> None:
    assert f"within {request.BODY_WITHIN_S:g} s" in PAGE
    assert f"{connection.LINE_BYTES_MAX:,} bytes: 431" in PAGE
    assert f"| headers | {side.HEADERS_MAX}: 431 |" in PAGE
    assert f"in a body | {CONTAINERS_MAX:,} (or" in PAGE
    assert f"together | {heads.HEAD_BYTES_MAX >> 10} KiB: 431 |" in PAGE
    assert f"| {targets.QUERY_FIELDS_MAX}: 400 |" in PAGE
    assert f"| an idle connection | {connection.IDLE_S:g} s |" in PAGE
    assert f"| {tickets.TICKETS_MAX:,}, for {tickets.LIFE_S} s: 503 |" in PAGE
    assert f"Every {event_stream.COMMENT_S:g} seconds there is a comment" in PAGE
    assert event_stream.COMMENT_S * event_stream.STUCK_TICKS_MAX == 60, "a minute, says the page"
    assert event_stream.RETRY_MS == (500, 2_000), "half a second to two, says the page"


def test_the_page_lists_the_errors_that_http_alone_has() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| (`\w+`(?:, `\w+`)*) \|", PAGE, re.M)
    listed = {
        (int(status), code.strip("`"))
        for statuses, codes in rows
        for status in statuses.split(", ")
        for code in codes.split(", ")
    }
    own = {each for each in vars(problems).values() if isinstance(each, type)}
    own = {each for each in own if issubclass(each, problems.HttpError)} - {problems.HttpError}
    told = {(each.http_status, each.code) for each in own}
    assert listed == told
