"""`/asyncapi.json`: the WebSocket of a node, described in AsyncAPI 3.0.

Pure. Both subprotocols are a channel each, since their messages are the same but for how a value is
written. Every operation is a request that the node receives and the reply that it sends; requests
and replies come from the tables that they are checked against.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from tlru._version import __version__
from tlru.node.http.push_schemas import PUSHES
from tlru.node.http.replies import replies, reply
from tlru.node.http.schemas import (
    ERROR,
    JSON_VALUE,
    MSGPACK_VALUE,
    TEXT,
    Schema,
    described,
    or_null,
    record,
    ref,
    reply_name,
    request_name,
    requests,
)
from tlru.wire.limits import NUMBER_MAX, Limits
from tlru.wire.requests import OPS

_ID: Schema = {"type": "integer", "minimum": -NUMBER_MAX, "maximum": NUMBER_MAX}

# The subprotocols: the channel's name, how a value is written, what carries a message.
SUBPROTOCOLS = {
    "tlru.v1.json": ("json", JSON_VALUE, "application/json"),
    "tlru.v1.msgpack": ("msgpack", MSGPACK_VALUE, "application/msgpack"),
}

_FRAMING = {
    "json": "Text messages; each holds one or more compact JSON objects, split at U+000A alone.",
    "msgpack": "Binary messages; each holds one or more msgpack maps, one after another.",
}


def _in(schema: Any, name: str) -> Any:
    """A schema with its references led to the schemas of one subprotocol."""
    if isinstance(schema, dict):
        return {
            key: f"{found}{name.capitalize()}"
            if key == "$ref" and found.startswith("#/components/schemas/")
            else _in(found, name)
            for key, found in schema.items()
        }
    if isinstance(schema, list):
        return [_in(one, name) for one in schema]
    return schema


def _schemas(limits: Limits, name: str, value: Schema) -> dict[str, Schema]:
    """The schemas of one subprotocol, each named for it."""
    pushes = {push: schema for push, (_, schema) in PUSHES.items()}
    plain = {"Value": value, "Error": ERROR, **pushes, **replies()}
    plain |= {
        asked: {**schema, "properties": {**schema["properties"], "id": or_null(_ID)}}
        for asked, schema in requests(limits).items()
    }
    return {f"{one}{name.capitalize()}": _in(schema, name) for one, schema in plain.items()}


def _answered(op: str) -> Schema:
    """A successful reply, with what every reply has."""
    return {"allOf": [record({"id": _ID, "ok": {"const": True}}), reply(op)]}


def _messages(name: str, content_type: str) -> dict[str, Any]:
    """The messages of one subprotocol."""
    refused = record({"id": or_null(_ID), "ok": {"const": False}, "error": ref("Error")})
    payloads: dict[str, tuple[str, Schema]] = {
        "Refusal": ("A request failed; `id` is null where it could not be read.", refused),
        **{push: (says, ref(push)) for push, (says, _) in PUSHES.items()},
    }
    for op in OPS.values():
        payloads[request_name(op.name)] = (op.doc, ref(request_name(op.name)))
        payloads[reply_name(op.name)] = (f"`{op.name}` succeeded.", _answered(op.name))
    return {
        f"{one}{name.capitalize()}": {
            "name": one,
            "summary": summary,
            "contentType": content_type,
            "payload": _in(payload, name),
            **(
                {"correlationId": {"location": "$message.payload#/id"}} if one not in PUSHES else {}
            ),
        }
        for one, (summary, payload) in payloads.items()
    }


def _channel(subprotocol: str, name: str, messages: dict[str, Any]) -> dict[str, Any]:
    offered = {"type": "string", "const": subprotocol}
    return {
        "address": "/ws",
        "title": subprotocol,
        "description": _FRAMING[name],
        "servers": [{"$ref": "#/servers/node"}],
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in messages},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": record({}, cache=described(TEXT, "The cache; `default` when not said.")),
                "headers": record({}, **{"Sec-WebSocket-Protocol": offered}),
                "bindingVersion": "0.1.0",
            }
        },
    }


def _operations(name: str) -> dict[str, Any]:
    end = name.capitalize()

    def of_channel(message: str) -> dict[str, str]:
        return {"$ref": f"#/channels/{name}/messages/{message}{end}"}

    found: dict[str, Any] = {}
    for op in OPS.values():
        found[f"{op.name}{end}"] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": op.doc,
            "messages": [of_channel(request_name(op.name))],
            "reply": {
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [of_channel(reply_name(op.name)), of_channel("Refusal")],
            },
        }
    for push, (says, _) in PUSHES.items():
        found[f"{push.lower()}{end}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": says,
            "messages": [of_channel(push)],
        }
    return found


_TOKEN: Schema = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "A token goes into an `Authorization: Bearer` header of the upgrade; or, from a page, "
        "which can set none, into the field `token` of `hello`, as the first message. A later "
        "`hello` brings another before that one runs out. It never goes into a URL."
    ),
}


def _server(url: SplitResult, *, guarded: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"host": url.netloc, "pathname": url.path, "protocol": url.scheme}
    if guarded:
        found["security"] = [{"$ref": "#/components/securitySchemes/token"}]
    return found


def describe(limits: Limits, url: str, *, guarded: bool = False) -> dict[str, Any]:
    """The document, for the node whose WebSocket is at `url`, with these limits; `guarded` where it
    asks for tokens."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for subprotocol, (name, value, content_type) in SUBPROTOCOLS.items():
        own = _messages(name, content_type)
        channels[name] = _channel(subprotocol, name, own)
        operations |= _operations(name)
        messages |= own
        schemas |= _schemas(limits, name, value)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tlru",
            "version": __version__,
            "description": "What a tlru node and its WebSocket clients say to each other.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"node": _server(urlsplit(url), guarded=guarded)},
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": schemas,
            **({"securitySchemes": {"token": _TOKEN}} if guarded else {}),
        },
    }
