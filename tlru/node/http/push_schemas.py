"""What a node sends without being asked, as JSON Schema, for `/asyncapi.json`.

Pure. A test compares each with what a node sends, and fails on a field that is not described.
"""

from __future__ import annotations

from tlru.engine.events import EventType
from tlru.node.http.replies import ITEM, ITEM_MAY, SERVER
from tlru.node.http.schemas import (
    ERROR,
    FLAG,
    NATURAL,
    NUMBER,
    REV,
    TEXT,
    VALUE,
    Schema,
    described,
    listed,
    or_null,
    record,
)

_FEED = described(NATURAL, "The number that `subscribe` was answered with.")
_UPTO = described(NATURAL, "The position that the feed has come to: it can be resumed from there.")

# Without its value where only keys are sent.
_LISTED = record(
    {"key": TEXT, **{name: each for name, each in ITEM.items() if name != "value"}},
    value=VALUE,
    **ITEM_MAY,
)

EVENT = record(
    {
        "type": {"type": "string", "enum": [each.value for each in EventType]},
        "key": described(TEXT, "The key; of a clear its prefix, of a message its channel."),
        "version": NATURAL,
        "at": described(NATURAL, "Cluster milliseconds at which it happened."),
    },
    value=VALUE,
    ttl=described(NUMBER, "Seconds of life from `at`; absent where there is no end to it."),
    rev=REV,
    mime=TEXT,
    folded=described(NATURAL, "So many earlier events of the key were left out."),
)

PUSHES: dict[str, tuple[str, Schema]] = {
    "Events": (
        "What has happened, in order; those of one version together.",
        record(
            {"push": {"const": "events"}, "feed": _FEED, "upto": _UPTO, "events": listed(EVENT)}
        ),
    ),
    "Snapshot": (
        "A part of what there was at `upto`, before the events that follow it.",
        record(
            {
                "push": {"const": "snapshot"},
                "feed": _FEED,
                "upto": _UPTO,
                "time": described(NATURAL, "Cluster milliseconds from which `ttl` counts."),
                "items": listed(_LISTED),
            },
            last=described(FLAG, "Forget keys neither listed nor in an event since."),
        ),
    ),
    "Reset": (
        "The point to go on from is gone: the feed goes on from `upto`.",
        record(
            {
                "push": {"const": "reset"},
                "feed": _FEED,
                "reason": TEXT,
                "epoch": TEXT,
                "upto": _UPTO,
            }
        ),
    ),
    "End": (
        "The node ends a feed.",
        record({"push": {"const": "end"}, "feed": _FEED, "error": ERROR}),
    ),
    "Servers": (
        "The list of servers has changed.",
        record({"push": {"const": "servers"}, "servers": listed(SERVER), "leader": or_null(TEXT)}),
    ),
    "Goaway": (
        "The node is about to stop: connect elsewhere.",
        record(
            {
                "push": {"const": "goaway"},
                "reason": TEXT,
                "within": described(NUMBER, "Leave at a random moment of so many seconds."),
                "servers": listed(SERVER),
            }
        ),
    ),
}
