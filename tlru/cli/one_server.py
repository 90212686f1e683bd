"""What one server says of itself over a WebSocket, whatever its status is.

A client of the cache passes over a server that does not serve, and waits for one that does: it is
right to. Who asks how a server is wants its word most of all when it does not serve. So this speaks
to that server alone, over a connection of its own, and asks nothing else of it.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from tlru.cli.target import Target
from tlru.errors import Timeout, Unavailable

if TYPE_CHECKING:
    from tlru.client.connection import Connection
    from tlru.client.requests import Request

Facts = dict[str, Any]  # Any: what a node says of itself, which may be more than we know


class _Owner:
    """Owns the connection: what is asked is answered, refused, or lost with it."""

    def answered(self, connection: Connection) -> None:
        """The reply is in its future already."""

    def settle(self, request: Request) -> None:
        """Nothing is asked here that has a name."""

    def writable(self, connection: Connection) -> None:
        """There is nothing more to write."""

    def pushed(self, connection: Connection, message: Facts) -> None:
        """What the cluster tells its clients is none of this one's business."""

    def refused(self, connection: Connection, request: Request, error: Any) -> None:
        """The node does not say."""
        from tlru.client import replies

        request.tell(replies.error(error))

    def lost(self, connection: Connection) -> None:
        """Nothing more will come."""
        for request in connection.unanswered.values():
            request.tell(Unavailable(f"{connection.url}: {connection.end.problem}"))


async def look_at(target: Target, server: str) -> Facts:
    """Its `status`, and how many milliseconds away it is. TlruError where it does not say."""
    from tlru.cli.reach import reachable
    from tlru.client.opening import open_connection
    from tlru.client.server import named
    from tlru.client.settings import Settings
    from tlru.client.trust import trusting

    await reachable((server,), target.cache, target.timeout)
    (place,) = named((server,), target.cache)
    tls = trusting(target.ca)
    settings = Settings((place,), cache=target.cache, token=target.bearer, ssl=tls)
    number = itertools.count(1).__next__
    loop = asyncio.get_running_loop()
    opened = await open_connection(place.url, settings, loop, number, target.timeout)
    connection = opened.connection
    connection.owner = _Owner()
    connection.resume()  # which was held where anything came behind its greeting
    try:
        async with asyncio.timeout(target.timeout):
            facts = await _ask(connection, "status", number)
            since = monotonic()
            await _ask(connection, "ping", number)
            facts["round_trip_ms"] = round((monotonic() - since) * 1_000, 3)
    except TimeoutError:
        raise Timeout(
            f"{server} took the connection, and did not say within {target.timeout:g} s how it is"
        ) from None
    finally:
        connection.close()
        await connection.gone
    return facts


async def _ask(connection: Connection, op: str, number: Callable[[], int]) -> Facts:
    from tlru.client import replies
    from tlru.client.requests import Kind, Request, pack_fields

    own = number()
    future: asyncio.Future[Facts] = asyncio.get_running_loop().create_future()
    request = Request(own, future, pack_fields({"id": own, "op": op}), math.inf, Kind.ASK, None)
    connection.unanswered[own] = request
    connection.send([request.payload])
    return dict(replies.facts(await future))
