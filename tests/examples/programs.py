"""An example as a process of its own, run as a user runs it, that can be spoken to and killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PATIENCE_S = 30
LOOK_S = 0.02

T = TypeVar("T")


class Program:
    """One that runs."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.said: list[str] = []

    async def line(self) -> str:
        """The next line of its output; an empty one where there will be none."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = (await self.process.stdout.readline()).decode()
        self.said.append(line)
        return line.rstrip("\n")

    async def until(self, holds: Callable[[str], object]) -> str:
        """The next line that is as it should be."""
        while not holds(line := await self.line()):
            assert self.said[-1], f"{self.name} has ended; it said {''.join(self.said)}"
        return line

    async def rest(self) -> list[str]:
        """What else it says, until it ends by itself, well."""
        lines = []
        while (line := await self.line()) or self.said[-1]:
            lines.append(line)
        assert await self.ended() == 0, f"{self.name} failed: {lines}"
        return lines

    def type(self, *lines: str) -> None:
        """Have lines come to its input."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    def type_no_more(self) -> None:
        """Its input ends."""
        assert self.process.stdin is not None
        self.process.stdin.write_eof()

    async def ended(self) -> int:
        """Wait for its end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    async def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Have it end, and wait until it has."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            await self.process.stdout.read()  # else a process that still talks would not end
            return await self.process.wait()


@contextlib.asynccontextmanager
async def program(name: str, *args: str) -> AsyncIterator[Program]:
    """Run an example; whatever happens, it is not left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / name), *args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    running = Program(name, process)
    try:
        yield running
    finally:
        await running.end()


async def output_of(name: str, *args: str) -> list[str]:
    """What an example says, from its beginning to its end."""
    async with program(name, *args) as running:
        return await running.rest()


async def until(ask: Callable[[], Awaitable[T]], holds: Callable[[T], object]) -> T:
    """Ask again and again, until the answer is as it should be."""
    answers: Sequence[T | BaseException] = ()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answers = await asyncio.gather(ask(), return_exceptions=True)
                if not isinstance(answers[0], BaseException) and holds(answers[0]):
                    return answers[0]
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise AssertionError(f"it did not come about; the last answer: {answers}") from None
