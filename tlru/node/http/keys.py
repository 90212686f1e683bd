"""The routes of keys: read, write, delete, count, list.

This module decides what HTTP makes of an item: a value as JSON, or the bytes and content type that
were put; its version as an ETag; its life as `max-age`. The operations behind are the protocol's.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack

from tlru import errors
from tlru.engine.items import Item
from tlru.node.http import conditions
from tlru.node.http.answers import JSON, Answer, json_answer
from tlru.node.http.asking import Fields
from tlru.node.http.problems import HttpError, NotApplied, NotFound, OtherLife, problem
from tlru.node.http.request import Request, is_json
from tlru.node.service import CacheService
from tlru.wire import strict_json, values

OCTETS = "application/octet-stream"

_BIN_HEADS = (b"\xc4", b"\xc5", b"\xc6")  # what a bin of msgpack begins with

# The cache and the position that were asked for select what is answered.
VARY = "Tlru-Cache, Tlru-Position"

_READ = ("read", "timeout")
_WRITE = ("ack", "timeout")


def position(service: CacheService, fields: Fields) -> dict[str, str]:
    """The headers of every answer about data: how far this node had come."""
    pos = fields.get("pos", service.machine.index)
    headers = {"Tlru-Position": f"{service.log.epoch}-{pos}", "Vary": VARY}
    if "stale" in fields:
        headers["Tlru-Stale"] = f"{fields['stale']:.3f}"
    return headers


# -- reading


async def get(request: Request) -> Answer:
    """The value under a key."""
    fields = request.keyed(*_READ) | conditions.minimum(request)
    wanted, held = (conditions.tags(request, name) for name in ("If-Match", "If-None-Match"))
    found = await request.carry_out("get", fields)
    headers = position(request.service, found)
    if found["found"]:
        headers |= _of_item(request.service, found)
    tag = headers.get("ETag")
    if wanted is not None and not wanted.match(tag):
        return problem(NotApplied("the item is not the one that If-Match names"), headers)
    if not found["found"]:
        return problem(NotFound("nothing is kept under this key"), headers)
    if held is not None and held.match(tag, weakly=True):
        return Answer(304, headers=headers)
    body, content_type = shown(found)
    return Answer(200, body, content_type, headers)


def _of_item(service: CacheService, item: Fields) -> dict[str, str]:
    """The headers that an item has: which version it is, and how long it may be kept."""
    life = item.get("ttl")
    return {
        "ETag": conditions.etag(str(service.log.epoch), item["version"]),
        "Cache-Control": "no-cache" if life is None else f"max-age={max(0, math.floor(life))}",
    }


def shown(item: Fields) -> tuple[bytes, str]:
    """A value and its content type: the bytes that were put with one, or else JSON."""
    value, mime = item["value"], item.get("mime")
    if mime is not None and (octets := _octets(value)) is not None:
        return octets, mime
    return strict_json.dumps(values.unpack(value)), JSON


def _octets(value: bytes) -> bytes | None:
    """The bytes that a value is, or None where it is something else. Nothing else is decoded."""
    if value[:1] not in _BIN_HEADS:
        return None
    try:
        found = msgpack.unpackb(value)
    except (ValueError, msgpack.UnpackException):
        return None  # a client kept bytes that only begin like one
    return found if isinstance(found, bytes) else None


async def get_or_list(request: Request) -> Answer:
    """The value under `?key=`, or a page of keys."""
    if "key" in request.query:
        return await get(request)
    fields = request.taken("prefix", "after", "limit", "values", "read", "timeout")
    for name in ("If-Match", "If-None-Match"):
        conditions.tags(request, name)  # a page has no tag, but what is wrong is refused
    found = await request.carry_out("scan", fields | conditions.minimum(request))
    return json_answer(found, headers=position(request.service, found))


# -- writing


async def put(request: Request) -> Answer:
    """Keep a value under a key."""
    fields = request.keyed(*_WRITE, "ttl", "keep_ttl", "rev")
    fields |= _once(request, "set", fields)
    condition = _condition(request, fields, may_be_absent=True)
    media_type = request.media_type
    raw = media_type is None or not is_json(media_type)
    if raw:
        fields |= {"value": await request.body(), "mime": _mime(request)}
    else:
        fields["value"] = await request.json()
    was_there = _current(request, fields) is not None
    done = await request.carry_out("set", fields | condition, raw_value=raw)
    if condition:
        _refuse_unless_applied(request, _of(done, "applied"), done)
    return _written(request, done, created=not was_there and done.get("applied", False))


def _mime(request: Request) -> str:
    return request.header("Content-Type") or OCTETS


async def delete(request: Request) -> Answer:
    """Remove a key. One that is absent is no error: it is gone, which is what was wanted."""
    fields = request.keyed(*_WRITE, "rev")
    fields |= _once(request, "delete", fields)
    condition = _condition(request, fields, may_be_absent=False)
    done = await request.carry_out("delete", fields | condition)
    if condition:
        _refuse_unless_applied(request, _of(done, "deleted") > 0, done)
    return _written(request, done)


async def incr(request: Request) -> Answer:
    """Add to an integer; `by` and `ttl` stand in the query or in a JSON body."""
    conditions.refuse(request, why="an addition is right whatever was there")
    fields = request.keyed(*_WRITE, "by", "ttl")
    for name, found in (await request.json_object(may_lack=True)).items():
        if name in fields:
            raise errors.BadRequest(f"{strict_json.shown(name)} is given twice; write it once")
        fields[name] = found
    fields |= _once(request, "incr", fields)
    return _written(request, await request.carry_out("incr", fields))


async def publish(request: Request) -> Answer:
    """Send the JSON value that the body is to a channel."""
    conditions.refuse(request, why="a message replaces nothing")
    fields = request.taken("ack", "timeout") | {"channel": request.place}
    fields |= conditions.once(request, "publish", str(request.place))
    fields["value"] = await request.json()
    return _written(request, await request.carry_out("publish", fields), tagged=False)


def _once(request: Request, op: str, fields: Fields) -> dict[str, Any]:
    return conditions.once(request, op, str(fields.get("key")))


def _condition(request: Request, fields: Fields, *, may_be_absent: bool) -> dict[str, Any]:
    try:
        return conditions.for_write(request, may_be_absent=may_be_absent)
    except (NotApplied, OtherLife) as error:
        item = _current(request, fields)
        _tell_what_is_there(request, error, None if item is None else item.version)
        raise


def _current(request: Request, fields: Fields) -> Item | None:
    """What is under the key before the write; the write itself finds out anew."""
    service = request.service
    return service.machine.read(str(fields.get("key")), service.log.now())


def _of(done: Fields, name: str) -> Any:
    """A field of a reply. It may be the echo of another operation that was named alike."""
    if name not in done:
        raise errors.BadRequest("this Idempotency-Key has named another operation before")
    return done[name]


def _refuse_unless_applied(request: Request, applied: bool, done: Fields) -> None:
    if not applied:
        error = NotApplied("what If-Match or If-None-Match demands does not hold")
        _tell_what_is_there(request, error, done.get("version"), done)
        raise error


def _tell_what_is_there(
    request: Request, error: HttpError, version: int | None, done: Fields | None = None
) -> None:
    error.headers |= position(request.service, done or {})
    if version is not None:
        error.headers["ETag"] = conditions.etag(str(request.service.log.epoch), version)
        error.facts["version"] = version


def _written(
    request: Request, done: Fields, *, created: bool = False, tagged: bool = True
) -> Answer:
    """The answer to a write. Where its place is not yet known (`ack`), it was only accepted."""
    headers = position(request.service, done)
    if "version" not in done and "applied" not in done:
        return json_answer(done, 202, headers)
    if tagged and "deleted" not in done and done.get("version") is not None:
        headers["ETag"] = conditions.etag(str(request.service.log.epoch), done["version"])
    return json_answer(done, 201 if created else 200, headers)
