"""Errors as HTTP tells them: `application/problem+json`, and what HTTP alone can get wrong.

This module decides the form of an error answer. Its `code` and `retry` are those of the protocol,
so that a program branches on the same words over HTTP and over the WebSocket; the errors here are
those that a WebSocket client cannot meet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from tlru import errors
from tlru.node.http.answers import Answer, encode

PROBLEM_JSON = "application/problem+json"


class HttpError(errors.TlruError):
    """An error that only HTTP has; its answer may have headers of its own."""

    def __init__(
        self, message: str, headers: Mapping[str, str] | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.headers = dict(headers or {})


class NotFound(HttpError):
    """Nothing is kept under the key, or there is no cache or node of the name."""

    code = "not_found"
    http_status = 404


class NoSuchRoute(HttpError, errors.UnknownOp):
    """Nothing is served at the path."""

    http_status = 404


class MethodNotAllowed(HttpError, errors.UnknownOp):
    """The path is served, but not by this method."""

    http_status = 405


class SlowBody(HttpError, errors.Timeout):
    """The body did not come in time; nothing was done."""

    http_status = 408


class NoMembers(HttpError, errors.UnknownOp):
    """A log of one has no members to add, remove or hand the lead to."""

    http_status = 409


class NotApplied(HttpError):
    """What `If-Match` or `If-None-Match` demands does not hold: nothing was done."""

    code = "not_applied"
    http_status = 412


class OtherLife(HttpError, errors.WrongEpoch):
    """An ETag of another life of the cache: what it names cannot be there."""

    http_status = 412


class WrongMediaType(HttpError, errors.BadRequest):
    """The body is of a type or coding that is not read here."""

    http_status = 415


class NeedsUpgrade(HttpError, errors.BadRequest):
    """A WebSocket is here, and the request did not ask for one."""

    http_status = 426


class HeadTooLarge(HttpError, errors.TooLarge):
    """The request line or a header is longer than is read."""

    http_status = 431


def document(error: errors.TlruError, status: int) -> dict[str, Any]:
    """What tells an error, as RFC 9457 has it; also where a WebSocket is refused."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _sayable(error.message),
        "code": error.code,
        "retry": str(error.retry),
        **error.facts,
    }


def advice(error: errors.TlruError) -> dict[str, str]:
    """The headers that say when to come back, and with what."""
    told: dict[str, str] = {}
    if "after" in error.facts:
        told["Retry-After"] = str(max(1, math.ceil(error.facts["after"])))
    if isinstance(error, errors.Unauthenticated):
        told["WWW-Authenticate"] = "Bearer"
    return told


def problem(error: errors.TlruError, headers: Mapping[str, str] | None = None) -> Answer:
    """The answer that tells an error."""
    status = error.http_status
    told = dict(headers or {})
    if isinstance(error, HttpError):
        told |= error.headers
    told |= advice(error)
    # Whoever was too slow or too large may still be sending what nobody will read, and whoever
    # missed the WebSocket has nothing more to say here.
    close = isinstance(error, SlowBody | errors.TooLarge | NeedsUpgrade)
    return Answer(status, encode(document(error, status)), PROBLEM_JSON, told, close)


def _sayable(text: str) -> str:
    """Text that JSON can hold, though a stranger's part of it may be half a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode()
