"""An HTTP client that sends exactly what it is told, and holds each answer against its description.

It knows nothing of aiohttp: bytes go out over a socket, and what comes back is taken apart by
`http.client`. Every answer that `visit` gives has been compared with `/openapi.json`: the status
must be described, and the body must have no member that is not.
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from openapi_schema_validator import OAS31Validator

from tlru.errors import TlruError
from tlru.node import Node
from tlru.node.http.openapi import describe
from tlru.node.http.routes import ROUTES
from tlru.node.http.targets import split
from tlru.wire.limits import Limits

PATIENCE_S = 20
TURNS_MAX = 1_000_000

JSON = {"Content-Type": "application/json"}
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class Heard:
    """What a node answered."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        """The code of an error."""
        assert self.headers["content-type"] == "application/problem+json"
        told = self.json
        assert told["status"] == self.status
        return told["code"]


def path_of(key: str) -> str:
    """A key's own path, every byte of it percent-encoded that could mean something else."""
    return "/v1/keys/" + quote(key, safe="")


def request(
    method: str,
    target: str | bytes,
    *,
    body: bytes | None = None,
    json: Any = ...,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A request as bytes; the connection is to end with its answer."""
    told = {"Host": "localhost", "Connection": "close"}
    if json is not ...:
        body = to_json(json)
        told |= JSON
    if body is not None:
        told["Content-Length"] = str(len(body))
    told |= headers or {}
    head = b"".join(f"{name}: {text}\r\n".encode() for name, text in told.items())
    raw = target if isinstance(target, bytes) else target.encode()
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), raw, head, body or b"")


def to_json(value: Any) -> bytes:
    """A value as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


class _Bytes:
    """What `http.client` takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def parse(data: bytes, method: str) -> Heard:
    """The answer that bytes are."""
    response = http.client.HTTPResponse(_Bytes(data), method=method)  # type: ignore[arg-type]
    response.begin()  # it passes over any `100 Continue`
    body = b"" if response.getheader("Content-Type") == EVENT_STREAM else response.read()
    return Heard(response.status, {k.lower(): v for k, v in response.getheaders()}, body)


async def exchange(node: Node, data: bytes) -> bytes:
    """Send bytes, and read until the node ends the connection. Of an event stream, which it does
    not end, the head is enough here."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    heard = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(data)
            await writer.drain()
            while more := await reader.read(1 << 16):
                heard += more
                head, end, _ = heard.partition(b"\r\n\r\n")
                if end and b"Content-Type: text/event-stream" in head:
                    break
            return heard
    finally:
        writer.close()


async def visit(
    node: Node,
    method: str,
    target: str | bytes,
    *,
    body: bytes | None = None,
    json: Any = ...,
    headers: Mapping[str, str] | None = None,
) -> Heard:
    """Send one request, and give its answer, which is as it is described."""
    sent = request(method, target, body=body, json=json, headers=headers)
    heard = parse(await exchange(node, sent), method)
    check(method, target if isinstance(target, str) else target.decode("latin-1"), heard)
    return heard


async def until(holds: Callable[[], object]) -> None:
    """Let the loop turn until something holds, which must not take long."""
    for _ in range(TURNS_MAX):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come about")


async def put(node: Node, key: str, value: Any, **query: Any) -> Heard:
    """Keep a JSON value."""
    fields = "&".join(f"{name}={quote(str(each))}" for name, each in query.items())
    return await visit(node, "PUT", f"{path_of(key)}?{fields}", json=value)


async def get(node: Node, key: str, **headers: str) -> Heard:
    """Read a key; `If_Match` is the header If-Match."""
    told = {name.replace("_", "-"): text for name, text in headers.items()}
    return await visit(node, "GET", path_of(key), headers=told)


# -- answers against their description


@functools.cache
def document() -> Any:
    """The description of a node with the usual limits, its references resolved."""
    whole = describe(Limits())

    def resolved(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                found: Any = whole
                for name in part["$ref"].removeprefix("#/").split("/"):
                    found = found[name]
                return resolved(found)
            return {name: resolved(each) for name, each in part.items()}
        return [resolved(each) for each in part] if isinstance(part, list) else part

    return resolved(whole)


def check(method: str, target: str, heard: Heard) -> None:
    """Fail where an answer is not as it is described."""
    assert heard.headers["x-content-type-options"] == "nosniff"
    assert heard.headers["server"] == "tlru"
    if heard.status >= 400:
        _check_error(heard)
    try:
        path = ROUTES.find(method, split(target).path).route.path
    except TlruError:
        return
    described = document()["paths"][path]["get" if method == "HEAD" else method.lower()]
    answers = described["responses"]
    answer = answers.get(str(heard.status))
    if answer is None:
        assert heard.status >= 400, f"{method} {path} answers {heard.status}, undescribed"
        answer = answers["default"]
    _check_body(answer.get("content", {}), heard)


def _check_error(heard: Heard) -> None:
    if heard.body and heard.headers["content-type"] == "application/problem+json":
        told = heard.json
        assert told["type"] == "about:blank"
        assert told["title"]
        assert told["detail"]
        assert told["status"] == heard.status


def _check_body(content: Mapping[str, Any], heard: Heard) -> None:
    if not heard.body:
        return
    media_type = heard.headers["content-type"].partition(";")[0]
    assert media_type in content or "*/*" in content, f"{media_type} is not described"
    if media_type in content and media_type.endswith("json"):
        schema = content[media_type]["schema"]
        OAS31Validator(schema).validate(heard.json)
        assert_described(schema, heard.json)


def assert_described(schema: Any, found: Any) -> None:
    """Fail where an object has a member that its schema does not know."""
    if "anyOf" in schema or "oneOf" in schema:
        choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        fitting = [one for one in choices if OAS31Validator(one).is_valid(found)]
        own = set(schema.get("properties", {}))
        assert any(_is_known(one, found, own) for one in fitting), found
    elif isinstance(found, dict) and "properties" in schema:
        assert _is_known(schema, found, set()), found
        for name, each in found.items():
            if name in schema["properties"]:
                assert_described(schema["properties"][name], each)
    elif isinstance(found, list) and "items" in schema:
        for each in found:
            assert_described(schema["items"], each)


def _is_known(schema: Any, found: Any, own: set[str]) -> bool:
    if not isinstance(found, dict) or "properties" not in schema:
        return True
    more = schema.get("additionalProperties", False)
    if schema.get("anyOf"):
        known = own | set(schema["properties"])
        return any(_is_known(one, found, known) for one in schema["anyOf"])
    return bool(more) or set(found) <= set(schema["properties"]) | own
