"""How somebody is told that no WebSocket is opened for him: as errors of the HTTP side are told.

This module decides the form of that answer, and what is said to a handshake that cannot be read at
all, such as one with a body: it is over with that, since two readers could disagree about its end.
"""

from __future__ import annotations

import math
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.exceptions import SecurityError
from websockets.http11 import Response
from websockets.server import ServerProtocol

from tlru.errors import BadRequest, TlruError, TooLarge
from tlru.wire import strict_json


def refused(status: int, error: TlruError) -> Response:
    """No WebSocket, and why."""
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "retry": str(error.retry),
        **error.facts,
    }
    body = strict_json.dumps(problem)
    headers = Headers(
        [
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", "application/problem+json"),
        ]
    )
    if "after" in error.facts:
        headers["Retry-After"] = str(max(1, math.ceil(error.facts["after"])))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(status, HTTPStatus(status).phrase, headers, body)


def unreadable(protocol: ServerProtocol) -> Response | None:
    """The answer to a handshake that cannot be read; None where it can."""
    problem = protocol.handshake_exc
    if problem is None:
        return None
    if isinstance(problem, SecurityError):
        return refused(431, TooLarge("a line of the request's head is too long, or they are many"))
    words = str(problem.__cause__ or problem).partition(":")[0]  # what follows repeats what came
    return refused(400, BadRequest(f"the handshake cannot be read: {words}"))
