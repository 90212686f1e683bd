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
from tlru.node.http.openapi_parts import answer, body, data, header, operation, place, query
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

_CACHE = header("Cache")
_SINCE = header("Position")
_ONCE = header("IdempotencyKey")
_CONDITIONAL_READ = [header("IfMatch"), header("IfNoneMatch")]

_FORM = "application/x-www-form-urlencoded"
_WRITE = ("ack", "timeout")
_ACCEPTED = "Taken; with this `ack` its result is not waited for."

_MINUTES: Schema = {"type": "number", "minimum": MINUTES_MIN, "maximum": MINUTES_MAX}

_INTRODUCTION = (
    "Everything that a tlru node serves over HTTP. Whatever takes GET takes HEAD. Errors are "
    "application/problem+json, and their `code` and `retry` are those of the WebSocket protocol "
    "(see /asyncapi.json). What the schema calls an integer is written without a decimal point."
)

_RAW_KEY = (
    "The key: all that follows, percent-decoded once. Slashes may stand as they are; what clients "
    "would normalise (dot segments, doubled slashes) is safer in ?key=."
)


class _Paths:
    """The operations of each path, under one node's limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests = Requests(limits)
        self._key = place("key", _RAW_KEY, key(limits))

    def all(self) -> dict[str, Any]:
        """Every path."""
        return {
            **self._of_keys(),
            **self._of_old_forms(),
            **self._of_messages(),
            **self._of_the_node(),
            **self._of_the_process(),
        }

    # -- keys

    def _of_keys(self) -> dict[str, Any]:
        by_query = query(self._requests, "get", ["key"], frozenset(("key",)))
        return {
            "/v1/keys/{key}": {
                "get": self._get("getKey", [self._key]),
                "put": self._put("putKey", [self._key]),
                "delete": self._delete("deleteKey", [self._key]),
            },
            "/v1/keys": {
                "get": self._list(),
                "put": self._put("putKeyByQuery", by_query),
                "delete": self._delete("deleteKeyByQuery", by_query),
            },
            "/v1/keys/{key}/incr": {"post": self._incr("incrKey", [self._key])},
            "/v1/keys/incr": {"post": self._incr("incrKeyByQuery", by_query)},
        }

    def _get(self, name: str, where: list[Schema]) -> Schema:
        headers = {**parts.ETAG, **parts.LIFE}
        return operation(
            name,
            "The value under a key.",
            "keys",
            {
                "200": parts.value("The value.", headers),
                "304": answer("You have it already.", headers={**parts.POSITION, **headers}),
                "404": parts.MISSING,
                "412": parts.UNMET,
            },
            parameters=[
                *where,
                *query(self._requests, "get", ("read", "timeout")),
                *_CONDITIONAL_READ,
                _CACHE,
                _SINCE,
            ],
        )

    def _list(self) -> Schema:
        page = query(self._requests, "scan", ("prefix", "after", "limit", "values"))
        one = self._get("listKeys", query(self._requests, "get", ["key"]))
        one["summary"] = "A page of keys in order, or with `key` the value under it."
        one["parameters"] = [*page, *one["parameters"]]
        one["responses"]["200"]["content"]["application/json"]["schema"] = {
            "anyOf": [reply("scan"), VALUE]
        }
        return one

    def _put(self, name: str, where: list[Schema]) -> Schema:
        fields = query(self._requests, "set", ("ttl", "keep_ttl", "rev", *_WRITE))
        takes = body(VALUE)
        takes["content"]["*/*"] = {"schema": {"type": "string", "format": "binary"}}
        return operation(
            name,
            "Keep a value under a key.",
            "keys",
            {
                "200": data("Done; or not, where `applied` is false for `rev`.", "set", parts.ETAG),
                "201": data("Done, and nothing was there before.", "set", parts.ETAG),
                "202": data(_ACCEPTED, "set"),
                "412": parts.UNMET,
            },
            parameters=[
                *where,
                *fields,
                header("IfMatch"),
                header("IfAbsent"),
                _ONCE,
                _CACHE,
            ],
            takes=takes,
            more=(
                "JSON is kept as the value that it says. Any other body is kept byte for byte with "
                "its content type, and given back so. A rev in the query that looks like an "
                "integer is one, any other is text."
            ),
        )

    def _delete(self, name: str, where: list[Schema]) -> Schema:
        return operation(
            name,
            "Remove a key; one that is absent is no error.",
            "keys",
            {
                "200": data("It is gone; `deleted` says whether it was there.", "delete"),
                "202": data(_ACCEPTED, "delete"),
                "412": parts.UNMET,
            },
            parameters=[
                *where,
                *query(self._requests, "delete", ("rev", *_WRITE)),
                header("IfMatch"),
                _ONCE,
                _CACHE,
            ],
        )

    def _incr(self, name: str, where: list[Schema]) -> Schema:
        fields = ("by", "ttl", *_WRITE)
        members = {
            one: or_null(self._requests.of_field(one, OPS["incr"].fields[one])) for one in fields
        }
        return operation(
            name,
            "Add to an integer; a key that is absent counts as 0.",
            "keys",
            {"200": data("Its new value.", "incr", parts.ETAG)},
            parameters=[*where, *query(self._requests, "incr", fields), _ONCE, _CACHE],
            takes=body(record({}, **members), required=False),
        )

    # -- the plain old forms

    def _of_old_forms(self) -> dict[str, Any]:
        by_query = query(self._requests, "get", ["key"], frozenset(("key",)))
        saved = record({"key": TEXT, "value": VALUE, "minutes": or_null(_MINUTES)})
        form = closed(record({}, key=key(self._limits), value=VALUE, minutes=or_null(_MINUTES)))
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
                    parameters=[*by_query, _CACHE, _SINCE],
                ),
                "post": operation(
                    "saveCache",
                    "Save a value for some minutes, or without them for good.",
                    "old forms",
                    {"200": answer("What was saved.", saved, parts.POSITION)},
                    parameters=[*in_query, _ONCE, _CACHE],
                    takes=body(form, parts.JSON, _FORM, required=False),
                    more="Each field stands in the query or in the body.",
                ),
            },
            "/v1/command": {"post": self._command()},
        }

    def _command(self) -> Schema:
        attributes = record({"key": key(self._limits)}, value=VALUE, ttl=or_null(TTL))
        asked = record(
            {"command": {"enum": ["GET", "SET", "DELETE"]}},
            attributes=closed(attributes),
            **attributes["properties"],
        )
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
            parameters=[_ONCE, _CACHE],
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
                        "202": data(_ACCEPTED, "publish"),
                    },
                    parameters=[
                        channel,
                        *query(self._requests, "publish", _WRITE),
                        _ONCE,
                        _CACHE,
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
                    parameters=[_CACHE],
                    takes=body(asked),
                )
            },
        }

    # -- the node

    def _of_the_node(self) -> dict[str, Any]:
        who = place("id", "The member's id.", TEXT)
        unknown = {"404": parts.problem("There is no such member, or no such cache.")}
        no_members = {"409": parts.problem("A log of one has no members to change.")}

        def told(name: str, summary: str, schema: Schema, **more: Any) -> Schema:
            found = {"200": answer("As it stands.", schema), "404": parts.UNKNOWN_CACHE}
            return operation(name, summary, "node", found | more.pop("answers", {}), **more)

        def status(name: str) -> Schema:
            return told(
                name, "What this node says of itself.", reply("status"), parameters=[_CACHE]
            )

        def nodes(name: str) -> Schema:
            return told(name, "The members of the cluster.", reply("nodes"), parameters=[_CACHE])

        return {
            "/v1/status": {"get": status("status")},
            "/status": {"get": status("statusShort")},
            "/v1/nodes": {
                "get": nodes("nodes"),
                "post": operation("addNode", "Add a member.", "node", no_members),
            },
            "/nodes": {"get": nodes("nodesShort")},
            "/v1/nodes/{id}": {
                "get": told(
                    "node",
                    "One member of the cluster.",
                    ref("Member"),
                    parameters=[who, _CACHE],
                    answers=unknown,
                ),
                "delete": operation(
                    "removeNode",
                    "Remove a member.",
                    "node",
                    no_members | unknown,
                    parameters=[who, _CACHE],
                ),
            },
            "/v1/nodes/{id}/lead": {
                "post": told(
                    "lead",
                    "Hand the lead to a member; one that has it keeps it.",
                    reply("status"),
                    parameters=[who, _CACHE],
                    answers=unknown,
                )
            },
        }

    # -- the process

    def _of_the_process(self) -> dict[str, Any]:
        purpose = {
            "name": "for",
            "in": "query",
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
            )
        },
    }


def describe(limits: Limits) -> dict[str, Any]:
    """The document, for a node with these limits."""
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
            for name in ("keys", "channels", "batch", "old forms", "node", "health", "about")
        ],
        "paths": _Paths(limits).all(),
        "components": _components(limits),
    }
