"""The plain old command form: `{"command": "SET", "attributes": {"key", "value", "ttl"?}}`.

The same three commands are taken over HTTP and over the WebSocket, with the key and the value
in `attributes` or at the top level; each becomes an operation of the protocol, checked as that is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from peers.core.entry import Dot
from tlru import errors
from tlru.access.grant import EVERYTHING
from tlru.access.rights import check
from tlru.node.asker import OneByOne
from tlru.wire.fields import Reading, listed, shown
from tlru.wire.requests import OPS, Op, checked

if TYPE_CHECKING:
    from tlru.node.session import Session

_OPS = {"GET": "get", "SET": "set", "DELETE": "delete"}
_FIELDS = {"GET": ("key",), "SET": ("key", "value", "ttl"), "DELETE": ("key",)}


def read(message: dict[Any, Any], reading: Reading) -> tuple[str, Op, dict[str, Any]]:
    """The command, the operation that it stands for, and that operation's checked fields."""
    command = message.get("command")
    if not isinstance(command, str) or command not in _OPS:
        raise errors.UnknownOp("`command` must be one of GET, SET, DELETE")
    found = message.get("attributes")
    beside = {k: v for k, v in message.items() if k not in ("command", "attributes", "id")}
    if found is None:
        found = beside
    elif beside:
        raise errors.BadRequest(f"{command} has both `attributes` and {listed(list(beside))}")
    if not isinstance(found, dict):
        raise errors.BadRequest(f"`attributes` is {shown(found)}; it must be an object")
    if unknown := [name for name in found if name not in _FIELDS[command]]:
        raise errors.BadRequest(f"{command} has unknown attributes: {listed(unknown)}")
    if found.get("key") is None:  # `delete` can do without, having `keys`; a command has none
        raise errors.BadRequest(f"{command} lacks `key`")
    op = OPS[_OPS[command]]
    return command, op, checked(op, found, reading)


def answer(command: str, key: str, fields: dict[str, Any], value: Any = None) -> dict[str, Any]:
    """What a command is answered with, out of the operation's reply; `value` is a SET's own."""
    attributes: dict[str, Any] = {"key": key}
    match command:
        case "GET":
            attributes["value"] = fields.get("value")
        case "SET":
            attributes["value"] = value
        case _:
            attributes["deleted"] = fields["deleted"]
    return {"command": f"{command}_OUT", "attributes": attributes}


class _Answering(OneByOne):
    """An asker that gives a session's command its answer in the command's own form."""

    def __init__(self, session: Session, command: str, args: dict[str, Any]) -> None:
        self._session, self._command, self._args = session, command, args
        self.waiting: dict[Dot, str] = session.waiting
        self.waits = session.waits
        self.push_bytes = session.push_bytes

    def reply(self, request: int | None, fields: dict[str, Any]) -> None:
        """Say it."""
        said = answer(self._command, self._args["key"], fields, self._args.get("value"))
        self._session.say(request, said)

    def refuse(self, request: int | None, error: errors.TlruError) -> None:
        """Say why not."""
        self._session.say(request, {"command": f"{self._command}_OUT", "error": error.to_wire()})


def take(session: Session, message: dict[Any, Any], request: int | None) -> None:
    """Carry out a command that came over a session."""
    command, op, args = read(message, session.codec.reading)
    if (grant := session.standing.grant) is not EVERYTHING:
        check(grant, op.name, args, time.time())
    session.service.handle(op, args, _Answering(session, command, args), request)
