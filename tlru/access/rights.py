"""Which right each operation and each route demands, and of what: the one decision table.

Pure. The node asks `check` before it carries out an operation, whichever way that came in, and
`check_route` before a route's handler runs. An operation or a route without a row is refused: what
is new is closed until somebody has decided who may have it (a test says so first).

Invariants: a prefix, pattern or clear lies within ONE granted prefix, so that nothing has to be
filtered; and no answer depends on what is in the cache.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tlru.access.grant import EVERYTHING, NOBODY, Grant, within
from tlru.errors import Forbidden, Unauthenticated

SHOWN_CHARS_MAX: Final = 80  # of a stranger's text in an error

Args = Mapping[str, Any]
Demand = tuple[str, str, bool]
"""A right, what it is demanded for, and whether that is a prefix rather than one key."""
Row = Callable[[Args], Iterator[Demand]]


class Route(enum.Enum):
    """What a route demands before its handler runs."""

    OPEN = "open"  # tells and does nothing that is not everybody's
    TOKEN = "token"  # any token that is good
    OPERATION = "operation"  # any token; and its operation is checked where it is carried out
    TICKET = "ticket"  # the same, or a ticket in place of the token
    ADMIN = "admin"


# -- operations


def _free(args: Args) -> Iterator[Demand]:
    """Any token will do."""
    return iter(())


def _get(args: Args) -> Iterator[Demand]:
    yield "read", args["key"], False
    if "touch" in args:
        yield "write", args["key"], False


def _get_many(args: Args) -> Iterator[Demand]:
    for key in args["keys"]:
        yield "read", key, False


# With one of these a write that is not applied is answered with the value that is there.
_TELLS_A_VALUE = frozenset(("if", "rev", "old"))


def _set(args: Args) -> Iterator[Demand]:
    yield "write", args["key"], False
    if not _TELLS_A_VALUE.isdisjoint(args):
        yield "read", args["key"], False


def _set_many(args: Args) -> Iterator[Demand]:
    for row in args["items"]:
        yield "write", row[0], False
        if row[3] is not None:  # a revision
            yield "read", row[0], False


def _delete(args: Args) -> Iterator[Demand]:
    if "key" in args:
        yield "write", args["key"], False
        if not _TELLS_A_VALUE.isdisjoint(args):
            yield "read", args["key"], False
    for key in args.get("keys", ()):
        yield "write", key, False


def _one(right: str, field: str) -> Row:
    def row(args: Args) -> Iterator[Demand]:
        yield right, args[field], False

    return row


def _prefix(right: str) -> Row:
    def row(args: Args) -> Iterator[Demand]:
        yield right, args.get("prefix", ""), True

    return row


def _subscribe(args: Args) -> Iterator[Demand]:
    """What is said wrongly, in two ways at once, is refused later; each way is looked at here."""
    for field in ("key", "channel"):
        if field in args:
            yield "subscribe", args[field], False
    for field in ("prefix", "channel_prefix"):
        if field in args:
            yield "subscribe", args[field], True
    if "pattern" in args:
        text = args["pattern"].removeprefix("#")
        yield "subscribe", text.removesuffix("*"), text.endswith("*")


# `hello` has no row to be looked up by: it is how somebody comes to have a grant at all.
HELLO: Final = "hello"

OPERATIONS: Final[Mapping[str, Row]] = {
    "get": _get,
    "get_many": _get_many,
    "set": _set,
    "set_many": _set_many,
    "delete": _delete,
    "touch": _one("write", "key"),
    "incr": _one("write", "key"),
    "clear": _prefix("write"),
    "scan": _prefix("read"),
    "publish": _one("publish", "channel"),
    "subscribe": _subscribe,
    "unsubscribe": _free,
    "lock": _one("write", "name"),
    "unlock": _one("write", "name"),
    "renew": _one("write", "name"),
    "status": _free,
    "nodes": _free,
    "node": _free,
    "ping": _free,
}


def check(grant: Grant, op: str, args: Args, now: float) -> None:
    """Let a checked operation pass. Unauthenticated where nobody (any more) asks for it, Forbidden
    where the asker may not. `now` is the wall clock's."""
    if grant is EVERYTHING or op == HELLO:
        return
    check_bearer(grant, now)
    row = OPERATIONS.get(op)
    if row is None:
        raise Forbidden(f"nobody has decided who may {op!r}, so nobody may")
    for right, wanted, is_prefix in row(args):
        if not within(getattr(grant, right), wanted):
            raise Forbidden(_refusal(right, wanted, is_prefix))


def check_bearer(grant: Grant, now: float) -> None:
    """Unauthenticated where this is nobody, or its time is over."""
    if grant is NOBODY:
        raise Unauthenticated("this node wants a token: say hello with one, or send Authorization")
    if grant.expires is not None and now >= grant.expires:
        raise Unauthenticated("the token has run out; send a new one")


def may_watch(grant: Grant, text: str) -> bool:
    """Whether a feed of what begins so, or is so, may go on."""
    return within(grant.subscribe, text)


def _refusal(right: str, wanted: str, is_prefix: bool) -> str:
    shown = repr(wanted[:SHOWN_CHARS_MAX]) + ("..." if len(wanted) > SHOWN_CHARS_MAX else "")
    if not is_prefix:
        return f"the token gives no right to {right} {shown}"
    if not wanted:
        return f"the token gives no right to {right} everything; name a prefix that it covers"
    return f"the token gives no right to {right} all that begins with {shown}"


# -- routes

_OPEN, _TOKEN, _OPERATION, _ADMIN = Route.OPEN, Route.TOKEN, Route.OPERATION, Route.ADMIN

ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("GET", "/"): _OPEN,
    ("GET", "/ws"): _OPEN,  # says that a WebSocket is here
    ("GET", "/cache"): _OPERATION,
    ("POST", "/cache"): _OPERATION,
    ("POST", "/v1/keys/incr"): _OPERATION,
    ("POST", "/v1/keys/{key}/incr"): _OPERATION,
    ("GET", "/v1/keys/{key}"): _OPERATION,
    ("PUT", "/v1/keys/{key}"): _OPERATION,
    ("DELETE", "/v1/keys/{key}"): _OPERATION,
    ("GET", "/v1/keys"): _OPERATION,
    ("PUT", "/v1/keys"): _OPERATION,
    ("DELETE", "/v1/keys"): _OPERATION,
    ("POST", "/v1/channels/{channel}"): _OPERATION,
    ("GET", "/v1/events"): Route.TICKET,
    ("POST", "/v1/ticket"): _OPERATION,
    ("POST", "/v1/batch"): _OPERATION,
    ("POST", "/v1/command"): _OPERATION,
    ("GET", "/v1/status"): _TOKEN,
    ("GET", "/status"): _TOKEN,
    ("GET", "/v1/nodes"): _TOKEN,
    ("GET", "/nodes"): _TOKEN,
    ("POST", "/v1/nodes"): _ADMIN,
    ("GET", "/v1/nodes/{id}"): _TOKEN,
    ("PATCH", "/v1/nodes/{id}"): _ADMIN,
    ("DELETE", "/v1/nodes/{id}"): _ADMIN,
    ("POST", "/v1/nodes/{id}/lead"): _ADMIN,
    ("POST", "/v1/nodes/{id}/reload"): _ADMIN,
    ("POST", "/v1/nodes/{id}/restart"): _ADMIN,
    ("POST", "/v1/nodes/{id}/restore"): _ADMIN,
    ("POST", "/v1/nodes/{id}/revive"): _ADMIN,
    ("GET", "/v1/snapshot"): _ADMIN,  # all that there is, whatever one may read
    ("POST", "/v1/snapshot"): _ADMIN,
    ("POST", "/v1/rebalance"): _ADMIN,
    ("GET", "/v1/settings"): _TOKEN,
    ("PATCH", "/v1/settings"): _ADMIN,
    ("GET", "/v1/upgrade"): _TOKEN,
    ("POST", "/v1/upgrade/finalize"): _ADMIN,
    ("GET", "/health/live"): _OPEN,
    ("GET", "/health/ready"): _OPEN,
    ("GET", "/health/startup"): _OPEN,
    ("GET", "/metrics"): _TOKEN,
    ("GET", "/openapi.json"): _OPEN,
    ("GET", "/asyncapi.json"): _OPEN,
    ("GET", "/tlru.js"): _OPEN,
    ("GET", "/js/{file}"): _OPEN,
    ("GET", "/dashboard"): _OPEN,
    ("GET", "/dashboard/"): _OPEN,
    ("GET", "/dashboard/{file}"): _OPEN,
}


def is_open(method: str, path: str) -> bool:
    """Whether a route is everybody's: nobody has to say who he is, nor can say it wrongly."""
    return ROUTES.get(("GET" if method == "HEAD" else method, path)) is Route.OPEN


def check_route(grant: Grant, method: str, path: str, now: float, *, ticket: bool) -> None:
    """Let a request reach its route's handler, or say why not; `ticket` where it brought one."""
    if grant is EVERYTHING:
        return
    demanded = ROUTES.get(("GET" if method == "HEAD" else method, path), Route.ADMIN)
    if demanded is Route.OPEN or (demanded is Route.TICKET and ticket):
        return
    check_bearer(grant, now)
    if demanded is Route.ADMIN and not grant.admin:
        raise Forbidden("only a token with the right `admin` may do this")
