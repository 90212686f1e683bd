"""OpenAPI's operations of keys: read, write, delete, count, list.

Pure. Each stands twice, with the key in the path and with the key in the query.
"""

from __future__ import annotations

from typing import Any

from tlru.node.http import openapi_parts as parts
from tlru.node.http.openapi_parts import answer, body, data, header, operation, place, query
from tlru.node.http.replies import reply
from tlru.node.http.schemas import VALUE, Requests, Schema, closed, key, or_null, record
from tlru.wire.limits import Limits
from tlru.wire.requests import OPS

_CONDITIONAL_READ = [header("IfMatch"), header("IfNoneMatch")]

_RAW_KEY = (
    "The key: all that follows, percent-decoded once. Slashes may stand as they are; what clients "
    "would normalise (dot segments, doubled slashes) is safer in ?key=."
)


class KeyPaths:
    """The operations of keys, under one node's limits."""

    def __init__(self, limits: Limits) -> None:
        self._requests = Requests(limits)
        self._key = place("key", _RAW_KEY, key(limits))

    def all(self) -> dict[str, Any]:
        """Every path."""
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
                parts.CACHE,
                parts.SINCE,
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
        fields = query(self._requests, "set", ("ttl", "keep_ttl", "rev", *parts.WRITE))
        takes = body(VALUE)
        takes["content"]["*/*"] = {"schema": {"type": "string", "format": "binary"}}
        return operation(
            name,
            "Keep a value under a key.",
            "keys",
            {
                "200": data("Done; or not, where `applied` is false for `rev`.", "set", parts.ETAG),
                "201": data("Done, and nothing was there before.", "set", parts.ETAG),
                "202": data(parts.ACCEPTED, "set"),
                "412": parts.UNMET,
            },
            parameters=[
                *where,
                *fields,
                header("IfMatch"),
                header("IfAbsent"),
                *parts.OF_WRITES,
                parts.CACHE,
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
                "202": data(parts.ACCEPTED, "delete"),
                "412": parts.UNMET,
            },
            parameters=[
                *where,
                *query(self._requests, "delete", ("rev", *parts.WRITE)),
                header("IfMatch"),
                *parts.OF_WRITES,
                parts.CACHE,
            ],
        )

    def _incr(self, name: str, where: list[Schema]) -> Schema:
        fields = ("by", "ttl", *parts.WRITE)
        members = {
            one: or_null(self._requests.of_field(one, OPS["incr"].fields[one])) for one in fields
        }
        return operation(
            name,
            "Add to an integer; a key that is absent counts as 0.",
            "keys",
            {"200": data("Its new value.", "incr", parts.ETAG)},
            parameters=[
                *where,
                *query(self._requests, "incr", fields),
                *parts.OF_WRITES,
                parts.CACHE,
            ],
            takes=body(closed(record({}, **members)), required=False),
            more="Each field stands in the query or in the body.",
        )
