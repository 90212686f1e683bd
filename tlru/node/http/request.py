"""One HTTP request as the routes see it: what it asks for, its body, and the way to the cache.

This module decides how a body is read and how long that may take, and how the text of a query
becomes fields that `checked` judges: the same check with the same words as over the WebSocket.
Text that is no number stays text, so that the check is what refuses it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import msgpack
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from tlru import errors
from tlru.access.grant import EVERYTHING, Grant
from tlru.node.http.asking import Asking, Fields
from tlru.node.http.problems import NotFound, SlowBody, WrongMediaType
from tlru.node.rests import LARGE_BYTES
from tlru.node.service import CacheService
from tlru.node.turns import LEAST_RANK
from tlru.wire import strict_json, traceparent, values
from tlru.wire.fields import Reading
from tlru.wire.limits import Limits
from tlru.wire.requests import OPS, Op, checked

if TYPE_CHECKING:
    from tlru.node.http.connection import HttpConnection
    from tlru.node.server import Node

BODY_WITHIN_S = 30.0  # how long a body may take to arrive

_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_INTEGER_CHARS = 20  # what is longer is over every bound in its first digits already
_FLAGS = {"": True, "true": True, "1": True, "false": False, "0": False}


def number(text: str) -> Any:
    """The number that a text is, or the text itself."""
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _integer_or_text(text: str) -> Any:
    return int(text[:_INTEGER_CHARS]) if _INTEGER.fullmatch(text) else text


def _flag(text: str) -> Any:
    return _FLAGS.get(text.lower(), text)


# Fields of operations that a query may carry, and how their text is read.
IN_QUERY: Mapping[str, Callable[[str], Any]] = {
    "key": str,
    "ttl": number,
    "keep_ttl": _flag,
    "rev": _integer_or_text,
    "ack": str,
    "read": str,
    "timeout": number,
    "by": number,
    "prefix": str,
    "after": str,
    "limit": number,
    "values": _flag,
    "channel": str,
    "channel_prefix": str,
    "pattern": str,
    "send": str,
    "snapshot": _flag,
    "fold": _flag,
    "since": str,
    "cache": str,
    "ticket": str,
}


class Request:
    """A request that has found its route."""

    def __init__(
        self, node: Node, raw: web.BaseRequest, place: str | None, query: Mapping[str, str]
    ) -> None:
        self.node = node
        self.place = place  # what the path names: a key, a channel or a node, decoded
        self.query = query
        self.given: Mapping[str, Any] = {}  # the object that the body was, as it came
        self.grant = EVERYTHING  # unless the node asks who it is
        self._raw = raw
        self.goes_on = False  # what it asks for, when it has been answered
        self.runs_the_cluster = False  # then it is let in, whatever the limits are

    # -- what it says

    @property
    def limits(self) -> Limits:
        """The node's limits."""
        return self.node.limits

    @property
    def remote(self) -> str:
        """The address that the request came from."""
        return self._raw.remote or ""

    @property
    def head_only(self) -> bool:
        """Whether only the head of the answer is asked for."""
        return self._raw.method == "HEAD"

    @property
    def page(self) -> str | None:
        """Whose page asks; None where it is one of ours, or none."""
        return self.node.origins.of_page(self.header("Host"), self.header("Origin"))

    def header(self, name: str) -> str | None:
        """A header that may be sent once; None where it is not there."""
        found = self._raw.headers.getall(name, None)
        if found is None:
            return None
        if len(found) > 1:
            raise errors.BadRequest(f"the header {name} stands twice; which one is meant?")
        return found[0].strip()

    def header_list(self, name: str) -> str | None:
        """A header whose values are a list, however many lines it takes."""
        found = self._raw.headers.getall(name, None)
        return None if found is None else ", ".join(found)

    @cached_property
    def service(self) -> CacheService:
        """The cache that is spoken to."""
        if (service := self.node.services.get(self.cache)) is None:
            raise NotFound(f"there is no cache {strict_json.shown(self.cache)} here")
        return service

    @property
    def cache(self) -> str:
        """The name of the cache that is spoken to, whether or not there is one."""
        return self.header("Tlru-Cache") or "default"

    def taken(self, *names: str) -> Fields:
        """The query as fields of an operation; only those that are named may stand in it."""
        self.only(*names)
        return {name: IN_QUERY[name](text) for name, text in self.query.items()}

    def only(self, *names: str) -> None:
        """Refuse what the query should not have."""
        if unknown := [name for name in self.query if name not in names]:
            known = f"known are {', '.join(names)}" if names else "none is known here"
            raise errors.BadRequest(
                f"unknown fields in the query: {', '.join(map(strict_json.shown, unknown[:8]))}; "
                f"{known}"
            )

    def keyed(self, *names: str) -> Fields:
        """The same, with the key: it stands in the path, or else in the query."""
        if self.place is None:
            return self.taken("key", *names)
        return {"key": self.place, **self.taken(*names)}

    # -- its body

    @property
    def media_type(self) -> str | None:
        """The content type without its parameters; None where the request has none."""
        found = self.header("Content-Type")
        return found.partition(";")[0].strip().lower() if found else None

    @property
    def has_body(self) -> bool:
        """Whether the request has a body at all."""
        return self._raw.body_exists

    async def body(self) -> bytes:
        """All of the body, within the node's bound and in time."""
        bound = self.limits.message_bytes
        length = self._raw.content_length
        if length is not None and length > bound:
            raise errors.TooLarge(f"the body has {length} bytes; at most {bound} are allowed")
        self._count_bytes(length or 0)
        coding = self.header("Content-Encoding")
        if coding and coding.lower() != "identity":
            raise WrongMediaType("the body is compressed; send it as it is")
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                await self._say_go_on()
                found = await self._read(bound)
        except TimeoutError as exc:
            raise SlowBody(
                f"the body did not come within {BODY_WITHIN_S:g} s", outcome_known=True
            ) from exc
        except (web.RequestPayloadError, HttpProcessingError) as exc:
            raise errors.BadRequest("the body is not framed as its headers say") from exc
        if length is None:
            self._count_bytes(len(found))  # it came in chunks, whose sum nobody had told
        if len(found) >= LARGE_BYTES:
            await self._turn_of_the_large()
        return found

    async def _turn_of_the_large(self) -> None:
        guard = self.service.guard
        if guard.rank(self.grant.client_class) == LEAST_RANK:
            await guard.turns.rests.turn()
        self.connection.large = True

    def _count_bytes(self, size: int) -> None:
        """RateLimited where clients of this class may send no more just now."""
        if self.runs_the_cluster or not size:
            return
        refusal = self.service.guard.refusal(self.grant.client_class, size)
        if refusal is not None:
            raise refusal

    async def pieces(self, bytes_max: int) -> AsyncIterator[bytes]:
        """The body as it comes, which may be longer than any message; no piece of it may be long in
        coming. TooLarge as soon as it is known to be longer than that."""
        length, taken = self._raw.content_length, 0
        if length is not None and length > bytes_max:
            raise errors.TooLarge(f"the body has {length} bytes; at most {bytes_max} are allowed")
        coding = self.header("Content-Encoding")
        if coding and coding.lower() != "identity":
            raise WrongMediaType("the body is compressed; send it as it is")
        try:
            await self._say_go_on()
            while True:
                async with asyncio.timeout(BODY_WITHIN_S):
                    piece = await self._raw.content.readany()
                if not piece:
                    return
                taken += len(piece)
                if taken > bytes_max:
                    raise errors.TooLarge(
                        f"the body has more than {bytes_max} bytes, which are allowed"
                    )
                yield piece
        except TimeoutError as exc:
            raise SlowBody(
                f"nothing of the body came for {BODY_WITHIN_S:g} s", outcome_known=True
            ) from exc
        except (web.RequestPayloadError, HttpProcessingError) as exc:
            raise errors.BadRequest("the body is not framed as its headers say") from exc

    async def _read(self, bound: int) -> bytes:
        taken = bytearray()
        while chunk := await self._raw.content.readany():
            taken += chunk
            if len(taken) > bound:
                raise errors.TooLarge(f"the body has more than {bound} bytes, which are allowed")
        return bytes(taken)

    async def _say_go_on(self) -> None:
        """Tell a client that waits for leave to send its body to go on."""
        if (self.header("Expect") or "").lower() == "100-continue":
            await self._raw.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._raw.writer.output_size = 0  # the answer itself has not begun

    async def json(self) -> Any:
        """What the body says in JSON."""
        media_type = self.media_type
        if media_type is not None and not is_json(media_type):
            raise WrongMediaType(
                f"the body is {strict_json.shown(media_type)}; send JSON, and say so: "
                "Content-Type: application/json"
            )
        return strict_json.parse(await self.body(), self.limits.containers)

    async def json_object(self, *, may_lack: bool = False) -> Fields:
        """The object that the body is; with `may_lack` an empty body is an empty object."""
        if may_lack and not self.has_body:
            return {}
        found = await self.json()
        if not isinstance(found, dict):
            raise errors.BadRequest("the body must be a JSON object")
        self.given = dict(found)
        return found

    # -- the way to the cache

    @property
    def connection(self) -> HttpConnection:
        """What it came by."""
        return cast("HttpConnection", self._raw.protocol)

    async def carry_out(self, name: str, fields: Fields, *, raw_value: bool = False) -> Fields:
        """Check an operation, have it carried out, and give its reply. Raises its error.

        With `raw_value` the value is bytes, not JSON."""
        op = OPS[name]
        reading = Reading(self.limits, msgpack.packb if raw_value else values.pack)
        return await self.ask(op, checked(op, fields, reading))

    def count_connection(self, service: CacheService, grant: Grant) -> None:
        """RateLimited where the class has no place for this connection."""
        self.connection.count_for(service.guard, grant.client_class, monotonic())

    def asking(self) -> Asking:
        """Somebody to ask for, as long as the request lasts."""
        self.count_connection(self.service, self.grant)
        trace = self._trace() if self.node.tracing.on else None
        return Asking(self.service, self.node.http.asking, self.grant, trace)

    def _trace(self) -> traceparent.Parent | None:
        """The trace that the request belongs to. What is none is passed over: it is most often a
        proxy that sends it, which the client cannot help."""
        found = self._raw.headers.getall(traceparent.HEADER, ())
        return traceparent.parse(found[0].strip()) if len(found) == 1 else None

    async def ask(self, op: Op, args: Fields) -> Fields:
        """Have a checked operation carried out, and give its reply. Raises its error."""
        with self.asking() as asking:
            answer = await asking.ask(op, args)
        if isinstance(answer, errors.TlruError):
            raise answer
        return answer


def is_json(media_type: str) -> bool:
    """Whether a body of the type is read as JSON."""
    return media_type == "application/json" or media_type.endswith("+json")
