"""What a checked write becomes: the machine's operation, and the reply out of its result.

Pure. Which acknowledgement is really waited for is decided here too: a write whose result its
client needs is never answered before there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peers.errors import RefusedError
from peers.ordered_log import Ack
from tlru import errors
from tlru.engine.items import RESERVED, is_reserved
from tlru.engine.machine import Result
from tlru.engine.operations import (
    Clear,
    Delete,
    Incr,
    Lock,
    Operation,
    Publish,
    Renew,
    Set,
    SetMany,
    Touch,
    Unlock,
)
from tlru.node.pending import Finish

Args = dict[str, Any]

# These have a result that their client needs, whatever their fields are.
_NEEDED = frozenset(("incr", "lock", "unlock", "renew"))


def ack(name: str, args: Args) -> Ack:
    """How far a write must have got before it is answered."""
    if "ack" not in args:
        return Ack.QUORUM
    asked = Ack(args["ack"])
    if asked in (Ack.NONE, Ack.LEADER) and _needs_result(name, args):
        return Ack.QUORUM
    return asked


def _needs_result(name: str, args: Args) -> bool:
    if name in _NEEDED or "if" in args or "rev" in args or args.get("old"):
        return True
    for row in args.get("items", ()):  # noqa: SIM110  compiled, a loop is a third of what `any` is
        if row[3] is not None:
            return True
    return False


def is_sure(name: str, args: Args) -> bool:
    """Whether it is certain what becomes of a write, once it has its place in the log in time."""
    return name == "set_many" and "once" not in args and not _needs_result(name, args)


def operation(name: str, args: Args) -> Operation:
    """The operation that the log will order."""
    return _MAKERS[name](args)


def _set(args: Args) -> Set:
    if args.get("keep_ttl") and "ttl" in args:
        raise errors.BadRequest("`set` has both `ttl` and `keep_ttl`; which life should it have?")
    return Set(
        writable(args["key"]),
        args["value"],
        args.get("ttl"),
        args.get("keep_ttl", False),
        args.get("if"),
        args.get("rev"),
        args.get("mime"),
        args.get("old", False),
    )


def _set_many(args: Args) -> SetMany:
    first = RESERVED[0]
    for row in args["items"]:
        if row[0][0] == first:
            writable(row[0])
    return SetMany(args["items"])


def _delete(args: Args) -> Delete:
    if ("key" in args) == ("keys" in args):
        raise errors.BadRequest("`delete` takes either `key` or `keys`")
    keys = args["keys"] if "keys" in args else (args["key"],)
    if "keys" in args and ("if" in args or "rev" in args):
        raise errors.BadRequest("`if` and `rev` go with a single `key`, not with `keys`")
    for key in keys:
        writable(key)
    return Delete(tuple(dict.fromkeys(keys)), args.get("if"), args.get("rev"))


def writable(key: str) -> str:
    """The key, where clients may write there. Forbidden else."""
    if is_reserved(key):
        raise errors.Forbidden("keys that begin with _tlru/ are the cluster's own")
    return key


_MAKERS: dict[str, Callable[[Args], Operation]] = {
    "set": _set,
    "set_many": _set_many,
    "delete": _delete,
    "touch": lambda args: Touch(writable(args["key"]), args.get("ttl")),
    "incr": lambda args: Incr(writable(args["key"]), args.get("by", 1), args.get("ttl")),
    "clear": lambda args: Clear(_clearable(args.get("prefix", ""))),
    "publish": lambda args: Publish(args["channel"], args["value"]),
    "lock": lambda args: Lock(args["name"], args["ttl"], args.get("wait", 0)),
    "unlock": lambda args: Unlock(args["name"], args["fence"]),
    "renew": lambda args: Renew(args["name"], args["fence"], args["ttl"]),
}


def _clearable(prefix: str) -> str:
    return writable(prefix) if prefix else prefix


def size_of(operation: Operation) -> int:
    """What an operation would at the most add to the cache: bytes of keys and values."""
    if isinstance(operation, Set):
        return len(operation.key) + len(operation.value)
    if isinstance(operation, SetMany):
        size = 0
        for row in operation.items:
            size += len(row[0]) + len(row[1])
        return size
    return len(operation.key) if isinstance(operation, Incr) else 0


def _lock_result(result: Result) -> Result:
    """The machine's milliseconds become the protocol's seconds."""
    return {**result, "ttl": result["ttl"] / 1000} if "ttl" in result else result


FINISH: dict[str, Finish] = {"lock": _lock_result, "renew": _lock_result}


def error_of(result: Result) -> errors.TlruError:
    """The error that the machine's refusal is for a client."""
    code, message = result["error"], result["message"]
    if code == errors.Timeout.code:
        return errors.Timeout(message, outcome_known=True)
    return errors.from_wire({"code": code, "message": message})


def unavailable(refused: RefusedError) -> errors.Unavailable:
    """What a client is told of a write that the log did not take."""
    if refused.reason == "overloaded":
        return errors.Overloaded(str(refused), after=0.1)
    return errors.Unavailable(str(refused), code=refused.reason)
