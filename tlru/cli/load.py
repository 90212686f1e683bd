"""The load of a bench: callers that ask, one request each at a time, and what they measured.

Decides what is asked and how it is counted; prints nothing. The keys of a load are its own, have a
time to live, and are deleted at its end, so it neither touches nor leaves anything in a cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgpack

from tlru.cli.latency import Latencies
from tlru.errors import TlruError

if TYPE_CHECKING:
    from tlru.client import Cache

# Keys outlive their bench by this much where it cannot delete them: long enough for slow starts.
LEFTOVER_S = 60.0
FILL_AT_ONCE = 256
# Filling is not measured, so it may take longer than a request of the bench is given.
FILL_TIMEOUT_S = 60.0
# A caller that was refused waits so long: a node that refuses is not helped by being hammered.
PAUSE_S = 0.05
PROGRESS_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask."""

    callers: int
    reads_percent: float
    value_bytes: int
    keys: int
    seconds: float


@dataclass(slots=True)
class Measured:
    """What came of it."""

    seconds: float = 0.0
    latencies: dict[str, Latencies] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    last_error: TlruError | None = None


async def run(cache: Cache[bytes], plan: Plan, progress: Callable[[float], None]) -> Measured:
    """Carry the plan out; `progress` is told the share of the time that has passed."""
    measured = Measured(latencies={"get": Latencies(), "set": Latencies()})
    value = _value(plan.value_bytes)
    async with _filled(cache, plan, value) as keys:
        began = time.perf_counter()
        until = began + plan.seconds
        async with asyncio.TaskGroup() as group:
            for number in range(plan.callers):
                chance = random.Random(number)
                group.create_task(_call(cache, plan, keys, value, until, measured, chance))
            while (now := time.perf_counter()) < until:
                progress((now - began) / plan.seconds)
                await asyncio.sleep(min(PROGRESS_EVERY_S, until - now))
        measured.seconds = time.perf_counter() - began
        progress(1.0)
    return measured


@asynccontextmanager
async def _filled(cache: Cache[bytes], plan: Plan, value: bytes) -> AsyncGenerator[list[str], None]:
    """Keys with values under them, so that reads find something."""
    name = secrets.token_hex(4)
    keys = [f"bench:{name}:{number}" for number in range(plan.keys)]
    for start in range(0, len(keys), FILL_AT_ONCE):
        some = keys[start : start + FILL_AT_ONCE]
        await asyncio.gather(
            *(cache.set(key, value, _life(plan), timeout=FILL_TIMEOUT_S) for key in some)
        )
    yield keys
    # A node that died meanwhile takes them along, and all others lose them when their life is over.
    with contextlib.suppress(TlruError):
        await cache.delete(*keys)


async def _call(
    cache: Cache[bytes],
    plan: Plan,
    keys: list[str],
    value: bytes,
    until: float,
    measured: Measured,
    chance: random.Random,
) -> None:
    life = _life(plan)
    reads, writes = measured.latencies["get"], measured.latencies["set"]
    while (began := time.perf_counter()) < until:
        key = keys[int(chance.random() * len(keys))]
        try:
            if chance.random() * 100 < plan.reads_percent:
                await cache.get(key)
                reads.record(time.perf_counter() - began)
            else:
                await cache.set(key, value, life)
                writes.record(time.perf_counter() - began)
        except TlruError as problem:
            measured.errors[problem.code] += 1
            measured.last_error = problem
            await asyncio.sleep(PAUSE_S)


def _life(plan: Plan) -> float:
    return plan.seconds + LEFTOVER_S


def _value(size: int) -> bytes:
    packed: bytes = msgpack.packb(os.urandom(size))
    return packed
