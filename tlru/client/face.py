"""What every face onto a cache has: a prefix, a serializer, a life for items, and patience.

It decides what all calls have in common on their way to the exchange: which writes bear a name, and
how a call's time is shared between the client and the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

from tlru.client import replies
from tlru.client.client import Client
from tlru.client.copying import seen
from tlru.client.exchange import Exchange
from tlru.client.requests import Kind, pack
from tlru.client.results import Ack, Reply, Ttl, TtlOrUnset, Unset, Written, seconds
from tlru.client.serializers import Serializer
from tlru.errors import TooLarge

T = TypeVar("T")
R = TypeVar("R")

# The node is given this much of a write's time, so that it can still say what became of it.
NODES_SHARE: Final = 0.9
NODES_TIME_MAX_S: Final = 3600.0


class Face(Generic[T]):
    """The part of a cache whose keys begin with a prefix."""

    def __init__(
        self,
        client: Client,
        serializer: Serializer[T],
        *,
        prefix: str = "",
        ttl: Ttl = None,
        timeout: float,
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"a timeout is a number of seconds above 0, not {timeout!r}")
        self._client = client
        self._serializer = serializer
        self._prefix = prefix
        self._ttl = seconds(ttl)
        self._timeout = timeout
        self._told = bytes(pack(_nodes_time(timeout)))
        self._answer: tuple[Reply | None, Written[T]] = (None, Written(applied=True))
        # Bound once: every value that is read goes through it.
        self._loads = serializer.loads

    def __repr__(self) -> str:
        part = f" at {self._prefix!r}" if self._prefix else ""
        return f"<tlru cache at {self._client.settings.place}{part}>"

    def _exchange(self) -> Exchange:
        return self._client.exchange()

    def _life(self, ttl: TtlOrUnset) -> float | None:
        """The seconds that an item is to live: as given, or as this part of the cache says."""
        return self._ttl if isinstance(ttl, Unset) else seconds(ttl)

    # Both give the exchange's own future: one coroutine less on the way of every call.

    def _ask(
        self, fields: dict[str, Any], timeout: float | None, kind: Kind = Kind.READ
    ) -> asyncio.Future[Reply]:
        given = self._timeout if timeout is None else timeout
        return self._exchange().ask(fields, given, kind)

    def _set(
        self, key: str, value: bytes, life: float | None, timeout: float | None
    ) -> asyncio.Future[Reply]:
        """Ask for a set of nothing but these: the path that has to be short."""
        if timeout is None:
            timeout, told = self._timeout, self._told
        else:
            told = bytes(pack(_nodes_time(timeout)))
        exchange = self._exchange()
        answer = exchange.set(key, value, life, timeout, told)
        return self._seen(exchange, answer, {"key": key}) if exchange.copies else answer

    def _written(self, key: str, reply: Reply) -> Written[T]:
        """What became of such a set. Those that left together share one answer, and what it says
        is the same for all of them."""
        known, written = self._answer
        if reply is not known:
            written = replies.written(self._serializer, key, reply)
            self._answer = reply, written
        return written

    def _write(
        self,
        fields: dict[str, Any],
        *,
        ack: Ack | None,
        timeout: float | None,
        exactly_once: bool | None,
        named: bool,
        bound: bool = False,
    ) -> asyncio.Future[Reply]:
        """Ask for a write. `named`: a repeat of it could do harm, so by default it has a name."""
        given = self._timeout if timeout is None else timeout
        fields["ack"] = ack
        fields["timeout"] = _nodes_time(given)
        kind = Kind.NAMED if self._is_named(exactly_once, by_default=named) else Kind.PLAIN
        exchange = self._exchange()
        answer = exchange.ask(fields, given, kind, bound=bound)
        return self._seen(exchange, answer, fields) if exchange.copies else answer

    def _is_named(self, exactly_once: bool | None, *, by_default: bool) -> bool:
        """Whether a write bears a name: as its caller says, or else as the client was told."""
        asked = self._client.settings.exactly_once if exactly_once is None else exactly_once
        return by_default if asked is None else asked

    @staticmethod
    def _seen(
        exchange: Exchange, answer: asyncio.Future[Reply], fields: dict[str, Any]
    ) -> asyncio.Future[Reply]:
        """The answer to a write, once it is to be seen in the copies of what it changes."""
        concerned = [copy for copy in exchange.copies if copy.covers(fields)]
        return exchange.loop.create_task(seen(answer, concerned)) if concerned else answer

    async def _in_parts(
        self, keys: Sequence[str], ask: Callable[[Sequence[str]], Awaitable[R]]
    ) -> list[R]:
        """What a call about many keys gives, in as few requests as the node's limits allow."""
        most = self._exchange().limits.keys
        if len(keys) > most:
            parts = [keys[start : start + most] for start in range(0, len(keys), most)]
            return _joined(await asyncio.gather(*(self._in_parts(part, ask) for part in parts)))
        try:
            return [await ask(keys)]
        except TooLarge:
            if len(keys) == 1:
                raise
        # Too many bytes, or a node with lower limits than are usual; it was not done.
        half = len(keys) // 2
        halves = (self._in_parts(keys[:half], ask), self._in_parts(keys[half:], ask))
        return _joined(await asyncio.gather(*halves))


def _nodes_time(timeout: float) -> float:
    """What a node is told of the time that there is for a write."""
    return min(timeout * NODES_SHARE, NODES_TIME_MAX_S)


def _joined(parts: Iterable[list[R]]) -> list[R]:
    return [each for part in parts for each in part]
