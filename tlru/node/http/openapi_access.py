"""Who may what, in `/openapi.json`: security schemes, and how a route refuses.

Pure. All of it follows from the decision table (`access/rights.py`), so that a route cannot be
described as open, or as closed, while it is the other.
"""

from __future__ import annotations

from typing import Any

from tlru.access.rights import ROUTES, Route
from tlru.node.http import openapi_parts as parts
from tlru.node.http.schemas import TEXT, Schema

_RETRY_AFTER = {"$ref": "#/components/headers/Retry-After"}
_TOKEN, _TICKET = "token", "ticket"

SCHEMES: dict[str, Schema] = {
    _TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "A static token or a signed one (JWT). Each has rights of its own.",
    },
    _TICKET: {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "As /v1/ticket gave it, for a page that cannot send headers. Good once.",
    },
}

RESPONSES: dict[str, Schema] = {
    "Unauthenticated": parts.problem(
        "No token came along, or none that is good (any more).",
        {"WWW-Authenticate": {"schema": TEXT, "required": True}},
    ),
    "Forbidden": parts.problem(
        "The token gives no right to this; or a page of another origin asks for a change."
    ),
    "RateLimited": parts.problem(
        "Over a limit of the client's class, which `limit` names. Nothing was done.",
        {"Retry-After": {**parts.HEADERS["Retry-After"], "required": True}},
    ),
    "Unavailable": parts.problem(
        "The node cannot do it just now: `overloaded`, `syncing`, `isolated`, `draining`.",
        {"Retry-After": _RETRY_AFTER},
    ),
}

_SECURITY: dict[Route, list[dict[str, list[str]]]] = {
    Route.OPEN: [],
    Route.TOKEN: [{_TOKEN: []}],
    Route.OPERATION: [{_TOKEN: []}],
    Route.TICKET: [{_TOKEN: []}, {_TICKET: []}],
    Route.ADMIN: [{_TOKEN: []}],
}
_LIMITED = (Route.OPERATION, Route.TICKET)


def closed_by_right(paths: dict[str, Any], *, guarded: bool) -> dict[str, Any]:
    """The same paths, each operation with who may ask for it and how others are refused.

    With `guarded` the node asks for tokens; one that does not lets everybody do everything."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            _close(operation, method.upper(), ROUTES[method.upper(), path], guarded=guarded)
    return paths


def _close(operation: Schema, method: str, demanded: Route, *, guarded: bool) -> None:
    if guarded:
        operation["security"] = _SECURITY[demanded]
        if demanded is Route.ADMIN:
            more = operation.get("description", "")
            operation["description"] = f"{more} Demands the right `admin`.".lstrip()
    for status, name in _refusals(method, demanded, guarded=guarded).items():
        operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})


def _refusals(method: str, demanded: Route, *, guarded: bool) -> dict[str, str]:
    """The answers by which a route refuses, by their status."""
    found = {}
    if demanded is not Route.OPEN:
        found["503"] = "Unavailable"
        if guarded:
            found["401"] = "Unauthenticated"
    if method != "GET" or (guarded and demanded not in (Route.OPEN, Route.TOKEN)):
        found["403"] = "Forbidden"
    if demanded in _LIMITED:
        found["429"] = "RateLimited"
    return found
