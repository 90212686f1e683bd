"""What operations are answered with, as JSON Schema, for both descriptions.

Pure. The fields stand as the protocol tells them; a test compares them with what a node answers,
and fails on a field that is not described.
"""

from __future__ import annotations

from tlru.node.http.schemas import (
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
    ref,
    reply_name,
)

_POS = described(NATURAL, "How far the answering node had applied the log.")
_TIME = described(NATURAL, "Cluster milliseconds by which lives were judged.")
_VERSION = described(NATURAL, "The index of the entry that made this write or last set the item.")
_LEFT = described(NUMBER, "Seconds of life left; absent where there is no end to it.")
_OBJECT: Schema = {"type": "object"}

ITEM = {"value": VALUE, "version": _VERSION, "at": described(NATURAL, "When it was last set.")}
ITEM_MAY = {"ttl": _LEFT, "rev": REV, "mime": TEXT}

# What is there, where a write was not applied.
_THERE = {"value": VALUE, "rev": REV}

_FOUND = record({"found": FLAG}, **ITEM, **ITEM_MAY)
_LISTED = record({"key": TEXT, **ITEM}, **ITEM_MAY)

SERVER = record(
    {
        "url": TEXT,
        "id": TEXT,
        "region": TEXT,
        "zone": TEXT,
        "priority": NATURAL,
        "role": TEXT,
        "status": TEXT,
        "weight": NUMBER,
    }
)

_RATES = record(
    {"ops_per_s": NUMBER, "errors_per_s": NUMBER, "hit_ratio": or_null(NUMBER)},
)

_SETUP = record(
    {
        "keeps": described(FLAG, "It has a data directory."),
        "fsync": or_null(TEXT),
        "loopback_only": described(FLAG, "Clients reach it from its own machine alone."),
        "asks_who": described(FLAG, "Clients need a token."),
        "tls": FLAG,
        "mesh_loopback_only": FLAG,
        "mesh_guarded": described(FLAG, "Other nodes need a secret or a certificate."),
        "certificates_end": described(
            {"type": "object", "additionalProperties": NATURAL},
            "Until when each is good, in milliseconds since 1970.",
        ),
        "connections_max": NATURAL,
        "founding": described(
            or_null(record({"said": TEXT, "splits": FLAG})),
            "What of `expect` and `bootstrap` does not fit the members; whether it may split them.",
        ),
    }
)

_STRAIN = record(
    {
        "admitted": described(listed(NUMBER), "Of each rank's requests, from the first rank on."),
        "refused": described(NATURAL, "Requests that were refused for it."),
        "refused_s_ago": described(or_null(NUMBER), "When the last of them was."),
        "lag_ms": described(NUMBER, "How late the event loop's last turn came."),
        "backlog": described(NUMBER, "Of the writes that may wait; 1 is too much."),
        "memory": described(NUMBER, "Of the memory that it may have, if that is bounded."),
        "rest_s": described(NUMBER, "How long a large message of the least rank has to wait."),
    }
)
_BACKUPS = record(
    {
        "every_s": NUMBER,
        "made": NATURAL,
        "failed": NATURAL,
        "newest": described(or_null(NATURAL), "When it was made, in milliseconds since 1970."),
        "trouble": described(or_null(TEXT), "Why there is none, in a sentence."),
    }
)

_STATUS = {
    "node": TEXT,
    "pid": NATURAL,
    "host": TEXT,
    "started": described(NATURAL, "Milliseconds since 1970."),
    "uptime_s": NUMBER,
    "release": TEXT,
    "cache": TEXT,
    "caches": listed(TEXT),
    "addresses": listed(TEXT),
    "labels": {"type": "object", "additionalProperties": TEXT},
    "region": TEXT,
    "zone": TEXT,
    "priority": NATURAL,
    "status": TEXT,
    "alarms": described(listed(TEXT), "What a person has to look at."),
    "level": described(NATURAL, "The feature level that is in force."),
    "level_max": described(NATURAL, "The highest that this release can apply."),
    "role": TEXT,
    "leads": FLAG,
    "leader": or_null(TEXT),
    "term": NATURAL,
    "epoch": TEXT,
    "pos": _POS,
    "time": _TIME,
    "digest": record({"pos": NATURAL, "value": TEXT}),
    "vector": {"type": "object", "additionalProperties": NATURAL},
    "lag": NATURAL,
    "clock_error_ms": NUMBER,
    "keys": NATURAL,
    "bytes": NATURAL,
    "max_entries": or_null(NATURAL),
    "max_bytes": or_null(NATURAL),
    "locks": NATURAL,
    "connections": NATURAL,
    "subscriptions": NATURAL,
    "subscriptions_behind": described(NATURAL, "Those whose readers are slow, or catch up."),
    "rates": _RATES,
    "strain": described(_STRAIN, "How much it has to do, and how much of that it lets in."),
    "backups": described(or_null(_BACKUPS), "Those that it makes by itself, if it is to."),
    "setup": described(_SETUP, "What the node was told of what it keeps, and of what guards it."),
}

_FIGURE = or_null(NUMBER)
_LINK = described(
    record(
        {
            "to": TEXT,
            "state": TEXT,
            "why": described(TEXT, "In a sentence, where it is not connected."),
            "address": TEXT,
            "version": described(_FIGURE, "Of the mesh's protocol, as these two speak it."),
            "round_trip_ms": _FIGURE,
            "least_round_trip_ms": _FIGURE,
            "clock_offset_ms": described(_FIGURE, "How far its clock is ahead."),
            "next_s": described(_FIGURE, "Until it is dialled again."),
            "circuit": described(TEXT, "Of its breaker: `open` after many failures in a row."),
            "queued_bytes": NATURAL,
            "dropped": NATURAL,
            "reconnects": NATURAL,
        }
    ),
    "How it stands with another node, as the member knows it.",
)

# A member's seat, and with it what its status says, where it can be asked.
MEMBER = described(
    record(
        {
            "id": TEXT,
            "addresses": listed(TEXT),
            "region": TEXT,
            "zone": TEXT,
            "labels": _STATUS["labels"],
            "priority": NATURAL,
            "role": TEXT,
            "status": described(TEXT, "What it says; `silent` or `unknown` where it says nothing."),
            "links": listed(_LINK),
        },
        **{name: schema for name, schema in _STATUS.items() if name not in ("role", "status")},
        why=described(TEXT, "Why it says nothing."),
        silent_s=described(_FIGURE, "Since when nothing was heard of it; null: nothing ever was."),
        silent_since=described(NATURAL, "The same, in milliseconds since 1970."),
    ),
    "A member: its seat, and what it says of itself, where it answers.",
)


_STALE = described(
    NUMBER, "Of a node that is cut off: the answer is as of at most so many seconds ago."
)


def _at(required: dict[str, Schema], **optional: Schema) -> Schema:
    """A reply about data: it says how far the node was."""
    return record({**required, "pos": _POS, "time": _TIME}, **optional, stale=_STALE)


def _after_write(**fields: Schema) -> Schema:
    """A reply to a write; with a weaker `ack` some or all of it is not known yet."""
    return record({}, **fields, pos=_POS, time=_TIME)


REPLIES: dict[str, Schema] = {
    "hello": record(
        {
            "node": TEXT,
            "cache": TEXT,
            "release": TEXT,
            "epoch": TEXT,
            "pos": _POS,
            "status": TEXT,
            "leader": or_null(TEXT),
            "servers": listed(SERVER),
            "limits": {"type": "object", "additionalProperties": NUMBER},
            "features": listed(TEXT),
            "may": _OBJECT,
            "retained": record({"entries": NATURAL, "seconds": NUMBER}),
            "time": _TIME,
        }
    ),
    "get": _at({"found": FLAG}, **ITEM, **ITEM_MAY),
    "get_many": _at({"values": listed(_FOUND)}),
    "set": _after_write(applied=FLAG, version=_VERSION, old=VALUE, **_THERE),
    "set_many": _after_write(applied=FLAG, version=_VERSION, key=TEXT, **_THERE),
    "delete": _after_write(deleted=NATURAL, version=_VERSION, **_THERE),
    "touch": _after_write(found=FLAG),
    "incr": _after_write(value=VALUE, version=_VERSION),
    "clear": _after_write(deleted=NATURAL, version=_VERSION),
    "scan": _at({}, keys=listed(TEXT), items=listed(_LISTED), more=FLAG),
    "publish": _after_write(version=_VERSION),
    "subscribe": record(
        {
            "feed": described(NATURAL, "The feed's number, on this connection only."),
            "upto": described(NATURAL, "The position that it goes on from."),
            "resumed": described(FLAG, "Whether it goes on from `since`."),
        }
    ),
    "unsubscribe": record({}),
    "lock": _after_write(held=FLAG, fence=NATURAL, ttl=NUMBER),
    "unlock": _after_write(released=FLAG),
    "renew": _after_write(held=FLAG, ttl=NUMBER),
    "status": record(_STATUS),
    "nodes": record(
        {"leader": or_null(TEXT), "term": NATURAL, "epoch": TEXT, "nodes": listed(MEMBER)}
    ),
    "node": record({"node": MEMBER}),
    "ping": record({"time": _TIME}),
}


def replies(without: frozenset[str] = frozenset()) -> dict[str, Schema]:
    """The replies of all operations, by their names."""
    return {reply_name(op): schema for op, schema in REPLIES.items() if op not in without}


def reply(op: str) -> Schema:
    """The reply of an operation, by reference."""
    return ref(reply_name(op))
