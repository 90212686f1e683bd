"""The blocking cache: the same names as the asyncio one, for programs without an event loop.

It decides nothing: each call is the asyncio client's, run on the client's own thread while the
calling thread waits. It may be shared by any number of threads, made at module level, and used
after a fork.

One thing is done otherwise: what is loaded (`get_or_set`, `cached`) is loaded in the calling
thread, where its database connections and thread-locals are. So a stale value is replaced not in
the background but by the one caller that meets it first; the others are served it meanwhile.
"""

from __future__ import annotations

import os
import ssl as tls
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar, overload

from tlru.client import cache as aio
from tlru.client.cache import FILL_WAIT_S, LOCK_TTL_S
from tlru.client.copying import Stale
from tlru.client.filling import OnError
from tlru.client.keys import KeyFor
from tlru.client.mirror import MIRROR_ENTRIES, MirrorStale
from tlru.client.near import NEAR_ENTRIES
from tlru.client.results import UNSET, Ttl, TtlOrUnset
from tlru.client.serializers import Serializer
from tlru.client.server import DEFAULT_CACHE, Server
from tlru.client.settings import DEFAULT_STAY_S, OnLink, Token
from tlru.client.watching import Send
from tlru.sync.cached import Decorator, decorator
from tlru.sync.lock import Lock
from tlru.sync.reading import Reading
from tlru.sync.thread import LoopThread
from tlru.sync.watching import Mirror, Near, Watch
from tlru.sync.writing import Writing

T = TypeVar("T")
S = TypeVar("S")


class Cache(Reading[T], Writing[T]):
    """A cache, or the part of it whose keys begin with a prefix, for any number of threads.

    `tlru.sync.connect` makes one. It connects at the first call, in a thread of its own.
    """

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
        part = self._cache.at(prefix, ttl=ttl, serializer=serializer, timeout=timeout)
        return Cache(part, self._thread)

    # Filling.

    def get_or_set(
        self,
        key: str,
        load: Callable[[], T],
        ttl: TtlOrUnset = UNSET,
        *,
        stale: Ttl = None,
        on_error: OnError = "load",
        default: Any = None,
        wait: float = FILL_WAIT_S,
        timeout: float | None = None,
    ) -> T:
        """The value under a key; if there is none, what `load()` gives, which is then kept.

        One caller in the cluster loads, in its own thread, while the others wait for it, up to
        `wait` seconds. With `stale`, a value is served that much longer than its `ttl` while one
        caller replaces it. If the cache cannot be used, `on_error` says what happens: "load" calls
        `load` all the same, "raise" raises, "default" gives the default.
        """
        return self._thread.call_with_load(
            lambda loading: self._cache._filling(
                key, loading, ttl, stale, on_error, default, wait, timeout, background=False
            ).get(),
            load,
        )

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
        """A decorator that keeps what a function gives, by its arguments.

        `key` is a pattern of argument names ("user:{id}") or a function of the arguments; without
        one, the key is made of the function's name and its arguments. The rest is as for
        `get_or_set`. The function gets `.invalidate()`, `.refresh()` and `.key()`.
        """
        return decorator(_Store(self, ttl, stale, on_error, default, wait, timeout), key)

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
        """A lock that the whole cluster respects, for `with`.

        It waits for its turn, at most `wait` seconds (then it is a `Timeout`). It is held for `ttl`
        seconds, and with `renew` given new time from the background for as long as it is held.
        """
        lock = self._cache.lock(name, ttl, wait=wait, renew=renew, timeout=timeout)
        return Lock(self._thread, lock)

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
        """Changes as they happen: `for change in cache.watch("price:*")`.

        A pattern is a key, a beginning of keys (`price:*`), a channel (`#news`) or a beginning of
        channels (`#news:*`); without one it is all keys of this part of the cache. `since` is the
        `position` of an earlier change: what has happened behind it comes first. With `snapshot`
        first comes what there is, as `Set`s. `fold` lets one change stand for several of a key,
        where the watcher is behind. `send="keys"` leaves the values out.
        """
        watch = self._cache.watch(pattern, since=since, snapshot=snapshot, fold=fold, send=send)
        return Watch(self._thread, watch)

    def near(
        self,
        max_entries: int = NEAR_ENTRIES,
        *,
        stale: Stale = "miss",
        timeout: float | None = None,
    ) -> Near[T]:
        """A copy of what is read, in memory, that the cluster keeps coherent: for `with`.

        `stale` is what it does while that cannot be relied on (the connection is down): "miss" asks
        the cache, "serve" goes on from memory, "raise" raises `Unavailable`.
        """
        return Near(self._thread, self._cache.near(max_entries, stale=stale, timeout=timeout))

    def mirror(
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
        mirror = self._run(
            lambda: self._cache.mirror(
                pattern, max_entries=max_entries, stale=stale, timeout=timeout
            )
        )
        return Mirror(self._thread, mirror)

    # The cluster.

    def status(self, *, timeout: float | None = None) -> dict[str, Any]:
        """What the node in service says of itself."""
        return self._run(lambda: self._cache.status(timeout=timeout))

    def nodes(self, *, timeout: float | None = None) -> dict[str, Any]:
        """The members of the cluster, and who leads."""
        return self._run(lambda: self._cache.nodes(timeout=timeout))

    def node(self, id: str, *, timeout: float | None = None) -> dict[str, Any]:
        """One member of the cluster."""
        return self._run(lambda: self._cache.node(id, timeout=timeout))

    def ping(self, *, timeout: float | None = None) -> float:
        """The seconds that the way to the node and back takes."""
        return self._run(lambda: self._cache.ping(timeout=timeout))

    # Beginning and end.

    def close(self) -> None:
        """Close the connection, for all parts of the cache. Who still waits is told so."""
        self._run(self._cache.close)
        self._thread.stop()

    def __enter__(self) -> Cache[T]:
        self._run(self._cache.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


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

    def fill(self, key: str, load: Callable[[], Any], *, anew: bool) -> Any:
        """The result under a key, or loaded."""
        aside, thread = self.cache._cache, self.cache._thread

        async def fill(loading: Callable[[], Any]) -> Any:
            filling = aside._filling(
                key,
                loading,
                self.ttl,
                self.stale,
                self.on_error,
                self.default,
                self.wait,
                self.timeout,
                background=False,
            )
            return await (filling.refresh() if anew else filling.get())

        return thread.call_with_load(fill, load)

    def forget(self, key: str) -> int:
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
    `on_link` is called in the client's own thread with the URL of a server that has come into
    service, and ""; or with None and why, where there is none any more. With `tracing`, a write
    tells its node which span of OpenTelemetry is current in the calling thread, if that is
    recorded, so that the nodes' spans of it hang from that one.
    """
    beneath = aio.connect(
        *servers,
        servers_file=servers_file,
        region=region,
        zone=zone,
        token=token,
        timeout=timeout,
        cache=cache,
        serializer=serializer,
        exactly_once=exactly_once,
        ssl=ssl,
        ca=ca,
        message_bytes_max=message_bytes_max,
        stay_awake=stay_awake,
        on_link=on_link,
        tracing=tracing,
    )
    return Cache(beneath, LoopThread())
