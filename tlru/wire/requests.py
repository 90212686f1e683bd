"""Every operation of the protocol and its fields: the one table that requests are checked against.

Pure. The node's handlers, the OpenAPI and AsyncAPI descriptions and the tests all read this table,
so that what is described is what is checked. A field that is unknown is refused with its name; an
optional field that is null is as if it were absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tlru import errors
from tlru.wire import fields
from tlru.wire.fields import Check, Reading
from tlru.wire.limits import NUMBER_MAX

TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an operation."""

    check: Check
    required: bool = False
    nullable: bool = False  # null is a value of its own here, not "absent"


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: its fields by name, and a line on what it does."""

    name: str
    doc: str
    fields: dict[str, Field]
    writes: bool = False
    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        required = tuple(name for name, field in self.fields.items() if field.required)
        object.__setattr__(self, "required", required)


def _required(check: Check, *, nullable: bool = False) -> Field:
    return Field(check, required=True, nullable=nullable)


_KEY = _required(fields.key)
_VALUE = _required(fields.value, nullable=True)
_READ = {
    "read": Field(fields.choice("local", "linear", "any")),
    "min": Field(fields.minimum),
    "timeout": Field(fields.wait),
}
_WRITE = {
    "ack": Field(fields.choice("none", "leader", "quorum", "all")),
    "timeout": Field(fields.wait),
    "once": Field(fields.once),
    "trace": Field(fields.trace),
}

# What `subscribe` may watch is said by one of these.
WATCHED = ("key", "prefix", "channel", "channel_prefix", "pattern")

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op(
            "hello",
            "Says who the client is; tells what the node is and allows.",
            {
                "token": Field(fields.token),
                "client": Field(fields.text),
                "max_bytes": Field(fields.natural),
            },
        ),
        Op(
            "get",
            "Reads one item; with `touch` it gets a new life too.",
            {"key": _KEY, "touch": Field(fields.ttl), **_READ},
        ),
        Op("get_many", "Reads many items.", {"keys": _required(fields.keys), **_READ}),
        Op(
            "set",
            "Keeps a value under a key, if the conditions hold.",
            {
                "key": _KEY,
                "value": _VALUE,
                "ttl": Field(fields.ttl),
                "keep_ttl": Field(fields.flag),
                "if": Field(fields.condition),
                "rev": Field(fields.rev),
                "mime": Field(fields.mime),
                "old": Field(fields.flag),
                **_WRITE,
            },
            writes=True,
        ),
        Op(
            "set_many",
            "Keeps many values, all or none, with one version.",
            {"items": _required(fields.rows), **_WRITE},
            writes=True,
        ),
        Op(
            "delete",
            "Removes one key, if the conditions hold, or many.",
            {
                "key": Field(fields.key),
                "keys": Field(fields.keys),
                "if": Field(fields.condition),
                "rev": Field(fields.rev),
                **_WRITE,
            },
            writes=True,
        ),
        Op(
            "touch",
            "Gives an item a new life; without `ttl` one without end.",
            {"key": _KEY, "ttl": Field(fields.ttl), **_WRITE},
            writes=True,
        ),
        Op(
            "incr",
            "Adds to an integer; a key that is absent counts as 0.",
            {"key": _KEY, "by": Field(fields.integer), "ttl": Field(fields.ttl), **_WRITE},
            writes=True,
        ),
        Op(
            "clear",
            "Removes every key with a prefix, or all.",
            {"prefix": Field(fields.prefix), **_WRITE},
            writes=True,
        ),
        Op(
            "scan",
            "Lists keys in order, a page at a time.",
            {
                "prefix": Field(fields.prefix),
                "after": Field(fields.prefix),
                "limit": Field(fields.page),
                "values": Field(fields.flag),
                **_READ,
            },
        ),
        Op(
            "publish",
            "Sends a message to a channel, in order with everything else.",
            {"channel": _required(fields.key), "value": _VALUE, **_WRITE},
            writes=True,
        ),
        Op(
            "subscribe",
            "Sends what changes: each event, in order, once; from a position on, if it is given.",
            {
                "key": Field(fields.key),
                "prefix": Field(fields.prefix),
                "channel": Field(fields.key),
                "channel_prefix": Field(fields.prefix),
                "pattern": Field(fields.pattern),
                "send": Field(fields.choice("values", "keys")),
                "snapshot": Field(fields.flag),
                "fold": Field(fields.flag),
                "since": Field(fields.since),
            },
        ),
        Op("unsubscribe", "Ends a feed.", {"feed": _required(fields.natural)}),
        Op(
            "lock",
            "Takes a lock, or waits for its turn.",
            {
                "name": _required(fields.key),
                "ttl": _required(fields.ttl),
                "wait": Field(fields.wait),
                **_WRITE,
            },
            writes=True,
        ),
        Op(
            "unlock",
            "Lets a lock go.",
            {"name": _required(fields.key), "fence": _required(fields.natural), **_WRITE},
            writes=True,
        ),
        Op(
            "renew",
            "Gives a held lock a new life.",
            {
                "name": _required(fields.key),
                "fence": _required(fields.natural),
                "ttl": _required(fields.ttl),
                **_WRITE,
            },
            writes=True,
        ),
        Op("status", "What the node says of itself.", {}),
        Op("nodes", "The members of the cluster.", {}),
        Op("node", "One member of the cluster.", {"node": Field(fields.text)}),
        Op("ping", "Answers with the time.", {}),
    )
}

_COMMON = frozenset(("id", "op"))


def request_id(request: dict[Any, Any]) -> int | None:
    """The id of a request, or None where no reply is wanted. BadRequest if it is no integer."""
    found = request.get("id")
    if found is None or (type(found) is int and -NUMBER_MAX <= found <= NUMBER_MAX):
        return found
    raise errors.BadRequest(f"`id` is {fields.shown(found)}; it must be an integer below 2^53")


def checked(op: Op, request: dict[Any, Any], reading: Reading) -> dict[str, Any]:
    """The fields of a request, each as the node works with it. BadRequest names what is wrong."""
    known = op.fields
    taken: dict[str, Any] = {}
    for name, found in request.items():
        field = known.get(name)
        if field is None:
            if name not in _COMMON:
                raise _unknown_fields(op, request)
        elif found is not None or field.nullable:
            taken[name] = field.check(found, name, reading)
    for name in op.required:
        if name not in taken:
            raise errors.BadRequest(f"`{op.name}` lacks `{name}`")
    return taken


def _unknown_fields(op: Op, request: dict[Any, Any]) -> errors.BadRequest:
    unknown = [name for name in request if name not in op.fields and name not in _COMMON]
    return errors.BadRequest(f"`{op.name}` has unknown fields: {fields.listed(unknown)}")
