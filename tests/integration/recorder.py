"""Real clients that contend for a few keys, and write down what they are told.

Each is a session of its own with one call under way: it sets, adds, deletes and reads registers,
counts, and writes under the condition that nobody else did. What they were told is judged in the
end (`history.py`), together with what the counted keys hold then.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import tlru
from tests.integration.history import MICRO, History
from tests.running import until
from tests.simulation.histories import Did, Observation, Outcome
from tests.simulation.linearizability import Call, Kind, Value
from tlru.client.requests import Kind as RequestKind
from tlru.client.session import Session
from tlru.errors import Retry, TlruError

T = TypeVar("T")

_spaces = itertools.count()  # histories of one cluster have keys of their own: each begins absent

TIMEOUT_S = 20.0
PACE_S = 0.004  # between one call of a client and the next: the machine is for the nodes
REGISTERS, COUNTERS, CHAINS = 3, 2, 1  # keys of each kind, few enough for clients to contend
LIFE_S = 3600.0


def now_us() -> int:
    """The clock of the history."""
    return time.monotonic_ns() * MICRO // 10**9


class Watched(tlru.Cache[Any]):
    """A cache that keeps the last reply as it came, which says of what position it is."""

    reply: dict[str, Any]

    @classmethod
    def connect(cls, urls: Sequence[str], timeout: float) -> Watched:
        """A client of these servers."""
        plain: tlru.Cache[Any] = tlru.connect(*urls, timeout=timeout)
        return cls(plain._client, plain._serializer, timeout=timeout)

    @property
    def session(self) -> Session:
        """How far it has seen."""
        return self._client.exchange().session

    def _ask(
        self,
        fields: dict[str, Any],
        timeout: float | None,
        kind: RequestKind = RequestKind.READ,
    ) -> asyncio.Future[dict[str, Any]]:
        return self._noted(super()._ask(fields, timeout, kind))

    def _write(self, *args: Any, **more: Any) -> asyncio.Future[dict[str, Any]]:
        return self._noted(super()._write(*args, **more))

    def _set(self, *args: Any) -> asyncio.Future[dict[str, Any]]:
        return self._noted(super()._set(*args))

    def _noted(self, future: asyncio.Future[dict[str, Any]]) -> asyncio.Future[dict[str, Any]]:
        def note(done: asyncio.Future[dict[str, Any]]) -> None:
            if not done.cancelled() and done.exception() is None:
                self.reply = done.result()

        future.add_done_callback(note)  # it runs before whoever awaits goes on
        return future


@dataclass(frozen=True)
class Keys:
    """The keys of one history."""

    registers: tuple[str, ...]
    counters: tuple[str, ...]
    chains: tuple[str, ...]

    @classmethod
    def anew(cls) -> Keys:
        """That nobody has used."""
        space = next(_spaces)
        kinds = (("register", REGISTERS), ("counter", COUNTERS), ("chain", CHAINS))
        return cls(*(tuple(f"{space}/{kind} {n}" for n in range(most)) for kind, most in kinds))

    @property
    def counted(self) -> tuple[str, ...]:
        """Those that hold numbers, which only grow."""
        return self.counters + self.chains

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return self.registers + self.counted


class Client:
    """One session."""

    def __init__(
        self, name: str, urls: Sequence[str], history: History, keys: Keys, timeout: float
    ) -> None:
        self.name = name
        self.keys = keys
        self.cache = Watched.connect(urls, timeout)
        self.done = 0  # calls that went well
        self.errors: list[TlruError] = []
        self.local_s: list[float] = []  # how long local reads took
        self.write_s: list[float] = []
        self._history, self._number, self._chance = history, 0, random.Random(name)
        self._known: dict[str, tuple[int, int]] = {}  # of chains: version and value, as last seen

    async def step(self) -> None:
        """Do one thing or another."""
        acts: tuple[Callable[[], Awaitable[None]], ...] = (
            *(self._set, self._set, self._add, self._delete, self._touch),
            *(self._incr, self._incr, self._chain, self._chain),
            *(self._read, self._read, self._look, self._look),
        )
        await self._chance.choice(acts)()

    # -- registers

    async def _set(self) -> None:
        value = self._value()
        await self._call(
            Kind.SET,
            self._register(),
            value,
            lambda key: self.cache.set(key, value),
            lambda _: None,
        )

    async def _add(self) -> None:
        value = self._value()
        await self._call(
            Kind.ADD,
            self._register(),
            value,
            lambda key: self.cache.add(key, value),
            lambda said: None if said.applied else said.current.value,
        )

    async def _delete(self) -> None:
        await self._call(
            Kind.DELETE, self._register(), None, lambda key: self.cache.delete(key), bool
        )

    async def _touch(self) -> None:
        """It changes no value: it has to be applied everywhere all the same."""
        await self._note(lambda: self.cache.touch(self._register(), LIFE_S))

    # -- numbers

    async def _incr(self) -> None:
        key = self._chance.choice(self.keys.counters)
        await self._call(Kind.INCR, key, 1, lambda key: self.cache.incr(key), lambda said: said)

    async def _chain(self) -> None:
        """Add one to what was read, if nobody else has done anything since."""
        key = self._chance.choice(self.keys.chains)
        if key not in self._known:
            await self._linear(key)
        version, value = self._known.pop(key, (0, 0))
        call = self._begin(Kind.INCR, key, 1)
        condition: Any = version or "absent"
        said = await self._note(lambda: self.cache.set(key, value + 1, if_=condition), call)
        if said is None:
            return
        if said.applied:
            assert said.version is not None, "what is committed has a version"
            self._known[key] = (said.version, value + 1)
            self._end(call, value + 1)
            self._observe(Did.WROTE, key, said.version)
        elif said.current is not None:  # it says what is there: a read, by the log's order
            self._known[key] = (said.current.version, said.current.value)
            self._end(replace(call, kind=Kind.GET, argument=None), said.current.value)
            self._observe(Did.READ, key, said.current.version)

    # -- reads

    async def _read(self) -> None:
        await self._linear(self._chance.choice(self.keys.all))

    async def _linear(self, key: str) -> None:
        call = self._begin(Kind.GET, key, None)
        minimum = self.cache.session.pos
        began = len(self.errors)
        item = await self._note(lambda: self.cache.item(key, read="linear"))
        if len(self.errors) == began:
            self._end(call, None if item is None else item.value)
            self._observe(Did.READ, key, 0 if item is None else item.version, minimum)
            if key in self.keys.chains and item is not None:
                self._known[key] = (item.version, item.value)

    async def _look(self) -> None:
        """A local read: never backwards, and one's own writes are there."""
        key = self._chance.choice(self.keys.all)
        minimum = self.cache.session.pos
        began, at = len(self.errors), time.perf_counter()
        item = await self._note(lambda: self.cache.item(key))
        if len(self.errors) == began:
            self.local_s.append(time.perf_counter() - at)
            self._observe(Did.READ, key, 0 if item is None else item.version, minimum)

    # -- writing it down

    def _register(self) -> str:
        return self._chance.choice(self.keys.registers)

    def _value(self) -> str:
        return f"{self.name}/{self._number}"  # no other call writes it

    async def _call(
        self,
        kind: Kind,
        key: str,
        argument: Value | None,
        ask: Callable[[str], Awaitable[Any]],
        result: Callable[[Any], Value | bool | None],
    ) -> None:
        call = self._begin(kind, key, argument)
        minimum, at = self.cache.session.pos, time.perf_counter()
        began = len(self.errors)
        said = await self._note(lambda: ask(key), call)
        if len(self.errors) > began:
            return
        self.write_s.append(time.perf_counter() - at)
        self._end(call, result(said))
        reply = self.cache.reply
        if reply.get("applied", True) and reply.get("version"):
            self._observe(Did.WROTE, key, reply["version"], minimum)

    def _begin(self, kind: Kind, key: str, argument: Value | None) -> Call:
        self._number += 1
        return Call(self.name, self._number, kind, key, argument, now_us(), None, Outcome.UNKNOWN)

    def _end(self, call: Call, result: Value | bool | None) -> None:
        self._history.calls.append(
            replace(call, returned=now_us(), outcome=Outcome.DONE, result=result)
        )

    async def _note(self, ask: Callable[[], Awaitable[T]], call: Call | None = None) -> T | None:
        """Ask; what is refused or has no answer is noted, a write among the calls."""
        try:
            said = await ask()
        except TlruError as exc:
            self.errors.append(exc)
            if call is not None and exc.retry is Retry.UNKNOWN:
                self._history.calls.append(call)
            return None
        self.done += 1
        return said

    def _observe(self, did: Did, key: str, version: int, minimum: int = 0) -> None:
        seen = Observation(
            did, key, version, self.cache.reply["pos"], str(self.cache.session.epoch), minimum
        )
        self._history.observations[self.name].append(seen)


class Recorder:
    """Several of them at work."""

    def __init__(self, ways: Sequence[Sequence[str]], timeout: float = TIMEOUT_S) -> None:
        """Of each client the servers that it knows; it begins with the first."""
        self.history, self.keys = History(), Keys.anew()
        self.clients = [
            Client(f"c{number}", urls, self.history, self.keys, timeout)
            for number, urls in enumerate(ways)
        ]
        self.finals: dict[str, int | None] = {}  # what the counted keys hold in the end
        self._going = True
        self._working = {client: asyncio.Lock() for client in self.clients}  # held during a step
        self._tasks = [asyncio.create_task(self._work(client)) for client in self.clients]

    async def _work(self, client: Client) -> None:
        while self._going:
            async with self._working[client]:
                await client.step()
            await asyncio.sleep(PACE_S)

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Nobody asks for anything meanwhile, and nothing is under way."""
        async with AsyncExitStack() as stack:
            for lock in self._working.values():
                await stack.enter_async_context(lock)
            yield

    async def more(self, count: int, *clients: Client) -> None:
        """Wait until each of these, or of all, has so many calls more that went well."""
        wanted = [(client, client.done + count) for client in clients or self.clients]
        ended = [task for task in self._tasks if task.done()]
        assert not ended, f"clients that have failed: {ended}"
        await until(lambda: all(client.done >= least for client, least in wanted), within_s=60)

    @property
    def errors(self) -> list[TlruError]:
        """What anybody was refused, or not told."""
        return [error for client in self.clients for error in client.errors]

    def told(self) -> str:
        """How it went, in a line."""
        history, codes = self.history, Counter(error.code for error in self.errors)
        refused = ", ".join(f"{code} {count}" for code, count in codes.items()) or "nobody refused"
        return (
            f"{history.count(Outcome.DONE)} calls judged, {history.count(Outcome.UNKNOWN)} of "
            f"unknown outcome, {refused}; {history.gap_s():.3f} s without a write at the most"
        )

    async def end(self) -> None:
        """Stop, and have all that was told judged."""
        self._going = False
        await asyncio.gather(*self._tasks)
        reader = self.clients[0].cache
        self.finals = {key: await reader.get(key, read="linear") for key in self.keys.counted}
        await self.close()
        assert self.history.count(Outcome.DONE) > 0
        violations = self.history.judge(self.finals)
        assert violations == [], "\n".join(map(str, violations))

    async def close(self) -> None:
        """Let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self.clients:
            await client.cache.close()


@asynccontextmanager
async def recording(
    *urls: str, clients: int = 6, patience_s: float = TIMEOUT_S, warm: int = 20
) -> AsyncIterator[Recorder]:
    """Clients at work while something happens; afterwards, what they were told is judged.

    Each knows all servers, and they begin at different ones.
    """
    turns = [urls[n % len(urls) :] + urls[: n % len(urls)] for n in range(clients)]
    recorder = Recorder(turns, patience_s)
    try:
        await recorder.more(warm)
        yield recorder
        await recorder.more(warm)
        await recorder.end()
    finally:
        await recorder.close()
