"""The protocol's fields, requests and errors as JSON Schema, for both descriptions.

Pure. Each check of `wire/fields.py` has its schema here, and each operation's request is put
together from the table that requests are checked against, so that what is described is what is
checked. A schema says as much as schemas can: whatever a check takes, its schema takes too; what a
schema cannot say (bytes rather than characters, no key twice) stands in its description.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tlru.errors import Retry
from tlru.wire import fields
from tlru.wire.fields import Check
from tlru.wire.limits import (
    CLIENT_NAME_CHARS_MAX,
    MIME_CHARS_MAX,
    NUMBER_MAX,
    PREFIX_BYTES_MAX,
    REV_CHARS_MAX,
    SESSION_CHARS_MAX,
    TIMEOUT_S_MAX,
    TTL_S_MAX,
    TTL_S_MIN,
    Limits,
)
from tlru.wire.requests import OPS, WATCHED, Field, Op

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer", "minimum": -NUMBER_MAX, "maximum": NUMBER_MAX}
NATURAL: Schema = {"type": "integer", "minimum": 0, "maximum": NUMBER_MAX}
VALUE: Schema = {"$ref": "#/components/schemas/Value"}

# The words of the fields that take one of several.
CHOICES: dict[str, tuple[str, ...]] = {
    "read": ("local", "linear", "any"),
    "ack": ("none", "leader", "quorum", "all"),
    "send": ("values", "keys"),
}

JSON_VALUE: Schema = {
    "description": (
        "Any JSON value. An object with exactly one member whose name begins with $ is a tag for "
        "what JSON lacks: $b64 (bytes), $int, $num, $time, $map, $ext, $raw; such an object of "
        "your own gets one $ more."
    )
}
MSGPACK_VALUE: Schema = {
    "type": "string",
    "format": "binary",
    "description": "A msgpack bin that holds the msgpack encoding of the value.",
}


def described(schema: Schema, text: str) -> Schema:
    """A schema with a word on what it means."""
    return {**schema, "description": text}


def listed(schema: Schema, **bounds: Any) -> Schema:
    """A list of things."""
    return {"type": "array", "items": schema, **bounds}


def record(required: dict[str, Schema], **optional: Schema) -> Schema:
    """An object with these members, and perhaps some of those."""
    schema: Schema = {"type": "object", "properties": {**required, **optional}}
    if required:
        schema["required"] = list(required)
    return schema


def closed(schema: Schema) -> Schema:
    """An object that has no other members."""
    return {**schema, "additionalProperties": False}


def or_null(schema: Schema) -> Schema:
    """A thing, or null, which is as if it were absent."""
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(names: Iterable[str]) -> list[Schema]:
    """That a member says something, for each of these: null is as if it were absent."""
    return [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]


REV: Schema = {
    "oneOf": [{"type": "string", "maxLength": REV_CHARS_MAX}, INTEGER],
    "description": "A revision of the source's own; strings compare by their bytes.",
}
CONDITION: Schema = {
    "oneOf": [
        {"type": "string", "enum": ["absent", "present"]},
        described(NATURAL, "A version."),
        closed(record({"unchanged": described(NATURAL, "A position.")})),
    ]
}
MINIMUM: Schema = {
    "oneOf": [NATURAL, closed(record({"pos": NATURAL}, epoch=or_null(TEXT), time=or_null(NATURAL)))]
}
SINCE: Schema = closed(record({"epoch": TEXT, "pos": NATURAL}))
ONCE: Schema = closed(
    record(
        {
            "session": {"type": "string", "minLength": 1, "maxLength": SESSION_CHARS_MAX},
            "n": NATURAL,
            "at": described(NATURAL, "Cluster milliseconds of the first try."),
        },
        done=or_null(described(NATURAL, "Results up to this number are no longer asked for.")),
    )
)
TTL: Schema = {
    "type": "number",
    "minimum": TTL_S_MIN,
    "maximum": TTL_S_MAX,
    "description": "A time to live in seconds, to the millisecond.",
}
WAIT: Schema = {
    "type": "number",
    "minimum": 0,
    "maximum": TIMEOUT_S_MAX,
    "description": "A time to wait, in seconds.",
}
TRACE: Schema = {
    "type": "string",
    "pattern": "^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$",
    "description": "The context of the trace that the write belongs to, as in W3C's `traceparent`.",
}
MIME: Schema = {
    "type": "string",
    "pattern": "^[ -~]+$",
    "minLength": 1,
    "maxLength": MIME_CHARS_MAX,
}


def key(limits: Limits) -> Schema:
    """A key, channel or lock name."""
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": limits.key_bytes,
        "description": f"1 to {limits.key_bytes} bytes of UTF-8.",
    }


def of_checks(limits: Limits) -> dict[Check, Schema]:
    """The schema of each check that stands for one kind of field."""
    a_key = key(limits)
    row = closed(
        record(
            {"key": a_key, "value": VALUE}, ttl=or_null(TTL), rev=or_null(REV), mime=or_null(MIME)
        )
    )
    many = {"minItems": 1, "maxItems": limits.keys}
    prefix_max = min(limits.key_bytes, PREFIX_BYTES_MAX)
    return {
        fields.key: a_key,
        fields.prefix: {"type": "string", "maxLength": prefix_max},
        fields.keys: listed(a_key, **many),
        fields.value: VALUE,
        fields.ttl: TTL,
        fields.wait: WAIT,
        fields.flag: FLAG,
        fields.integer: INTEGER,
        fields.natural: NATURAL,
        fields.page: {"type": "integer", "minimum": 1, "maximum": limits.scan},
        fields.condition: CONDITION,
        fields.rev: REV,
        fields.mime: MIME,
        fields.text: {"type": "string", "maxLength": CLIENT_NAME_CHARS_MAX},
        fields.token: TEXT,
        fields.minimum: MINIMUM,
        fields.once: ONCE,
        fields.trace: TRACE,
        fields.since: SINCE,
        fields.pattern: described(
            {"type": "string", "minLength": 1, "maxLength": limits.key_bytes + 2},
            "`price:EUR`, `price:*`, `*` for all keys; `#news`, `#news:*`, `#*` for channels.",
        ),
        fields.rows: described(listed(row, **many), "No key may stand twice."),
    }


class Requests:
    """The schemas of requests under one node's limits."""

    def __init__(self, limits: Limits) -> None:
        self._checks = of_checks(limits)

    def of_field(self, name: str, field: Field) -> Schema:
        """What a field may be, null aside."""
        if name in CHOICES:
            return {"type": "string", "enum": list(CHOICES[name])}
        return self._checks[field.check]

    def of_op(self, op: Op) -> Schema:
        """A request of an operation, with `op`, without `id`."""
        required: dict[str, Schema] = {"op": {"const": op.name}}
        optional: dict[str, Schema] = {}
        for name, field in op.fields.items():
            schema = self.of_field(name, field)
            if field.required:
                required[name] = schema
            else:
                optional[name] = schema if field.nullable else or_null(schema)
        schema = described(record(required, **optional), op.doc)
        if op.name == "delete":
            schema["oneOf"] = one_of(("key", "keys"))
        if op.name == "subscribe":
            schema["oneOf"] = one_of(WATCHED)
        return schema


def request_name(op: str) -> str:
    """What the schema of an operation's request is called."""
    return f"{_camel(op)}Request"


def reply_name(op: str) -> str:
    """What the schema of an operation's reply is called."""
    return f"{_camel(op)}Reply"


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def requests(limits: Limits, without: frozenset[str] = frozenset()) -> dict[str, Schema]:
    """The requests of all operations, by their names."""
    made = Requests(limits)
    return {request_name(op.name): made.of_op(op) for op in OPS.values() if op.name not in without}


_RETRY: Schema = {
    "type": "string",
    "enum": [str(one) for one in Retry],
    "description": (
        "no: it would fail again. same (here, after `after` seconds) and other (another node): it "
        "was not done and never will be. unknown: it may have been done."
    ),
}

# What an error may tell in members of its own.
_FACTS: dict[str, Schema] = {
    "after": described(NUMBER, "Seconds to wait before asking again."),
    "limit": described(TEXT, "The name of the limit that was met."),
    "servers": listed({"type": "object"}),
    "committed": described(FLAG, "It is in the log for good, though not held by every voter."),
    "version": described(NATURAL, "The version of what is there."),
}

ERROR: Schema = described(
    record(
        {
            "code": described(TEXT, "What went wrong, for programs."),
            "message": described(TEXT, "What went wrong, for people."),
            "retry": _RETRY,
            "status": described(NATURAL, "The HTTP status that goes with it."),
        },
        **_FACTS,
    ),
    "What went wrong with one request.",
)

PROBLEM: Schema = described(
    record(
        {
            "type": TEXT,
            "title": TEXT,
            "status": NATURAL,
            "detail": described(TEXT, "What went wrong, for people."),
            "code": described(TEXT, "What went wrong, for programs; as over the WebSocket."),
            "retry": _RETRY,
        },
        **_FACTS,
    ),
    "An error, as RFC 9457 has it.",
)
