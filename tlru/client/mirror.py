"""A mirror: a part of the cache as a mapping in the program's memory, which is filled at once.

It decides what may be read while it cannot be relied on, and whom it tells of changes. It is read
from any thread; it changes on its own event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from time import monotonic
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, overload

from tlru.client import replies
from tlru.client.changes import (
    Change,
    Place,
    Reader,
    Reset,
    Topic,
    events_with_positions,
    items_with_positions,
)
from tlru.client.client import Client
from tlru.client.copies import Copies, Slot
from tlru.client.copying import Copy, Keeping
from tlru.client.results import Item, Reply, moment
from tlru.client.serializers import Serializer, load
from tlru.errors import BadValue, Timeout, TlruError, Unavailable

logger = logging.getLogger("tlru.client")

T = TypeVar("T")
D = TypeVar("D")
MirrorStale: TypeAlias = Literal["serve", "raise"]

MIRROR_ENTRIES: Final = 1_000_000


class Mirror(Copy[T], Mapping[str, T]):
    """All keys of a pattern and their values, as they are. Read-only; `cache.mirror` makes one."""

    def __init__(
        self,
        client: Client,
        serializer: Serializer[T],
        topic: Topic,
        *,
        prefix: str,
        max_entries: int,
        stale: MirrorStale,
        timeout: float,
    ) -> None:
        if stale not in ("serve", "raise"):
            raise ValueError(f'stale is "serve" or "raise" for a mirror, not {stale!r}')
        copies: Copies[T] = Copies(
            lambda key, packed: load(serializer, key, packed), entries_max=max_entries, whole=True
        )
        super().__init__(copies, topic, "values")
        self._client = client
        self._prefix = prefix
        self._stale = stale
        self._timeout = timeout
        self._reader = Reader(serializer, prefix)
        self._telling = _Telling(self._reader)

    def __repr__(self) -> str:
        return f"<tlru mirror of {self._topic}: {len(self._copies.slots)} keys>"

    # Reading.

    def __getitem__(self, key: str) -> T:
        slot = self._copies.slots.get(self._prefix + key)
        now = monotonic()
        if slot is not None and now < slot.until and now < self._copies.coherent_until:
            return cast(T, slot.value)
        found = self._look(key, now)
        if found is None:
            raise KeyError(key)
        return cast(T, found.value)

    @overload
    def get(self, key: str, default: None = ..., /) -> T | None: ...
    @overload
    def get(self, key: str, default: T | D, /) -> T | D: ...
    def get(self, key: str, default: Any = None, /) -> Any:
        """The value under a key, or the default."""
        slot = self._copies.slots.get(self._prefix + key)
        now = monotonic()
        if slot is not None and now < slot.until and now < self._copies.coherent_until:
            return slot.value
        found = self._look(key, now)
        return default if found is None else found.value

    def item(self, key: str) -> Item[T] | None:
        """The value under a key with what is known of it, or None."""
        now = monotonic()
        slot = self._look(key, now)
        if slot is None:
            return None
        ttl = None if slot.expires == float("inf") else slot.expires - now
        return Item(slot.value, slot.version, moment(slot.at), ttl, slot.rev)

    def __contains__(self, key: object) -> bool:
        self._check()
        slot = self._copies.slots.get(f"{self._prefix}{key}") if isinstance(key, str) else None
        return slot is not None and monotonic() < slot.expires

    def __iter__(self) -> Iterator[str]:
        self._check()
        cut = len(self._prefix)
        return iter([key[cut:] for key, _ in self._copies.living(monotonic())])

    def __len__(self) -> int:
        self._check()
        return len(self._copies.living(monotonic()))

    def items(self) -> ItemsView[str, T]:
        """Keys and values as they are now."""
        return self.copy().items()

    def values(self) -> ValuesView[T]:
        """The values as they are now."""
        return self.copy().values()

    def copy(self) -> dict[str, T]:
        """A dict of what there is now, which does not change any more."""
        self._check()
        now, cut = monotonic(), len(self._prefix)
        looked = [(key, self._copies.look(key, now)) for key in tuple(self._copies.slots)]
        return {key[cut:]: slot.value for key, slot in looked if slot is not None}

    def _look(self, key: str, now: float) -> Slot | None:
        self._check()
        return self._copies.look(self._prefix + key, now)

    def _check(self) -> None:
        """Refuse to be read where that would be wrong, or is not wanted."""
        keeping = self._keeping
        if keeping is None:
            raise Unavailable(f"{self!r} is closed")
        if keeping.error is not None:
            raise replies.retold(keeping.error, keeping.error.message)
        if self._stale == "raise" and not keeping.coherent:
            raise Unavailable(f"the mirror of {self._topic} is not coherent now")

    # Changes.

    def on_change(self, function: Callable[[Change[T]], object]) -> Callable[[], None]:
        """Have this called with every change from now on, on the mirror's event loop, when the
        mirror has it. Gives what ends that. What it raises is logged."""
        return self._telling.add(function)

    # Beginning and end.

    async def open(self) -> Mirror[T]:
        """Fill it, and keep it up from now on."""
        if self._keeping is not None:
            return self
        keeping = self._begin(self._client.exchange(), snapshot=True)
        keeping.told, keeping.begun_anew = self._telling.told, self._telling.begun_anew
        keeping.doubted = _Again(self._client, keeping, self._timeout).read
        try:
            async with asyncio.timeout(self._timeout):
                await keeping.until(lambda: self._copies.complete or keeping.error is not None)
        except TimeoutError:
            await self.close()
            what = f"the mirror of {self._topic} was not filled within {self._timeout:g} s"
            raise Timeout(what, outcome_known=True) from None
        if keeping.error is not None:
            await self.close()
            raise replies.retold(keeping.error, keeping.error.message)
        return self

    async def __aenter__(self) -> Mirror[T]:
        return await self.open()


class _Telling:
    """Who is told of a mirror's changes. It does not know the mirror, so it does not keep it."""

    def __init__(self, reader: Reader[Any]) -> None:
        self._reader = reader
        self._functions: list[Callable[[Change[Any]], object]] = []

    def add(self, function: Callable[[Change[Any]], object]) -> Callable[[], None]:
        """One more; gives what ends that."""
        self._functions = [*self._functions, function]

        def stop() -> None:
            self._functions = [each for each in self._functions if each is not function]

        return stop

    def told(self, kind: str, place: Place, what: Sequence[Reply]) -> None:
        """Something has come. They are called in a turn of their own, in order."""
        if not self._functions:
            return
        if kind == "events":
            told = list(events_with_positions(place, what[-1]["version"], what))
        else:
            told = list(items_with_positions(place, what, last=False))
        asyncio.get_running_loop().call_soon(self._tell, told)

    def begun_anew(self, reason: str, place: Place) -> None:
        """Changes were missed."""
        reset = Reset(reason, place.pos, str(place))
        asyncio.get_running_loop().call_soon(self._call, reset)

    def _tell(self, told: list[tuple[Reply, str]]) -> None:
        for event, position in told:
            try:
                change = self._reader.change(event, position)
            except BadValue as exc:
                logger.warning("a change was passed over: %s", exc)
            else:
                self._call(change)

    def _call(self, change: Change[Any]) -> None:
        for function in self._functions:
            try:
                function(change)
            except Exception:
                logger.exception("%r has failed on %r", function, change)


class _Again:
    """Reads keys again to which something has happened that this release does not know."""

    def __init__(self, client: Client, keeping: Keeping[Any], timeout: float) -> None:
        self._client = client
        self._keeping = keeping
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()

    def read(self, key: str) -> None:
        """Read it, in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._read(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, key: str) -> None:
        copies = self._keeping.copies
        fill = copies.begin_fill(key, monotonic())
        if fill is None:
            return
        reply = None
        try:
            reply = await self._client.exchange().get(key, self._timeout)
        except TlruError as exc:
            logger.warning("%r has changed, and could not be read again: %s", key, exc)
        finally:
            copies.end_fill(key, fill, reply, self._keeping.born())
