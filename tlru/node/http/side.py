"""`HttpSide`: takes connections from the door, requests from them, and answers each.

This module decides the order in which a request is judged (host and origin, path, query, the route
itself) and what every answer has in common. What the routes do is theirs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from aiohttp import web

from tlru import errors, logs
from tlru.access.rights import check_route, is_open
from tlru.node.access.access import token_of
from tlru.node.http import targets
from tlru.node.http.answers import Answer
from tlru.node.http.asking import Asking
from tlru.node.http.audited import audited
from tlru.node.http.connection import HttpConnection, Refusal
from tlru.node.http.cors import Cors
from tlru.node.http.descriptions import Descriptions
from tlru.node.http.event_stream import EventStream
from tlru.node.http.metrics import Metrics
from tlru.node.http.problems import HeadTooLarge, NoSuchRoute, problem
from tlru.node.http.request import Request
from tlru.node.http.routes import ROUTES
from tlru.node.http.snapshots import BackupStream
from tlru.node.http.tickets import Tickets
from tlru.node.turns import Timed

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

logger = logging.getLogger(__name__)

STOP_WITHIN_S = 1.0  # how long a stop waits for answers that are on their way
LEAVE_WITHIN_S = 1.0  # and how long, after that, for the last of them to be sent

HEADERS_MAX = 100  # browsers send a score of them, and proxies add a few

UNREAD = "unread"  # the route of a request that could not be read
UNKNOWN = "unknown"  # the route of a request that leads nowhere
NO_PLACE = frozenset(("open", "connections"))  # limits of connections, not of what is asked on them
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


class HttpSide:
    """Everything on a node's port that is no WebSocket."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.connections = 0  # open now
        self.connections_total = 0
        self._requests = 0  # so far; each has its number in the log
        self.asking: set[Asking] = set()  # requests that wait for a cache
        self.streams: set[EventStream] = set()
        self.backups: set[BackupStream] = set()  # that are being read
        self.tickets = Tickets()
        self.metrics = Metrics(node)
        self.go_by_config()
        self._server: web.Server | None = None

    def go_by_config(self) -> None:
        """Take up what the node is told now."""
        self.descriptions = Descriptions(self.node)
        self._origins = self.node.origins
        self._cors = Cors(self._origins)

    async def start(self) -> None:
        """Be ready for connections."""
        self._loop = asyncio.get_running_loop()
        self._server = web.Server(self._handle, handler_cancellation=True)

    async def stop(self, within: float = STOP_WITHIN_S) -> None:
        """Close what is idle, let what was asked be answered, and say no to what takes longer."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.pre_shutdown()
        patience = self._loop.call_later(within, self._give_up)
        await server.shutdown(within + LEAVE_WITHIN_S)
        patience.cancel()

    def now(self) -> float:
        """The time by which tickets are judged."""
        return self._loop.time()

    def streams_of(self, service: CacheService) -> list[EventStream]:
        """The streams of one cache's events."""
        return [stream for stream in self.streams if stream.service is service]

    def _give_up(self) -> None:
        for asking in list(self.asking):
            asking.give_up()

    def connection(self) -> asyncio.Protocol:
        """A protocol for a connection that the door hands over."""
        if self._server is None:  # it came in before the node stopped, and spoke after
            return Refusal()
        return HttpConnection(self, self._server)

    # -- requests

    async def _handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        turns, connection = self.node.strain.turns, cast(HttpConnection, raw.protocol)
        connection.large = False
        await turns.turn(self._rank(connection))
        return await Timed(
            self._respond(raw), turns, lambda: (self._rank(connection), connection.large)
        )

    def _rank(self, connection: HttpConnection) -> int:
        """Whose part of a turn a request takes, by what is known of its client: before it is read,
        that is who asked before on its connection, or nobody."""
        if (asks := connection.asks or connection.counted) is not None:
            guard, name = asks
            return guard.rank(name)
        anybody = next(iter(self.node.services.values())).guard
        return anybody.rank(self.node.access.newcomer.client_class)

    async def _respond(self, raw: web.BaseRequest) -> web.StreamResponse:
        began = self._loop.time()
        self._requests += 1
        logs.WHERE.set({"request": f"http-{self._requests}"})
        route, answer = await self._answer(raw)
        self._note(raw.method, route, answer, began)
        response = answer.to_aiohttp(self._cors.headers(raw.headers.get("Origin")))
        if self.node.draining:
            response.force_close()
        if answer.stream is not None:
            await answer.stream.send(raw, response)
        return response

    async def _answer(self, raw: web.BaseRequest) -> tuple[str, Answer]:
        route = UNKNOWN
        try:
            self._guard(raw)
        except errors.TlruError as error:
            self.node.rates.errors[error.code] += 1
            return route, replace(problem(error), close=True)
        try:
            target = targets.split(raw.raw_path)
            if raw.method == "OPTIONS":
                return route, self._options(raw, target.path)
            found = ROUTES.find(raw.method, target.path)
            route = found.route.path
            request = Request(self.node, raw, found.place, targets.fields(target.query))
            with audited(request, raw.method, route):
                await self._let_in(request, raw.method, route)
                return route, await found.handler(request)
        except errors.TlruError as error:
            self.node.rates.errors[error.code] += 1
            # A connection that its class has no place for is not kept.
            return route, replace(problem(error), close=error.facts.get("limit") in NO_PLACE)
        except ConnectionError:
            raise  # the client has gone; nobody is left to tell
        except Exception:
            logger.exception("a request failed in a way that nobody foresaw")
            self.node.rates.errors[errors.Internal.code] += 1
            return route, problem(errors.Internal("the node failed; its log says how"))

    async def _let_in(self, request: Request, method: str, route: str) -> None:
        """See who it is, and whether he may have this route."""
        access = self.node.access
        if not access.enabled:
            return
        header = request.header("Authorization")
        if header is not None and not is_open(method, route):
            request.grant = await access.grant_of(token_of(header))
        else:
            request.grant = access.newcomer
        service = self.node.services.get(request.cache)
        if service is not None:
            request.connection.asks = service.guard, request.grant.client_class
        ticket = "ticket" in request.query
        check_route(request.grant, method, route, time.time(), ticket=ticket)

    def look_who_watches(self, now: Callable[[], float]) -> Iterator[None]:
        """End the streams and backups of those who may not have them any more: one at each step."""
        for stream in list(self.streams):
            gone = stream not in self.streams
            if not gone and stream.standing.look(self.node.access, stream.service, stream, now()):
                stream.leave()
            yield
        for backup in list(self.backups):
            backup.look()

    def _guard(self, raw: web.BaseRequest) -> None:
        """Refuse what no request may be, or what somebody else's page makes a browser send."""
        if len(raw.headers) > HEADERS_MAX:
            raise HeadTooLarge(f"a request has at most {HEADERS_MAX} headers")
        if raw.version not in ((1, 0), (1, 1)):
            raise errors.BadRequest("HTTP/1.1 is spoken here, and 1.0; no other version")
        hosts = raw.headers.getall("Host", ())
        if len(hosts) > 1 or (not hosts and raw.version == (1, 1)):
            raise errors.BadRequest("a request has exactly one Host header")
        refusal = self._origins.refusal(
            hosts[0] if hosts else None, raw.headers.get("Origin"), safe=raw.method in SAFE
        )
        if refusal is not None:
            raise errors.Forbidden(refusal)

    def _options(self, raw: web.BaseRequest, path: str) -> Answer:
        allowed = ROUTES.allowed(path)
        if not allowed and path != "*":
            raise NoSuchRoute("nothing is served here; / lists what is")
        headers = {"Allow": allowed} if allowed else {}
        return Answer(204, headers=headers | self._cors.preflight(raw.headers, allowed))

    def answer_unread(self, error: errors.TlruError) -> web.StreamResponse:
        """The answer to a request that could not be read."""
        self.node.rates.errors[error.code] += 1
        answer = problem(error)
        self._note("?", UNREAD, answer, self._loop.time())
        return answer.to_aiohttp()

    def _note(self, method: str, route: str, answer: Answer, began: float) -> None:
        """Count a request, and log it: its route, never its key, which may be a secret."""
        self.node.rates.http[route, f"{answer.status // 100}xx"] += 1
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "http request",
                extra={
                    "method": method,
                    "route": route,
                    "status": answer.status,
                    "bytes": len(answer.body),
                    "ms": round((self._loop.time() - began) * 1000, 2),
                },
            )
