"""One task for what several want at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tlru.client.flights import Flights


class Load:
    """A load that a test can look at and finish."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.tidied = asyncio.Event()
        self.result: Any = "value"

    async def __call__(self) -> Any:
        self.started += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            await self.tidied.wait()
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_asks_meanwhile_waits_for_the_same_task() -> None:
    async def main() -> None:
        flights, load = Flights(), Load()
        callers = [asyncio.create_task(flights.join("k", load)) for _ in range(10)]
        other = asyncio.create_task(flights.join("other", load))
        await settle()
        assert load.started == 2
        load.go.set()
        assert await asyncio.gather(*callers, other) == ["value"] * 11
        assert "k" not in flights
        assert await flights.join("k", load) == "value"
        assert load.started == 3, "what has landed is not asked for again"

    asyncio.run(main())


def test_a_failure_is_everybodys() -> None:
    async def main() -> None:
        flights, load = Flights(), Load()
        load.result = ZeroDivisionError()
        callers = [asyncio.create_task(flights.join("k", load)) for _ in range(3)]
        await settle()
        load.go.set()
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(each) for each in results] == [ZeroDivisionError] * 3

    asyncio.run(main())


def test_a_caller_that_is_cancelled_takes_the_result_from_nobody() -> None:
    async def main() -> None:
        flights, load = Flights(), Load()
        first = asyncio.create_task(flights.join("k", load))
        second = asyncio.create_task(flights.join("k", load))
        await settle()
        first.cancel()
        await settle()
        assert load.cancelled == 0
        load.go.set()
        assert await second == "value"

    asyncio.run(main())


def test_when_the_last_one_goes_the_task_goes_too() -> None:
    """Whoever comes just then gets a task of their own, not the one that is being cancelled."""

    async def main() -> None:
        flights, load = Flights(), Load()
        callers = [asyncio.create_task(flights.join("k", load)) for _ in range(2)]
        await settle()
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        late = asyncio.create_task(flights.join("k", load))
        await settle()
        assert (load.started, load.cancelled) == (2, 1)
        load.tidied.set()
        await settle()
        load.go.set()
        assert await late == "value"

    asyncio.run(main())


def test_what_is_launched_goes_on_without_anybody_until_cancelled() -> None:
    async def main() -> None:
        flights, load = Flights(), Load()
        flights.launch("k", load)
        flights.launch("k", load)
        caller = asyncio.create_task(flights.join("k", load))
        await settle()
        caller.cancel()
        await settle()
        assert (load.started, load.cancelled) == (1, 0)
        assert "k" in flights
        flights.cancel_unattended()
        load.tidied.set()
        await settle()
        assert load.cancelled == 1
        assert "k" not in flights

    asyncio.run(main())


def test_closing_cancels_nothing_that_somebody_waits_for() -> None:
    async def main() -> None:
        flights, load = Flights(), Load()
        caller = asyncio.create_task(flights.join("k", load))
        await settle()
        flights.cancel_unattended()
        load.go.set()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        assert await caller == "value"

    asyncio.run(main())
