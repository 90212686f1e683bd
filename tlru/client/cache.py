# ruff: noqa: ASYNC109 - a call's time goes to the node with it, so a timeout around the call, which
# would only cancel it, cannot take its place.
"""The cache as its user sees it, and `connect`, which makes one."""

from __future__ import annotations

import os
import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Final, TypeVar, overload

from tlru.client import replies
from tlru.client.cached import Decorator, decorator
from tlru.client.changes import Reader, Topic
from tlru.client.client import Client
from tlru.client.copying import Stale
from tlru.client.filling import Filling, Loader, OnError
from tlru.client.keys import KeyFor
from tlru.client.locks import Lock
from tlru.client.mirror import MIRROR_ENTRIES, Mirror, MirrorStale
from tlru.client.near import NEAR_ENTRIES, Near
from tlru.client.reading import Reading
from tlru.client.requests import Kind
from tlru.client.results import UNSET, Ttl, TtlOrUnset, seconds
from tlru.client.serializers import Msgpack, Serializer
from tlru.client.server import DEFAULT_CACHE, DEFAULT_URL, Server, named
from tlru.client.settings import DEFAULT_STAY_S, OnLink, Settings, Token
from tlru.client.tracing import of_current_span
from tlru.client.trust import trusting
from tlru.client.watching import Send, Watch
from tlru.client.writing import Writing

T = TypeVar("T")
S = TypeVar("S")

FILL_WAIT_S: Final = 5.0
LOCK_TTL_S: Final = 10.0


class Cache(Reading[T], Writing[T]):
    """A cache, or the part of it whose keys begin with a prefix.

    `tlru.connect` makes one. It connects at the first call, so it may be made at module level, and
    it starts afresh in a forked child and on another event loop. All parts (`at`) of a cache share
    one connection; what is asked in one turn of the event loop travels as one message.
    """

    # Parts.

    @overload
    def at(
        self,
        prefix: str,
        *,
        ttl: TtlOrUnset = ...,
        serializer: Serializer[S],
        timeout: float | None = ...,
    ) -> Cache[S]: ...
    @overload
    def at(
        self,
        prefix: str,
        *,
        ttl: TtlOrUnset = ...,
        serializer: None = ...,
        timeout: float | None = ...,
    ) -> Cache[T]: ...
    def at(
        self,
        prefix: str,
        *,
        ttl: TtlOrUnset = UNSET,
        serializer: Serializer[Any] | None = None,
        timeout: float | None = None,
    ) -> Cache[Any]:
        """The same face on the keys that begin with a prefix, which is then left out of them.

        What is not given stays as it is here. `ttl` is the life of what is set without one.
        """
        return Cache(
            self._client,
            self._serializer if serializer is None else serializer,
            prefix=self._prefix + prefix,
            ttl=self._life(ttl),
            timeout=self._timeout if timeout is None else timeout,
        )

    # Filling.

    async def get_or_set(
        self,
        key: str,
        load: Loader[T],
        ttl: TtlOrUnset = UNSET,
        *,
        stale: Ttl = None,
        on_error: OnError = "load",
        default: Any = None,
        wait: float = FILL_WAIT_S,
        timeout: float | None = None,
    ) -> T:
        """The value under a key; if there is none, what `load()` gives, which is then kept.

        One caller in the cluster loads while the others wait for it, up to `wait` seconds. With
        `stale`, a value is served that much longer than its `ttl` while one caller replaces it in
        the background. If the cache cannot be used, `on_error` says what happens: "load" calls
        `load` all the same, "raise" raises, "default" gives the default.
        """
        filling = self._filling(key, load, ttl, stale, on_error, default, wait, timeout)
        return await filling.get()

    def cached(
        self,
        ttl: TtlOrUnset = UNSET,
        *,
        key: KeyFor | str | None = None,
        stale: Ttl = None,
        on_error: OnError = "load",
        default: Any = None,
        wait: float = FILL_WAIT_S,
        timeout: float | None = None,
    ) -> Decorator:
        """A decorator that keeps what a function or coroutine function gives, by its arguments.

        `key` is a pattern of argument names ("user:{id}") or a function of the arguments; without
        one, the key is made of the function's name and its arguments. The rest is as for
        `get_or_set`. The function gets `.invalidate()`, `.refresh()` and `.key()`.
        """
        return decorator(_Store(self, ttl, stale, on_error, default, wait, timeout), key)

    def _filling(
        self,
        key: str,
        load: Callable[[], Any],
        ttl: TtlOrUnset,
        stale: Ttl,
        on_error: OnError,
        default: Any,
        wait: float,
        timeout: float | None,
        *,
        background: bool = True,
    ) -> Filling[T]:
        """How a key is filled, step by step: what `get_or_set` and decorated functions go by."""
        return Filling(
            client=self._client,
            serializer=self._serializer,
            key=self._prefix + key,
            load=load,
            ttl=self._life(ttl),
            stale=seconds(stale) or 0.0,
            on_error=on_error,
            default=default,
            wait=wait,
            timeout=self._timeout if timeout is None else timeout,
            background=background,
        )

    # Locks.

    def lock(
        self,
        name: str,
        ttl: Ttl = LOCK_TTL_S,
        *,
        wait: float | None = None,
        renew: bool = True,
        timeout: float | None = None,
    ) -> Lock:
        """A lock that the whole cluster respects, for `async with`.

        It waits for its turn, at most `wait` seconds (then it is a `Timeout`). It is held for `ttl`
        seconds, and with `renew` given new time from the background for as long as it is held.
        """
        return Lock(
            self._client,
            self._prefix + name,
            ttl=ttl,
            wait=wait,
            renew=renew,
            timeout=self._timeout if timeout is None else timeout,
        )

    # Watching.

    def watch(
        self,
        pattern: str = "*",
        *,
        since: str | None = None,
        snapshot: bool = False,
        fold: bool = False,
        send: Send = "values",
    ) -> Watch[T]:
        """Changes as they happen: `async for change in cache.watch("price:*")`.

        A pattern is a key, a beginning of keys (`price:*`), a channel (`#news`) or a beginning of
        channels (`#news:*`); without one it is all keys of this part of the cache. `since` is the
        `position` of an earlier change: what has happened behind it comes first. With `snapshot`
        first comes what there is, as `Set`s. `fold` lets one change stand for several of a key,
        where the watcher is behind. `send="keys"` leaves the values out.
        """
        return Watch(
            self._client,
            Topic.parse(pattern, self._prefix),
            Reader(self._serializer, self._prefix),
            since=since,
            snapshot=snapshot,
            fold=fold,
            send=send,
            timeout=self._timeout,
        )

    def near(
        self,
        max_entries: int = NEAR_ENTRIES,
        *,
        stale: Stale = "miss",
        timeout: float | None = None,
    ) -> Near[T]:
        """A copy of what is read, in memory, that the cluster keeps coherent: for `async with`.

        `stale` is what it does while that cannot be relied on (the connection is down): "miss" asks
        the cache, "serve" goes on from memory, "raise" raises `Unavailable`.
        """
        return Near(
            self._client,
            self._serializer,
            Topic.parse("*", self._prefix),
            prefix=self._prefix,
            max_entries=max_entries,
            stale=stale,
            timeout=self._timeout if timeout is None else timeout,
        )

    async def mirror(
        self,
        pattern: str = "*",
        *,
        max_entries: int = MIRROR_ENTRIES,
        stale: MirrorStale = "serve",
        timeout: float | None = None,
    ) -> Mirror[T]:
        """A live, read-only mapping of all keys of a pattern, once it has been filled.

        It is kept up until it is closed or dropped. `stale` is what it does while it cannot be
        relied on: "serve" goes on from memory, "raise" raises `Unavailable`.
        """
        topic = Topic.parse(pattern, self._prefix)
        if topic.kind not in ("key", "prefix"):
            raise ValueError(f"{pattern!r} is a channel: nothing of it is stored; watch it")
        mirror = Mirror(
            self._client,
            self._serializer,
            topic,
            prefix=self._prefix,
            max_entries=max_entries,
            stale=stale,
            timeout=self._timeout if timeout is None else timeout,
        )
        return await mirror.open()

    # The cluster.

    async def status(self, *, timeout: float | None = None) -> dict[str, Any]:
        """What the node in service says of itself."""
        return replies.facts(await self._ask({"op": "status"}, timeout, Kind.ASK))

    async def nodes(self, *, timeout: float | None = None) -> dict[str, Any]:
        """The members of the cluster, and who leads."""
        return replies.facts(await self._ask({"op": "nodes"}, timeout, Kind.ASK))

    async def node(self, id: str, *, timeout: float | None = None) -> dict[str, Any]:
        """One member of the cluster."""
        return replies.member(await self._ask({"op": "node", "node": id}, timeout, Kind.ASK))

    async def ping(self, *, timeout: float | None = None) -> float:
        """The seconds that the way to the node and back takes."""
        since = monotonic()
        await self._ask({"op": "ping"}, timeout, Kind.ASK)
        return monotonic() - since

    # Beginning and end.

    async def close(self) -> None:
        """Close the connection, for all parts of the cache. Who still waits is told so."""
        await self._client.close()

    async def __aenter__(self) -> Cache[T]:
        self._client.reopen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


@dataclass(frozen=True, slots=True)
class _Store:
    """A cache as the place where a decorated function's results are kept."""

    cache: Cache[Any]
    ttl: TtlOrUnset
    stale: Ttl
    on_error: OnError
    default: Any
    wait: float
    timeout: float | None

    async def fill(self, key: str, load: Callable[[], Any], *, anew: bool) -> Any:
        """The result under a key, or loaded."""
        filling = self.cache._filling(
            key, load, self.ttl, self.stale, self.on_error, self.default, self.wait, self.timeout
        )
        return await (filling.refresh() if anew else filling.get())

    def forget(self, key: str) -> Awaitable[int]:
        """Remove the result under a key."""
        return self.cache.delete(key, timeout=self.timeout)


def connect(
    *servers: str | Server,
    servers_file: str | os.PathLike[str] | None = None,
    region: str | None = None,
    zone: str | None = None,
    token: Token = None,
    timeout: float = 2.0,
    cache: str = DEFAULT_CACHE,
    serializer: Serializer[Any] | None = None,
    exactly_once: bool | None = None,
    ssl: tls.SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
    message_bytes_max: int = 64 << 20,
    stay_awake: float = DEFAULT_STAY_S,
    on_link: OnLink = None,
    tracing: bool = False,
) -> Cache[Any]:
    """A cache at these servers (`ws://host:8400`). Nothing is connected yet.

    The nearest that serves is used, and another when it fails; those that the cluster tells of are
    added. What a program knows of a server beside its address it may say with `tlru.Server`.
    `region` and `zone` are the client's own: of servers that are equally near, those of the same
    are preferred. `servers_file` is a file with a list of servers, which is kept as the cluster
    tells it.

    `token` is a token, or a function (a coroutine function too) that fetches one whenever a
    connection is made. `timeout` is what a call may take, in seconds. `cache` is the name of the
    cache at the servers. For `wss://` a server's certificate has to be vouched for: `ca` is a file
    with the authorities to believe, as PEM, in place of the system's; `ssl` a context of your own
    instead. `exactly_once` says which writes bear a name, under which they are applied
    once however often they have to be sent: True all, False none, None (the default) those whose
    repetition could do harm. `stay_awake` is how many seconds the event loop turns at most, instead
    of sleeping, where answers have come as soon as that; 0 lets it sleep always.
    `on_link` is called with the URL of a server that has come into service, and "";
    or with None and why, where there is none any more. With `tracing`, a write tells its node which
    span of OpenTelemetry is current where it is asked for, if that is recorded, so that the nodes'
    spans of it hang from that one.
    """
    settings = Settings(
        servers=named(servers or (() if servers_file else (DEFAULT_URL,)), cache),
        servers_file=None if servers_file is None else os.fspath(servers_file),
        region=region or "",
        zone=zone or "",
        token=token,
        timeout=timeout,
        cache=cache,
        exactly_once=exactly_once,
        ssl=trusting(ca, ssl),
        message_bytes_max=message_bytes_max,
        stay_awake=stay_awake,
        on_link=on_link,
        trace_now=of_current_span() if tracing else None,
    )
    return Cache(Client(settings), serializer or Msgpack(), timeout=timeout)
