"""From an address to a connection that may be used: TCP, TLS, the upgrade and `hello`.

Whatever goes wrong on the way becomes one of our errors, and says to which address it happened.
An error whose `retry` is `no` means that trying again by oneself is of no use.

A connection that is returned is open, has told its epoch and limits, and belongs to whoever asked;
one that is not returned has been closed.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import ssl as tls
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from tlru._version import __version__
from tlru.client import replies, together
from tlru.client.coming_back import TOO_FAST, after_in_header
from tlru.client.connection import Connection, Limits
from tlru.client.framing import Framing
from tlru.client.requests import Kind, Request, pack_fields
from tlru.client.results import Reply
from tlru.client.settings import Settings, Token
from tlru.client.tracing import FEATURE
from tlru.errors import Forbidden, RateLimited, TlruError, Unauthenticated, Unavailable

NOT_ALLOWED = 1008
NOT_AUTHENTICATED = 4401
PUSHES_MAX = 1024  # messages that a node may send before its connection is taken up
EXPLANATION_MAX = 200  # characters of a refused upgrade's body that are told


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection that is ready for use."""

    connection: Connection
    greeting: Reply
    pushes: list[Reply]
    """What came on it since, answers to what was asked for with `hello` included; the node may have
    asked to be left at once."""


class Greeter:
    """Owns a connection until `hello` is answered."""

    def __init__(self, hello: asyncio.Future[Reply]) -> None:
        self.pushes: list[Reply] = []
        self._hello = hello

    def answered(self, connection: Connection) -> None:
        """The reply is in its future already."""

    def settle(self, request: Request) -> None:
        """`hello` has no name."""

    def writable(self, connection: Connection) -> None:
        """There is nothing else to write."""

    def pushed(self, connection: Connection, message: Reply) -> None:
        """Kept for whoever takes the connection up; until then no more of it is read."""
        self.pushes.append(message)
        if self._hello.done():
            connection.hold()
        if len(self.pushes) > PUSHES_MAX:
            self._fail(Unavailable(f"it sent {PUSHES_MAX} messages instead of its hello"))
            connection.abort()

    def refused(self, connection: Connection, request: Request, error: Any) -> None:
        """The node does not want us."""
        self._fail(replies.error(error))

    def lost(self, connection: Connection) -> None:
        """The node closed instead of answering."""
        end = connection.end
        kinds: dict[int, type[TlruError]] = {
            NOT_AUTHENTICATED: Unauthenticated,
            NOT_ALLOWED: Forbidden,
            TOO_FAST: RateLimited,
        }
        self._fail(kinds.get(end.code, Unavailable)(end.problem, **_coming_back(end.after)))

    def _fail(self, error: TlruError) -> None:
        if not self._hello.done():
            self._hello.set_exception(error)
            self._hello.exception()  # the upgrade may have failed first, and told its own


async def open_connection(
    url: str,
    settings: Settings,
    loop: asyncio.AbstractEventLoop,
    number: Callable[[], int],
    patience: float,
    also: Callable[[], list[Request]] = list,
) -> Opened:
    """A connection to this address, within so many seconds. What is `also` asked for goes in one
    message with `hello`; its replies are among the `pushes`."""
    hello: asyncio.Future[Reply] = loop.create_future()
    try:
        framing = Framing(url, settings.message_bytes_max)
    except (InvalidURI, ValueError) as exc:  # a list that came from somewhere may hold anything
        raise Unavailable(f"it is no address that can be asked for: {exc}") from exc
    greeter = Greeter(hello)
    connection = Connection(url, framing, greeter, loop, settings.timing)
    try:
        async with asyncio.timeout(patience):
            greeting = await _open(connection, settings, loop, number, hello, also)
    except BaseException as exc:
        connection.abort()
        if isinstance(exc, Exception):
            raise _explained(url, exc, patience) from exc
        raise
    return Opened(connection, greeting, greeter.pushes)


async def _open(
    connection: Connection,
    settings: Settings,
    loop: asyncio.AbstractEventLoop,
    number: Callable[[], int],
    hello: asyncio.Future[Reply],
    also: Callable[[], list[Request]],
) -> Reply:
    token = await _fetch(settings.token)
    parts = urlsplit(connection.url)
    secure = parts.scheme == "wss"
    await loop.create_connection(
        lambda: connection,
        parts.hostname or "",
        parts.port or (443 if secure else 80),
        ssl=(settings.ssl or True) if secure else None,
    )
    await connection.upgraded
    client = f"{settings.name}/{__version__}"
    own = number()
    payload = pack_fields({"id": own, "op": "hello", "client": client, "token": token})
    requests = [Request(own, hello, payload, math.inf, Kind.ASK, None), *also()]
    connection.unanswered.update((request.number, request) for request in requests)
    connection.send([request.payload for request in requests])
    greeting = await hello
    if not connection.alive:
        raise Unavailable(connection.end.problem)  # between its greeting and this very moment
    _take_note(connection, greeting)
    return greeting


def _take_note(connection: Connection, greeting: Reply) -> None:
    epoch = greeting.get("epoch")
    if not isinstance(epoch, str):
        raise Unavailable("its hello names no epoch")
    connection.epoch = epoch
    features = greeting.get("features")
    connection.takes_traces = isinstance(features, list) and FEATURE in features
    told = greeting.get("limits")
    known = {
        name: told[name]
        for name in (field.name for field in fields(Limits))
        if isinstance(told, dict) and isinstance(told.get(name), int) and told[name] > 0
    }
    connection.limits = Limits(**known)
    connection.joins_sets = together.may_be_joined(greeting.get("may"), connection.limits)


async def _fetch(token: Token) -> str | None:
    if token is None or isinstance(token, str):
        return token
    try:
        fetched = token()
        return await fetched if inspect.isawaitable(fetched) else fetched
    except Exception as exc:
        raise Unavailable(f"the token could not be fetched: {exc!r}") from exc


def _explained(url: str, exc: Exception, patience: float) -> TlruError:
    if isinstance(exc, TlruError):
        return exc
    if isinstance(exc, TimeoutError):
        return Unavailable(f"it did not answer within {patience:g} s")
    if isinstance(exc, InvalidStatus):
        return _explained_status(exc)
    if isinstance(exc, InvalidHandshake):
        return Unavailable(f"it is no server of tlru: {exc}")
    if isinstance(exc, OSError):
        return Unavailable(_explained_os_error(exc))
    return Unavailable(f"it could not be opened: {exc!r}")


def _explained_os_error(exc: OSError) -> str:
    if exc.errno is None or exc.errno <= 0 or isinstance(exc, tls.SSLError):
        return str(exc) or type(exc).__name__
    return os.strerror(exc.errno).lower()  # asyncio's own words say which call failed, not why


def _explained_status(exc: InvalidStatus) -> TlruError:
    status = exc.response.status_code
    body = bytes(exc.response.body or b"").decode(errors="replace")[:EXPLANATION_MAX]
    kinds: dict[int, type[TlruError]] = {
        401: Unauthenticated,
        403: Forbidden,
        429: RateLimited,
    }
    told = f"it refused the upgrade: HTTP {status} {body}".strip()
    again = exc.response.headers.get_all("Retry-After")
    after = after_in_header(again[0]) if len(again) == 1 else 0.0
    return kinds.get(status, Unavailable)(told, **_coming_back(after))


def _coming_back(after: float) -> dict[str, float]:
    return {"after": after} if after else {}
