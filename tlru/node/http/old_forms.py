"""The plain old forms: `/cache` with key, value and minutes, and `/v1/command`.

This module decides how they are read and answered; what they do are the protocol's operations, so
a value that was saved in an old form is read in every other.
"""

from __future__ import annotations

from typing import Any

from tlru import errors
from tlru.node import commands
from tlru.node.http import conditions, targets
from tlru.node.http.answers import Answer, json_answer
from tlru.node.http.asking import Fields
from tlru.node.http.keys import position, shown
from tlru.node.http.problems import NotFound, problem
from tlru.node.http.request import Request, number
from tlru.wire import fields, strict_json, values
from tlru.wire.fields import Reading
from tlru.wire.limits import TTL_S_MAX

FORM = "application/x-www-form-urlencoded"

# The shortest life is a millisecond, so this is rounded up to what can be said.
MINUTES_MIN, MINUTES_MAX = 0.00002, TTL_S_MAX // 60

_NAMES = ("key", "value", "minutes")


async def read(request: Request) -> Answer:
    """The value under `?key=`."""
    request.only("key")
    found = await request.carry_out("get", dict(request.query) | conditions.minimum(request))
    headers = position(request.service, found)
    if not found["found"]:
        return problem(NotFound("nothing is kept under this key"), headers)
    body, content_type = shown(found)
    return Answer(200, body, content_type, headers)


async def save(request: Request) -> Answer:
    """Save a value for some minutes, or without `minutes` for good."""
    conditions.refuse(request, why="this form saves whatever is there; use PUT /v1/keys")
    request.only(*_NAMES)
    said: Fields = dict(request.query)
    for name, found in (await _body(request)).items():
        if name in said:
            raise errors.BadRequest(f"`{name}` stands in the query and in the body; send one")
        said[name] = found
    minutes = _minutes(said.pop("minutes", None))
    wanted = said | ({} if minutes is None else {"ttl": minutes * 60})
    wanted |= conditions.once(request, "set", str(said.get("key")))
    done = await request.carry_out("set", wanted)
    told = {"key": said["key"], "value": said["value"], "minutes": minutes}
    return json_answer(told, headers=position(request.service, done))


async def _body(request: Request) -> Fields:
    """The fields of a form or of a JSON object, whichever was sent."""
    if not request.has_body:
        return {}
    if request.media_type == FORM:
        found: Fields = dict(targets.form(await request.body()))
    else:
        found = await request.json_object()
    if unknown := [name for name in found if name not in _NAMES]:
        raise errors.BadRequest(f"unknown fields in the body: {fields.listed(unknown)}")
    return found


def _minutes(found: Any) -> float | None:
    """How long to keep a value, as text or as a number."""
    if found is None:
        return None
    minutes = number(found) if isinstance(found, str) else found
    if type(minutes) in (int, float) and MINUTES_MIN <= minutes <= MINUTES_MAX:
        return int(minutes) if minutes == int(minutes) else float(minutes)
    said = strict_json.shown(found) if isinstance(found, str) else fields.shown(found)
    raise errors.BadRequest(
        f"`minutes` is {said}; it must be a number from {MINUTES_MIN:f} to {MINUTES_MAX}"
    )


async def command(request: Request) -> Answer:
    """Carry out `{"command": "SET" | "GET" | "DELETE", "attributes": {...}}`."""
    conditions.refuse(request, why="a command has none; use /v1/keys")
    request.only()
    message = await request.json_object()
    reading = Reading(request.limits, values.pack)
    name, op, args = commands.read(message, reading)
    # Both are judged, whichever the command has: what is wrong is never passed over.
    since, named = conditions.minimum(request), conditions.once(request, op.name, args["key"])
    more = named if op.writes else since
    args |= {one: op.fields[one].check(said, one, reading) for one, said in more.items()}
    done = await request.ask(op, args)
    told = commands.answer(name, args["key"], done, args.get("value"))
    return json_answer(told, headers=position(request.service, done))
