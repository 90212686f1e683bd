"""The parts that OpenAPI's operations are put together from: parameters, bodies, answers.

Pure. A query parameter is described by the field of the operation that it becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlru.node.http.conditions import POS_DIGITS_MAX, TAGS_MAX
from tlru.node.http.replies import reply
from tlru.node.http.schemas import TEXT, VALUE, Requests, Schema, described, ref
from tlru.wire.limits import SESSION_CHARS_MAX
from tlru.wire.requests import OPS
from tlru.wire.traceparent import HEADER

JSON = "application/json"
OCTETS = "application/octet-stream"
PROBLEM = "application/problem+json"

ETAG = {"ETag": {"$ref": "#/components/headers/ETag"}}
POSITION = {"Tlru-Position": {"$ref": "#/components/headers/Tlru-Position"}}
LIFE = {"Cache-Control": {"$ref": "#/components/headers/Cache-Control"}}

HEADERS: Mapping[str, Any] = {
    "ETag": {
        "description": "The life of the cache and the version of the item.",
        "schema": {"type": "string", "examples": ['"1-0a1b2c3d-42"']},
    },
    "Tlru-Position": {
        "description": "How far the node had come; send it along to read nothing older.",
        "schema": {"type": "string", "examples": ["1-0a1b2c3d-42"]},
    },
    "Tlru-Stale": {
        "description": "From a node that is cut off: as of at most so many seconds ago.",
        "schema": {"type": "number", "minimum": 0},
    },
    "Cache-Control": {
        "description": "max-age is the whole seconds of life left; no-cache where it has no end.",
        "schema": TEXT,
    },
    "Retry-After": {
        "description": "Seconds to wait before asking again.",
        "schema": {"type": "integer", "minimum": 1},
    },
}


# As `conditions.py` reads them. What a schema cannot say: the most digits of a position.
_ONE_POSITION = f"[0-9A-Za-z-]{{1,64}}-[0-9]{{1,{POS_DIGITS_MAX}}}"
_ONE_TAG = '(?:W/)?"[!#-~]*"'
POSITION_OR_NONE: Schema = {"type": "string", "pattern": f"^(?:{_ONE_POSITION})?$"}
_POSITION: Schema = {"type": "string", "pattern": f"^{_ONE_POSITION}$"}
_TAGS: Schema = {
    "type": "string",
    "pattern": rf"^(?:\*|(?:{_ONE_TAG} *, *){{0,{TAGS_MAX - 1}}}{_ONE_TAG} *,?)$",
    "examples": ['"1-0a1b2c3d-42"', "*"],
}


def _header(name: str, text: str, schema: Schema | None = None) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": schema or TEXT}


IN_HEADER: Mapping[str, Any] = {
    "Cache": _header("Tlru-Cache", "The cache that is spoken to; `default` when not said."),
    "Position": _header(
        "Tlru-Position", "Answer no older than this, as a node said it.", _POSITION
    ),
    "LastEventId": _header(
        "Last-Event-ID", "The id to go on after; a browser sends it by itself.", POSITION_OR_NONE
    ),
    "IfMatch": _header("If-Match", "Only if this ETag is the item's; * is any item at all.", _TAGS),
    "IfNoneMatch": _header("If-None-Match", "Only if none of these ETags is the item's.", _TAGS),
    "IfAbsent": _header("If-None-Match", "Only if nothing is there.", {"const": "*"}),
    "IdempotencyKey": _header(
        "Idempotency-Key",
        "Names this write, so that it is done at most once however often it is sent.",
        {
            "type": "string",
            "minLength": 1,
            "maxLength": SESSION_CHARS_MAX,
            "pattern": "^[!-~](?:[ -~]*[!-~])?$",
        },
    ),
    "Traceparent": _header(
        HEADER,
        "The trace that the request belongs to, as W3C's Trace Context writes it. Where the node "
        "traces and whoever began the trace records it, each write of the request has spans.",
        {"type": "string", "examples": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]},
    ),
}


def header(name: str) -> Schema:
    """A request header, by reference."""
    return {"$ref": f"#/components/parameters/{name}"}


CACHE, SINCE, TRACE = header("Cache"), header("Position"), header("Traceparent")
OF_WRITES = (header("IdempotencyKey"), TRACE)

# The query fields of every write.
WRITE = ("ack", "timeout")


def place(name: str, text: str, schema: Schema) -> Schema:
    """What the path names."""
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def query(
    requests: Requests, op: str, names: Sequence[str], required: frozenset[str] = frozenset()
) -> list[Schema]:
    """Fields of an operation that stand in the query."""
    found = []
    for name in names:
        schema = requests.of_field(name, OPS[op].fields[name])
        parameter: Schema = {"name": name, "in": "query", "schema": schema}
        if name in required:
            parameter["required"] = True
        found.append(parameter)
    return found


def body(schema: Schema, *types: str, required: bool = True) -> Schema:
    """A request body of some content types."""
    content = {one: {"schema": schema} for one in types or (JSON,)}
    return {"required": required, "content": content}


def answer(
    text: str, schema: Schema | None = None, headers: Mapping[str, Any] | None = None
) -> Schema:
    """An answer in JSON, or one without a body."""
    found: Schema = {"description": text}
    if schema is not None:
        found["content"] = {JSON: {"schema": schema}}
    if headers:
        found["headers"] = dict(headers)
    return found


def data(text: str, op: str, headers: Mapping[str, Any] | None = None) -> Schema:
    """An answer that is an operation's reply."""
    return answer(text, reply(op), {**POSITION, **(headers or {})})


def value(text: str, headers: Mapping[str, Any]) -> Schema:
    """An answer that is a value: JSON, or the bytes that were put."""
    octets = described(
        {"type": "string", "format": "binary"}, "The bytes and the content type that were put."
    )
    return {
        "description": text,
        "headers": {**POSITION, **headers},
        "content": {JSON: {"schema": VALUE}, "*/*": {"schema": octets}},
    }


def problem(text: str, headers: Mapping[str, Any] | None = None) -> Schema:
    """An error."""
    found: Schema = {"description": text, "content": {PROBLEM: {"schema": ref("Problem")}}}
    if headers:
        found["headers"] = dict(headers)
    return found


ACCEPTED = "Taken; with this `ack` its result is not waited for."
REFUSED = {"default": {"$ref": "#/components/responses/Problem"}}

MISSING = problem("Nothing is kept under the key.", POSITION)
UNMET = problem("The condition does not hold; nothing was done.", {**POSITION, **ETAG})
UNKNOWN_CACHE = problem("There is no such cache.")


def operation(
    name: str,
    summary: str,
    tag: str,
    answers: Mapping[str, Schema],
    *,
    parameters: Sequence[Schema] = (),
    takes: Schema | None = None,
    more: str = "",
) -> Schema:
    """One operation; every one may also fail as the protocol's errors say."""
    found: Schema = {"operationId": name, "summary": summary, "tags": [tag]}
    if more:
        found["description"] = more
    if parameters:
        found["parameters"] = list(parameters)
    if takes is not None:
        found["requestBody"] = takes
    found["responses"] = {**answers, **REFUSED}
    return found
