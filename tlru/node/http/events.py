"""`/v1/events`, a subscription as Server-Sent Events, and `/v1/ticket`, which lets a page open one.

This module decides what may be watched by whom, and where a stream begins. How it goes on is in
`event_stream.py`, what a ticket is good for in `tickets.py`.
"""

from __future__ import annotations

import time
from typing import Final

from tlru import errors
from tlru.access.grant import EVERYTHING, Grant
from tlru.access.rights import check
from tlru.engine.patterns import Pattern
from tlru.node.access.standing import Standing
from tlru.node.feeds import pattern_of
from tlru.node.http import conditions
from tlru.node.http.answers import Answer, json_answer
from tlru.node.http.asking import Fields
from tlru.node.http.event_stream import EventStream
from tlru.node.http.keys import position
from tlru.node.http.problems import NotFound
from tlru.node.http.request import Request
from tlru.node.http.tickets import LIFE_S, Leave
from tlru.node.service import CacheService
from tlru.wire import values
from tlru.wire.fields import Min, Reading
from tlru.wire.requests import OPS, WATCHED, checked
from tlru.wire.strict_json import shown

EVENT_STREAM: Final = "text/event-stream"

_HEADERS = {"X-Accel-Buffering": "no"}  # nginx would gather events before it passes them on

# What stands in the query alone: `EventSource` sends no headers of a page's choice.
OWN = ("cache", "since", "ticket")


async def events(request: Request) -> Answer:
    """What happens, for as long as somebody listens."""
    own = {name: request.query[name] for name in OWN if name in request.query}
    fields = request.taken(*WATCHED, "send", "snapshot", "fold", *OWN)
    for name in own:
        del fields[name]
    service = _service(request, own.get("cache"))
    since = _since(request, own.get("since"))
    args = _checked(request, fields | since)
    grant = _let_in(request, service, args, own.get("ticket"))
    request.count_connection(service, grant)
    minimum = conditions.minimum(request)
    if request.head_only:
        return Answer(200, b"", EVENT_STREAM, _headers(service) | {"Content-Type": EVENT_STREAM})
    stream = EventStream(service, request.node.http.streams)
    stream.standing = Standing(grant, request.node.access)
    try:
        await stream.begin(args, _min(request, minimum))
    except BaseException:
        stream.end()
        raise
    return Answer(200, b"", EVENT_STREAM, _headers(service), stream=stream)


def _headers(service: CacheService) -> dict[str, str]:
    return position(service, {}) | _HEADERS


def _service(request: Request, name: str | None) -> CacheService:
    """The cache that is spoken to, which the query may name too."""
    if name is None:
        return request.service
    if request.header("Tlru-Cache") not in (None, name):
        raise errors.BadRequest("`cache` and the header Tlru-Cache name different caches; send one")
    if (service := request.node.services.get(name)) is None:
        raise NotFound(f"there is no cache {shown(name)} here")
    return service


def _since(request: Request, in_query: str | None) -> Fields:
    """Where to go on from. A browser that comes back by itself says where it was in a header, and
    repeats a query that was right when the page wrote it: the header is the later word."""
    text = request.header("Last-Event-ID") or in_query
    if not text:
        return {}
    found = conditions.position_of(text)
    if found is None:
        raise errors.BadRequest(
            "Last-Event-ID, or `since`, must be an id as it came with an event: epoch-pos"
        )
    return {"since": found}


def _checked(request: Request, fields: Fields) -> Fields:
    return checked(OPS["subscribe"], fields, Reading(request.limits, values.pack))


def _min(request: Request, fields: Fields) -> Min | None:
    reading = Reading(request.limits, values.pack)
    found: Min | None = checked(OPS["get"], {"key": "-", **fields}, reading).get("min")
    return found


def _let_in(request: Request, service: CacheService, args: Fields, ticket: str | None) -> Grant:
    """Let those in who may watch what they ask for; what a ticket says need not be said again.

    The rights are those of the request's own token, or those that came along with the ticket."""
    if ticket is None:
        pattern_of(args)  # BadRequest where it is not said in one way
        check(request.grant, "subscribe", args, time.time())
        return request.grant
    now = request.node.http.now()
    leave = request.node.http.tickets.use(ticket, request.page, service.name, now)
    if not any(name in args for name in WATCHED):
        args[leave.pattern.kind.value] = leave.pattern.text
    elif pattern_of(args) != leave.pattern:
        raise errors.Forbidden(f"the ticket was given for {shown(str(leave.pattern))}")
    # The token behind it may have run out, or been revoked, since.
    access = request.node.access
    grant = access.still(leave.grant) if access.enabled else EVERYTHING
    check(grant, "subscribe", args, time.time())
    return grant


async def ticket(request: Request) -> Answer:
    """Leave to open one stream."""
    request.only()
    fields = await request.json_object()
    if unknown := [name for name in fields if name not in WATCHED]:
        raise errors.BadRequest(
            f"unknown fields: {', '.join(map(shown, unknown[:8]))}; known are {', '.join(WATCHED)}"
        )
    service = request.service
    args = _checked(request, fields)
    pattern: Pattern = pattern_of(args)
    check(request.grant, "subscribe", args, time.time())
    leave = Leave(service.name, pattern, request.page, request.grant)
    given = request.node.http.tickets.give(leave, request.node.http.now())
    return json_answer({"ticket": given, "expires_in": LIFE_S})
