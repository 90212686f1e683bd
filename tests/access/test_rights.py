"""Who may what, by the table alone."""

from __future__ import annotations

from typing import Any

import pytest

from tlru.access.grant import EVERYTHING, NOBODY, Grant
from tlru.access.rights import HELLO, OPERATIONS, ROUTES, check, check_route
from tlru.errors import Forbidden, Unauthenticated
from tlru.node.http.routes import ROUTES as SERVED
from tlru.wire.requests import OPS

READER = Grant("r", read=("a:", "b:"))
WRITER = Grant("w", write=("a:", "b:"))
WATCHER = Grant("s", subscribe=("a:", "b:"))
SPEAKER = Grant("p", publish=("a:", "b:"))
BOTH = Grant("rw", read=("a:", "b:"), write=("a:", "b:"))


def row(key: str, rev: int | None = None) -> tuple[str, bytes, int | None, int | None, str | None]:
    """An item of `set_many`."""
    return key, b"", None, rev, None


def test_every_operation_has_a_row() -> None:
    assert set(OPERATIONS) == set(OPS) - {HELLO}


def test_every_route_has_a_row() -> None:
    served = {(method, route.path) for route in SERVED.routes for method in route.methods}
    assert set(ROUTES) == served


def test_what_has_no_row_is_refused() -> None:
    with pytest.raises(Forbidden):
        check(Grant("root", admin=True, read=("",), write=("",)), "new", {}, 0)
    with pytest.raises(Forbidden):
        check_route(READER, "GET", "/v1/new", 0, ticket=False)


@pytest.mark.parametrize(
    ("grant", "op", "args", "allowed"),
    [
        (READER, "get", {"key": "a:1"}, True),
        (READER, "get", {"key": "a"}, False),
        (READER, "get", {"key": "c:1"}, False),
        (READER, "get", {"key": "a:1", "touch": 5}, False),
        (READER, "get_many", {"keys": ["a:1", "b:1"]}, True),
        (READER, "get_many", {"keys": ["a:1", "c:1"]}, False),
        (READER, "scan", {"prefix": "a:x"}, True),
        (READER, "scan", {"prefix": "a:"}, True),
        (READER, "scan", {"prefix": "a"}, False),  # more than what was granted begins so
        (READER, "scan", {}, False),
        (READER, "scan", {"after": "a:1"}, False),
        (READER, "set", {"key": "a:1", "value": b""}, False),
        (WRITER, "set", {"key": "a:1", "value": b""}, True),
        (WRITER, "set", {"key": "a:1", "value": b"", "old": True}, False),  # it would read
        (WRITER, "set", {"key": "a:1", "value": b"", "if": ("absent",)}, False),
        (WRITER, "set", {"key": "a:1", "value": b"", "rev": 1}, False),
        (WRITER, "set_many", {"items": [row("a:1"), row("c:1")]}, False),
        (WRITER, "set_many", {"items": [row("a:1"), row("b:1")]}, True),
        (WRITER, "set_many", {"items": [row("a:1"), row("b:1", rev=1)]}, False),
        (BOTH, "set_many", {"items": [row("a:1", rev=1)]}, True),
        (WRITER, "delete", {"key": "a:1"}, True),
        (WRITER, "delete", {"key": "a:1", "if": "absent"}, False),
        (WRITER, "delete", {"key": "a:1", "rev": 1}, False),
        (BOTH, "delete", {"key": "a:1", "rev": 1}, True),
        (WRITER, "delete", {"keys": ["a:1", "c:1"]}, False),
        (WRITER, "delete", {"key": "a:1", "keys": ["c:1"]}, False),
        (WRITER, "clear", {"prefix": "a:"}, True),
        (WRITER, "clear", {"prefix": ""}, False),
        (WRITER, "clear", {}, False),
        (WRITER, "lock", {"name": "a:1"}, True),
        (WRITER, "lock", {"name": "c"}, False),
        (WRITER, "get", {"key": "a:1"}, False),
        (WATCHER, "subscribe", {"pattern": "a:*"}, True),
        (WATCHER, "subscribe", {"pattern": "#a:*"}, True),
        (WATCHER, "subscribe", {"pattern": "a:1"}, True),
        (WATCHER, "subscribe", {"pattern": "*"}, False),
        (WATCHER, "subscribe", {"pattern": "#*"}, False),
        (WATCHER, "subscribe", {"pattern": "a*"}, False),
        (WATCHER, "subscribe", {"key": "a:1"}, True),
        (WATCHER, "subscribe", {"key": "#a:1"}, False),  # a key with that name, no channel
        (WATCHER, "subscribe", {"prefix": ""}, False),
        (WATCHER, "subscribe", {"channel_prefix": "b:"}, True),
        (WATCHER, "subscribe", {"pattern": "a:1", "prefix": ""}, False),
        (WATCHER, "get", {"key": "a:1"}, False),
        (SPEAKER, "publish", {"channel": "a:1"}, True),
        (SPEAKER, "publish", {"channel": "c"}, False),
        (SPEAKER, "subscribe", {"pattern": "#a:1"}, False),
        (READER, "ping", {}, True),
        (READER, "status", {}, True),
    ],
)
def test_who_may_what(grant: Grant, op: str, args: dict[str, Any], allowed: bool) -> None:
    if allowed:
        check(grant, op, args, 0)
    else:
        with pytest.raises(Forbidden):
            check(grant, op, args, 0)


def test_nobody_and_who_is_late_is_told_to_say_who_he_is() -> None:
    late = Grant("late", read=("",), expires=10.0)
    check(late, "get", {"key": "a"}, 9.99)
    for grant in (late, NOBODY):
        with pytest.raises(Unauthenticated):
            check(grant, "get", {"key": "a"}, 10.0)
        with pytest.raises(Unauthenticated):
            check_route(grant, "GET", "/metrics", 10.0, ticket=False)
    check(EVERYTHING, "clear", {}, 10.0)


def test_a_refusal_does_not_repeat_a_long_key() -> None:
    with pytest.raises(Forbidden) as caught:
        check(READER, "get", {"key": "x" * 1_000}, 0)
    assert len(str(caught.value)) < 200


def test_only_an_admin_changes_the_cluster() -> None:
    admin = Grant("root", admin=True)
    for (method, path), route in ROUTES.items():
        if route.value != "admin":
            continue
        check_route(admin, method, path, 0, ticket=True)
        with pytest.raises(Forbidden):
            check_route(READER, method, path, 0, ticket=True)
