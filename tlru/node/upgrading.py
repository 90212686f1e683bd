"""Who may open a WebSocket, and how those are told who may not: as errors of the HTTP side are.

This module judges a handshake: its origin, its path, its token and its subprotocols, and whether
there is room. One that cannot be read at all, as one with a body, is told so and it is over with
that, since two readers could disagree about where it ends.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers, MultipleValuesError
from websockets.exceptions import SecurityError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from tlru.access.authority import UnknownKeyError
from tlru.access.grant import Grant
from tlru.errors import (
    BadRequest,
    Forbidden,
    Overloaded,
    TlruError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from tlru.node import rules
from tlru.node.access.access import token_of
from tlru.node.http.problems import PROBLEM_JSON, advice, document
from tlru.node.service import CacheService
from tlru.wire import codec as codecs
from tlru.wire import strict_json

if TYPE_CHECKING:
    from tlru.node.server import Node

FULL_S: Final = 1.0  # after this, there may be room again

_asking: Final[set[asyncio.Task[None]]] = set()  # for keys that are not known; else it might end


@dataclass(frozen=True, slots=True)
class Welcome:
    """A WebSocket is opened."""

    service: CacheService
    codec: type[codecs.MsgpackCodec] | type[codecs.JsonCodec]
    offered: bool  # whether the client named a subprotocol at all
    grant: Grant


def judge(node: Node, request: Request, now: float) -> Welcome | Response:
    """Whether this client may have one, or the answer that says why not."""
    # A page of any origin can open a WebSocket to this machine: it may only if it is let.
    try:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
    except MultipleValuesError as exc:
        return refused(400, BadRequest(f"the request has the header {exc} more than once"))
    if host is None:
        return refused(400, BadRequest("a request has exactly one Host header"))
    # The dashboard of a node that has died goes on by way of another.
    problem = node.origins.refusal(host, origin, safe=False, servers=node.server_urls())
    if problem is not None:
        return refused(403, Forbidden(problem))
    url = urlsplit(request.path)
    if url.path != "/ws":
        return refused(404, BadRequest(f"no WebSocket at {url.path[:80]!r}; it is at /ws"))
    name = parse_qs(url.query).get("cache", ["default"])[0]
    service = node.services.get(name)
    if service is None:
        return refused(404, BadRequest(f"there is no cache {name[:80]!r} here"))
    if node.full:
        return refused(503, Overloaded("too many connections; come later", after=FULL_S))
    if node.draining:
        return refused(503, Unavailable("the node is about to stop", code="draining"))
    grant = _grant_of(node, request)
    if isinstance(grant, Response):
        return grant
    refusal = service.guard.connection(grant.client_class, now)
    if refusal is not None:
        return refused(refusal.http_status, refusal)
    offered = [
        word.strip()
        for header in request.headers.get_all("Sec-WebSocket-Protocol")
        for word in header.split(",")
    ]
    codec = codecs.choose(offered)
    if codec is None:
        known = ", ".join(each.name for each in codecs.CODECS)
        return refused(400, BadRequest(f"none of the subprotocols is known; {known} are"))
    return Welcome(service, codec, bool(offered), grant)


def _grant_of(node: Node, request: Request) -> Grant | Response:
    """What the token that the upgrade carries allows, or what newcomers may."""
    access = node.access
    try:
        header = request.headers.get("Authorization")
        if header is not None and access.enabled:
            return access.at_once(token_of(header))
    except MultipleValuesError:
        return refused(400, BadRequest("the request has Authorization more than once"))
    except UnknownKeyError as error:
        if not access.may_learn:
            return refused(401, error)
        # Somebody has to ask for the key; this client may come again once it has come.
        task = asyncio.get_running_loop().create_task(access.look_for_keys())
        _asking.add(task)
        task.add_done_callback(_asking.discard)
        return refused(503, Unavailable("the keys of tokens are looked for; come again", after=1.0))
    except Unauthenticated as error:
        return refused(401, error)
    return access.newcomer


def refused(status: int, error: TlruError) -> Response:
    """No WebSocket, and why."""
    body = strict_json.dumps(document(error, status))
    headers = Headers(
        [
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", PROBLEM_JSON),
        ]
    )
    headers.update(advice(error))
    return Response(status, HTTPStatus(status).phrase, headers, body)


def no_opening(request: Request, response: Response) -> Response:
    """The answer to an opening that `websockets` finds to be none, in the form of all others."""
    words = (response.body or b"").decode().strip()
    answer = refused(rules.status(request, response.status_code), BadRequest(words))
    if answer.status_code == 426:
        answer.headers.update(rules.WANTED)
    return answer


def unreadable(protocol: ServerProtocol) -> Response | None:
    """The answer to a handshake that cannot be read; None where it can."""
    problem = protocol.handshake_exc
    if problem is None:
        return None
    if isinstance(problem, SecurityError):
        return refused(431, TooLarge("a line of the request's head is too long, or they are many"))
    words = str(problem.__cause__ or problem).partition(":")[0]  # what follows repeats what came
    return refused(400, BadRequest(f"the handshake cannot be read: {words}"))
