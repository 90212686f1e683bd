"""`/openapi.json`: the HTTP side of a node, described in OpenAPI 3.1.

Pure. Requests and replies of operations come from the tables that they are checked against. A test
compares the paths with the routes both ways, and every answer of the tests with its description.
"""

from __future__ import annotations

from typing import Any

from tlru._version import __version__
from tlru.node.http import openapi_parts as parts
from tlru.node.http.batch import OF_A_CONNECTION
from tlru.node.http.old_forms import MINUTES_MAX, MINUTES_MIN
from tlru.node.http.openapi_access import RESPONSES, SCHEMES, closed_by_right
from tlru.node.http.openapi_events import event_paths
from tlru.node.http.openapi_keys import KeyPaths
from tlru.node.http.openapi_members import member_paths
from tlru.node.http.openapi_parts import answer, body, data, operation, place, query
from tlru.node.http.openapi_snapshots import snapshot_paths
from tlru.node.http.replies import MEMBER, replies, reply
from tlru.node.http.schemas import (
    ERROR,
    JSON_VALUE,
    NATURAL,
    PROBLEM,
    TEXT,
    TTL,
    VALUE,
    Requests,
    Schema,
    closed,
    key,
    listed,
    or_null,
    record,
    ref,
    request_name,
    requests,
)
from tlru.wire.limits import NUMBER_MAX, Limits
from tlru.wire.requests import OPS

_FORM = "application/x-www-form-urlencoded"

_MINUTES: Schema = {"type": "number", "minimum": MINUTES_MIN, "maximum": MINUTES_MAX}

_INTRODUCTION = (
    "Everything that a tlru node serves over HTTP. Whatever takes GET takes HEAD. Errors are "
    "application/problem+json, and their `code` and `retry` are those of the WebSocket protocol "
    "(see /asyncapi.json). What the schema calls an integer is written without a decimal point."
)


class _Paths:
    """The operations of each path, under one node's limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests = Requests(limits)

    def all(self) -> dict[str, Any]:
        """Every path."""
        return {
            **KeyPaths(self._limits).all(),
            **self._of_old_forms(),
            **self._of_messages(),
            **event_paths(self._requests),
            **self._of_the_node(),
            **member_paths(),
            **snapshot_paths(),
            **self._of_the_process(),
            **_of_the_client(),
            **_of_the_dashboard(),
        }

    # -- the plain old forms

    def _of_old_forms(self) -> dict[str, Any]:
        by_query = query(self._requests, "get", ["key"], frozenset(("key",)))
        saved = record({"key": TEXT, "value": VALUE, "minutes": or_null(_MINUTES)})
        in_json = closed(record({}, key=key(self._limits), value=VALUE, minutes=or_null(_MINUTES)))
        # A form knows neither null nor lists: what stands in it is text, and each field once.
        in_form = closed(record({}, key=key(self._limits), value=TEXT, minutes=_MINUTES))
        takes = body(in_json, required=False)
        takes["content"][_FORM] = {"schema": in_form}
        in_query = [
            {"name": "key", "in": "query", "schema": key(self._limits)},
            {"name": "value", "in": "query", "schema": TEXT},
            {"name": "minutes", "in": "query", "schema": _MINUTES},
        ]
        return {
            "/cache": {
                "get": operation(
                    "readCache",
                    "The value under a key.",
                    "old forms",
                    {"200": parts.value("The value.", {}), "404": parts.MISSING},
                    parameters=[*by_query, parts.CACHE, parts.SINCE],
                ),
                "post": operation(
                    "saveCache",
                    "Save a value for some minutes, or without them for good.",
                    "old forms",
                    {"200": answer("What was saved.", saved, parts.POSITION)},
                    parameters=[*in_query, *parts.OF_WRITES, parts.CACHE],
                    takes=takes,
                    more="Each field stands in the query or in the body.",
                ),
            },
            "/v1/command": {"post": self._command()},
        }

    def _command(self) -> Schema:
        the_key = {"key": key(self._limits)}
        asked = {
            "anyOf": [
                *_forms_of(["GET", "DELETE"], the_key),
                *_forms_of(["SET"], {**the_key, "value": VALUE}, ttl=or_null(TTL)),
            ]
        }
        told = record(
            {
                "command": {"enum": ["GET_OUT", "SET_OUT", "DELETE_OUT"]},
                "attributes": record({"key": TEXT}, value=VALUE, deleted=NATURAL),
            }
        )
        return operation(
            "command",
            "Carry out a command; its attributes may also stand at the top level.",
            "old forms",
            {"200": answer("What came of it.", told, parts.POSITION)},
            parameters=[*parts.OF_WRITES, parts.CACHE, parts.SINCE],
            takes=body(asked),
        )

    # -- messages and batches

    def _of_messages(self) -> dict[str, Any]:
        channel = place("channel", "The channel: all that follows.", key(self._limits))
        names = [request_name(op) for op in OPS if op not in OF_A_CONNECTION]
        asked = listed({"anyOf": [ref(name) for name in names]}, maxItems=self._limits.batch)
        return {
            "/v1/channels/{channel}": {
                "post": operation(
                    "publish",
                    "Send a message to a channel.",
                    "channels",
                    {
                        "200": data("Its place in the log.", "publish"),
                        "202": data(parts.ACCEPTED, "publish"),
                    },
                    parameters=[
                        channel,
                        *query(self._requests, "publish", parts.WRITE),
                        *parts.OF_WRITES,
                        parts.CACHE,
                    ],
                    takes=body(VALUE),
                )
            },
            "/v1/batch": {
                "post": operation(
                    "batch",
                    "Carry out a list of operations; each succeeds or fails by itself.",
                    "batch",
                    {
                        "200": answer(
                            "The results, in the order of the operations.",
                            listed(ref("BatchResult")),
                            parts.POSITION,
                        )
                    },
                    parameters=[parts.TRACE, parts.CACHE, parts.SINCE],
                    takes=body(asked),
                )
            },
        }

    # -- the node

    def _of_the_node(self) -> dict[str, Any]:
        found = {"200": answer("As it stands.", reply("status")), "404": parts.UNKNOWN_CACHE}

        def status(name: str) -> Schema:
            summary = "What this node says of itself."
            return operation(name, summary, "node", found, parameters=[parts.CACHE])

        return {
            "/v1/status": {"get": status("status")},
            "/status": {"get": status("statusShort")},
        }

    # -- the process

    def _of_the_process(self) -> dict[str, Any]:
        purpose = {
            "name": "for",
            "in": "query",
            "description": "What clients are to be sent for. A node that is cut off is ready to be "
            "read from where its operator lets it give old answers.",
            "schema": {"enum": ["read", "write"], "default": "write"},
        }
        an_object = {"type": "object"}
        text = {"text/plain": {"schema": TEXT}, "application/openmetrics-text": {"schema": TEXT}}

        def health(name: str, summary: str, **more: Any) -> Schema:
            answers = {
                "200": answer("Yes.", ref("Health")),
                "503": answer("No; the checks say why.", ref("Health")),
            }
            return {"get": operation(name, summary, "health", answers, **more)}

        def document(name: str, summary: str) -> Schema:
            told = {"200": answer("The document.", an_object)}
            return {"get": operation(name, summary, "about", told)}

        return {
            "/health/live": health("live", "Whether the process runs."),
            "/health/ready": health("ready", "Whether the node serves.", parameters=[purpose]),
            "/health/startup": health("startup", "Whether the node has come up."),
            "/metrics": {
                "get": operation(
                    "metrics",
                    "What the node counts and measures, for Prometheus.",
                    "health",
                    {"200": {"description": "The figures.", "content": text}},
                )
            },
            "/": document("index", "What is here."),
            "/openapi.json": document("openapi", "This description."),
            "/asyncapi.json": document("asyncapi", "The description of the WebSocket."),
            "/ws": {
                "get": operation(
                    "websocket",
                    "Where WebSocket clients connect; /asyncapi.json describes it.",
                    "about",
                    {
                        "101": {"description": "A WebSocket, if one was asked for."},
                        "426": parts.problem("The request did not ask for a WebSocket."),
                    },
                )
            },
        }


def _forms_of(commands: list[str], needed: dict[str, Schema], **more: Schema) -> list[Schema]:
    """The two forms of these commands: with `attributes`, and without."""
    which: Schema = {"type": "string", "enum": commands}
    attributes = closed(record(needed, **more))
    none: Schema = {"type": "null"}
    return [
        closed(record({"command": which, "attributes": attributes})),
        closed(record({"command": which, **needed}, **more, attributes=none)),
    ]


def _of_a_file(what: str, *kinds: str) -> dict[str, Any]:
    """The answers to a request for a file that is part of this release."""
    tagged = {"ETag": {"description": "Which content it is.", "schema": TEXT}}
    return {
        "200": {
            "description": what,
            "headers": tagged,
            "content": {kind: {"schema": TEXT} for kind in kinds},
        },
        "304": answer("You have it already.", headers=tagged),
    }


def _of_the_client() -> dict[str, Any]:
    answers = _of_a_file("The module.", "text/javascript")
    held = parts.header("IfNoneMatch")

    return {
        "/tlru.js": {
            "get": operation(
                "client",
                "The JavaScript client, as a module to import.",
                "about",
                answers,
                parameters=[held],
            )
        },
        "/js/{file}": {
            "get": operation(
                "clientModule",
                "One of the modules that it consists of.",
                "about",
                {**answers, "404": parts.problem("It has no such module.")},
                parameters=[place("file", "The module's name.", TEXT), held],
            )
        },
    }


def _of_the_dashboard() -> dict[str, Any]:
    held = parts.header("IfNoneMatch")
    cache = {
        "name": "cache",
        "in": "query",
        "description": "The cache that the page looks at.",
        "schema": TEXT,
    }

    return {
        "/dashboard": {
            "get": operation(
                "dashboardMoved",
                "Leads to /dashboard/.",
                "about",
                {"308": {"description": "It is at /dashboard/."}},
                parameters=[cache],
            )
        },
        "/dashboard/": {
            "get": operation(
                "dashboard",
                "The cluster on a page: nodes, rates, keys and what happens.",
                "about",
                _of_a_file("The file.", "text/html"),
                parameters=[held, cache],
            )
        },
        "/dashboard/{file}": {
            "get": operation(
                "dashboardFile",
                "One of the page's files.",
                "about",
                {
                    **_of_a_file(
                        "The file.", "text/html", "text/css", "text/javascript", "image/svg+xml"
                    ),
                    "404": parts.problem("It has no such file."),
                },
                parameters=[place("file", "The file's name.", TEXT), held],
            )
        },
    }


def _components(limits: Limits) -> dict[str, Any]:
    number = {"type": "integer", "minimum": -NUMBER_MAX, "maximum": NUMBER_MAX}
    results = [reply(op) for op in OPS if op not in OF_A_CONNECTION]
    return {
        "schemas": {
            "Value": JSON_VALUE,
            "Problem": PROBLEM,
            "Error": ERROR,
            "Member": MEMBER,
            "Health": record(
                {"status": TEXT},
                **{"for": TEXT, "checks": {"type": "object", "additionalProperties": True}},
            ),
            "BatchResult": {
                "oneOf": [
                    {
                        **record({"ok": {"const": True}}, id=number),
                        "anyOf": results,
                    },
                    record({"ok": {"const": False}, "error": ref("Error")}, id=number),
                ],
                "description": "With the operation's `id`, where it had one.",
            },
            **requests(limits, OF_A_CONNECTION),
            **replies(OF_A_CONNECTION),
        },
        "headers": dict(parts.HEADERS),
        "parameters": dict(parts.IN_HEADER),
        "responses": {
            "Problem": parts.problem(
                "An error; `code` says which.",
                {"Retry-After": {"$ref": "#/components/headers/Retry-After"}},
            ),
            **RESPONSES,
        },
    }


def describe(limits: Limits, *, guarded: bool = False) -> dict[str, Any]:
    """The document, for a node with these limits; `guarded` where it asks for tokens."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tlru",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The node that gave this document."}],
        "tags": [
            {"name": name}
            for name in (
                "keys",
                "channels",
                "events",
                "batch",
                "old forms",
                "node",
                "cluster",
                "health",
                "about",
            )
        ],
        "paths": closed_by_right(_Paths(limits).all(), guarded=guarded),
        "components": {
            **_components(limits),
            **({"securitySchemes": SCHEMES} if guarded else {}),
        },
    }
