"""`POST /v1/batch`: a list of operations, and their results in the same order.

This module decides what a batch may hold and how much is answered. It is not atomic: each operation
succeeds or fails by itself, and the writes take their places in the log in the order given.

Invariant: an answer is at most `message_bytes` and one result. An operation whose answer may hold a
value is waited for before the next is begun, so that what comes after a full answer is refused
before it is done; plain writes, whose answers are a few bytes, all go into one turn of the loop.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tlru import errors
from tlru.node import facts
from tlru.node.http import conditions
from tlru.node.http.answers import JSON, Answer, encode
from tlru.node.http.asking import Asking, Fields
from tlru.node.http.keys import position
from tlru.node.http.request import Request
from tlru.wire import values
from tlru.wire.fields import Reading, shown
from tlru.wire.requests import OPS, Op, checked, request_id

logger = logging.getLogger(__name__)

# These concern a connection, which a batch is not.
OF_A_CONNECTION = frozenset(("hello", "subscribe", "unsubscribe"))

# With one of these fields, a write may be answered with a value.
_MAY_BRING_A_VALUE = frozenset(("if", "rev", "old", "items"))

Outcome = Fields | errors.TlruError


async def batch(request: Request) -> Answer:
    """Carry out a list of operations."""
    conditions.refuse(request, why="each operation of a batch takes its own `if`")
    if request.header("Idempotency-Key") is not None:
        raise errors.BadRequest(
            "Idempotency-Key is not taken here: each operation of a batch takes its own `once`"
        )
    request.only()
    wanted = await request.json()
    if not isinstance(wanted, list):
        raise errors.BadRequest(f"the body is {shown(wanted)}; it must be a list of operations")
    if len(wanted) > request.limits.batch:
        raise errors.TooLarge(f"a batch may hold {request.limits.batch} operations")
    with request.asking() as asking:
        run = _Run(request, asking)
        for each in wanted:
            await run.take(each)
        body = await run.body()
    return Answer(200, body, JSON, position(request.service, {}))


class _Run:
    """A batch that is being carried out."""

    def __init__(self, request: Request, asking: Asking) -> None:
        self._request = request
        self._asking = asking
        self._reading = Reading(request.limits, values.pack)
        self._results: list[bytes | tuple[int | None, asyncio.Future[Outcome]]] = []
        self._bytes = 0
        self._minimum = conditions.minimum(request)

    async def take(self, wanted: Any) -> None:
        """Begin one operation; its result may come later."""
        number: int | None = None
        outcome: Outcome | asyncio.Future[Outcome]
        try:
            if not isinstance(wanted, dict):
                raise errors.BadRequest(f"an operation is {shown(wanted)}; it must be an object")
            number = request_id(wanted)
            outcome = await self._begin(wanted)
            if isinstance(outcome, asyncio.Future) and _may_be_large(wanted):
                outcome = await outcome
        except errors.TlruError as error:
            outcome = error
        except Exception:
            logger.exception("an operation of a batch failed in a way that nobody foresaw")
            outcome = errors.Internal("the node failed; its log says how")
        if isinstance(outcome, asyncio.Future):
            self._results.append((number, outcome))
        else:
            self._results.append(self._written(number, outcome))

    async def _begin(self, wanted: Fields) -> Outcome | asyncio.Future[Outcome]:
        bound = self._request.limits.message_bytes
        if self._bytes > bound:
            raise errors.TooLarge(
                f"the answer has more than {bound} bytes already, so this was not done; "
                "send it in another batch"
            )
        name = wanted.get("op")
        op = OPS.get(name) if isinstance(name, str) else None
        if op is None or name in OF_A_CONNECTION:
            raise errors.UnknownOp(f"a batch knows no operation {str(name)[:40]!r}")
        if "min" in op.fields:  # its own goes before that of the whole request
            wanted = self._minimum | wanted
        args = checked(op, wanted, self._reading)
        self._asking.check(op, args)
        told = await self._about_the_node(op, args)
        return self._asking.ask(op, args) if told is None else told

    async def _about_the_node(self, op: Op, args: Fields) -> Fields | None:
        node, service = self._request.node, self._request.service
        match op.name:
            case "status":
                return facts.status(node, service)
            case "nodes":
                return await node.desk(service).members.told()
            case "node":
                return {"node": await node.desk(service).members.one(args.get("node"))}
            case "ping":
                return {"time": service.log.now()}
            case _:
                return None

    def _written(self, number: int | None, outcome: Outcome) -> bytes:
        head = {} if number is None else {"id": number}
        if isinstance(outcome, errors.TlruError):
            self._request.node.rates.errors[outcome.code] += 1
            data = encode({**head, "ok": False, "error": outcome.to_wire()})
        else:
            data = encode({**head, "ok": True, **outcome})
        self._bytes += len(data)
        return data

    async def body(self) -> bytes:
        """All results, in order."""
        parts = [
            one if isinstance(one, bytes) else self._written(one[0], await one[1])
            for one in self._results
        ]
        return b"[" + b",".join(parts) + b"]"


def _may_be_large(wanted: Fields) -> bool:
    return not OPS[wanted["op"]].writes or not _MAY_BRING_A_VALUE.isdisjoint(wanted)
