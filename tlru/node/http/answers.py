"""What a request is answered with, before it is aiohttp's: status, body and headers.

This module decides which headers every answer has. A stranger's bytes are served from our origin
with the content type that the stranger chose, so nothing that is answered may be guessed at, run,
framed, or embedded by another site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from aiohttp import web

from tlru.wire.codec import JsonCodec
from tlru.wire.limits import Limits

JSON = "application/json"

encode = JsonCodec(Limits()).encode
"""An object as JSON; every `bytes` in it is a value, and is shown with tags."""

_EVERY_ANSWER = {
    "Server": "tlru",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-site",
}

_NONE: Mapping[str, str] = MappingProxyType({})


class Stream(Protocol):
    """A body that goes on for as long as there is something to say."""

    async def send(self, raw: web.BaseRequest, response: web.StreamResponse) -> None:
        """Send the head, and then whatever comes; done when it is over."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Its headers win over those that every answer has."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    close: bool = False
    stream: Stream | None = None
    """In place of a body; whoever takes the answer sends it."""

    def to_aiohttp(self, more: Mapping[str, str] = _NONE) -> web.StreamResponse:
        """The answer as aiohttp sends it, with `more` headers of the connection's."""
        headers = {**_EVERY_ANSWER, **self.headers, **more}
        if vary := [each["Vary"] for each in (self.headers, more) if "Vary" in each]:
            headers["Vary"] = ", ".join(vary)
        if self.body or self.stream is not None:
            headers["Content-Type"] = self.content_type
        response: web.StreamResponse
        if self.stream is not None:
            response = web.StreamResponse(status=self.status, headers=headers)
        else:
            response = web.Response(status=self.status, body=self.body or None, headers=headers)
        if self.close:
            response.force_close()
        return response


def json_answer(
    message: dict[str, Any], status: int = 200, headers: Mapping[str, str] = _NONE
) -> Answer:
    """An answer in JSON; every `bytes` in the message is a value."""
    return Answer(status, encode(message), JSON, headers)
