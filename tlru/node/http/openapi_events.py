"""OpenAPI's operations of those who watch: streams of events, and tickets for them.

Pure.
"""

from __future__ import annotations

from typing import Any

from tlru.node.http import openapi_parts as parts
from tlru.node.http.openapi_parts import answer, body, header, operation, query
from tlru.node.http.schemas import (
    TEXT,
    Requests,
    Schema,
    closed,
    described,
    one_of,
    or_null,
    record,
)
from tlru.node.http.tickets import LIFE_S
from tlru.wire.requests import OPS, WATCHED

_HOW = (
    "One of the first five fields says what to watch, or a ticket does. Each event's data is one "
    "push as the WebSocket has it (see /asyncapi.json), in JSON; its `feed` says nothing here. "
    "All come as plain messages, without a name. The id is the position to go on from, which a "
    "browser does by itself. Every 15 seconds there is a comment."
)


def event_paths(requests: Requests) -> dict[str, Any]:
    """Every path."""
    own: list[Schema] = [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, text, schema in (
            (
                "since",
                "The id to go on after, as Last-Event-ID says it, which wins over this.",
                parts.POSITION_OR_NONE,
            ),
            ("cache", "The cache that is spoken to, for who cannot send Tlru-Cache.", TEXT),
            (
                "ticket",
                "As /v1/ticket gave it. It is good once, for its pattern and its origin.",
                TEXT,
            ),
        )
    ]
    fields = (*WATCHED, "send", "snapshot", "fold")
    stream = {
        "description": "The stream, for as long as it lasts.",
        "headers": parts.POSITION,
        # A stream has no end, so it is no value that a schema could be about.
        "content": {"text/event-stream": {}},
    }
    subscribe = OPS["subscribe"].fields
    watched = {name: or_null(requests.of_field(name, subscribe[name])) for name in WATCHED}
    given = record(
        {"ticket": TEXT, "expires_in": described({"const": LIFE_S}, "Seconds that it is good for.")}
    )
    return {
        "/v1/events": {
            "get": operation(
                "events",
                "What happens, as Server-Sent Events.",
                "events",
                {
                    "200": stream,
                    "401": parts.problem("The ticket is none, was used, or is over."),
                    "403": parts.problem("The ticket was given for something else."),
                    "404": parts.UNKNOWN_CACHE,
                },
                parameters=[
                    *query(requests, "subscribe", fields),
                    *own,
                    header("LastEventId"),
                    parts.CACHE,
                    parts.SINCE,
                ],
                more=_HOW,
            )
        },
        "/v1/ticket": {
            "post": operation(
                "ticket",
                "Leave to open one stream, for a page that cannot send headers with it.",
                "events",
                {
                    "200": answer("The ticket.", given),
                    "404": parts.UNKNOWN_CACHE,
                    "503": parts.problem("Too many tickets are not used yet."),
                },
                parameters=[parts.CACHE],
                takes=body(
                    {
                        **closed(record({}, **watched)),
                        "oneOf": one_of(WATCHED),
                    }
                ),
            )
        },
    }
